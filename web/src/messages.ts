/** What a page and its worker say to each other. */

import { BadPicture, BadPrior, BrokenModel, CannotRun, NoExplanation } from "./errors.js";
import type { BadPictureReason, CannotRunReason } from "./errors.js";
import type { Card } from "./types.js";

export const METHODS = ["classify", "answerFrom", "explain", "nearest", "square", "selfTest"] as const;
export type Method = (typeof METHODS)[number];

export type Question =
  | { id: number; method: "open"; parameters: [folder: string, threads: number, keeps: boolean, wholeCode: boolean] }
  | { id: number; method: Method; parameters: unknown[] };

/** The network needs what `ort/used.wasm.gz` leaves out. Pages never see it: the whole code is taken then. */
export class CodeLeftOut extends Error {
  override readonly name = "CodeLeftOut";
}

/** An error as it travels: its class by name. */
export interface ErrorRecord {
  name: string;
  message: string;
  reason?: string;
}

export type Reply =
  | { kind: "ready" }
  | { kind: "progress"; loaded: number; total: number }
  | { kind: "done"; id: number; value: unknown }
  | { kind: "failed"; id: number; error: ErrorRecord };

/** What "open" gives. */
export type Opened = Card;

export function packError(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  return "reason" in error ? { name, message, reason: String(error.reason) } : { name, message };
}

/** The error that `packError` packed, of its class. */
export function unpackError({ name, message, reason }: ErrorRecord): Error {
  if (name === "BadPicture") return new BadPicture(reason as BadPictureReason, message);
  if (name === "CannotRun") return new CannotRun(reason as CannotRunReason, message);
  const simple: Record<string, new (message: string) => Error> = { BadPrior, BrokenModel, CodeLeftOut, NoExplanation };
  return new (simple[name] ?? Error)(message);
}
