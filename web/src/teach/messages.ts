/** What the page and the teacher's worker say to each other. */

import type { ErrorRecord } from "../messages.js";
import type { Answer } from "../types.js";
import type { Body, Features, KeptPicture, Outlook, SiteFile, Taught, Teacher } from "./types.js";

/** What each method gives. */
export interface Answers {
  open: Body;
  prepare: KeptPicture;
  measure: undefined;
  learn: Taught;
  outlook: Outlook;
  classify: Answer;
  siteZip: Blob;
  siteFiles: SiteFile[];
  lessonZip: Blob;
}

export interface Parameters {
  open: [folder: string, threads: number];
  prepare: [file: Blob];
  measure: [pictures: globalThis.Parameters<Teacher["measure"]>[0], views: boolean];
  learn: [lesson: globalThis.Parameters<Teacher["learn"]>[0]];
  outlook: [];
  classify: globalThis.Parameters<Teacher["classify"]>;
  siteZip: globalThis.Parameters<Teacher["siteZip"]>;
  siteFiles: globalThis.Parameters<Teacher["siteFiles"]>;
  lessonZip: globalThis.Parameters<Teacher["lessonZip"]>;
}

export type Call = {
  [Method in keyof Answers]: { id: number; method: Method; parameters: Parameters[Method] };
}[keyof Answers];

export type TeachError = ErrorRecord & { label?: string };

export type TeachReply =
  | { kind: "ready" }
  | { kind: "progress"; id: number; done: number; total: number }
  | { kind: "keep"; id: number; sha256: string; features: Features }
  | { kind: "done"; id: number; value: Answers[keyof Answers] }
  | { kind: "failed"; id: number; error: TeachError };
