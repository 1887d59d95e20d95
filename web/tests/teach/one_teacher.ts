/** Stands for the teacher's worker; what it looks at takes as long as a test wants. */

import type { Call, TeachError, TeachReply } from "../../src/teach/messages.js";
import { MemoryStore } from "../../src/teach/page/memory.js";
import { Album, type New } from "../../src/teach/page/album.js";
import { SHIFTS, VIEWS, type Features, type KeptPicture } from "../../src/teach/types.js";

type Measure = Extract<Call, { method: "measure" }>;

export class OneTeacher extends EventTarget {
  static readonly all: OneTeacher[] = [];
  readonly asked: string[] = [];
  /** The calls that look at pictures and have not been answered. */
  readonly open: Measure[] = [];
  isEnded = false;

  constructor() {
    super();
    OneTeacher.all.push(this);
    this.reply({ kind: "ready" });
  }

  static get last(): OneTeacher {
    const last = this.all.at(-1);
    if (!last) throw new Error("There is no worker.");
    return last;
  }

  postMessage(call: Call | { stop: number }): void {
    if ("stop" in call) {
      const place = this.open.findIndex(({ id }) => id === call.stop);
      if (place < 0) return;
      this.open.splice(place, 1);
      const error = { name: "AbortError", message: "", reason: "" } as const;
      this.reply({ kind: "failed", id: call.stop, error });
      return;
    }
    const { id, method } = call;
    this.asked.push(method === "measure" ? `measure ${call.parameters[1] ? "views" : "pictures"}` : method);
    if (method === "measure") this.open.push(call);
    else if (method === "prepare") {
      void kept(call.parameters[0]).then((value) => {
        this.reply({ kind: "done", id, value });
      });
    } else this.reply({ kind: "done", id, value: {} as never });
  }

  /** Look at so many of the pictures of the oldest call that need it, or at all, and answer. */
  look(count?: number): void {
    const [call] = this.open;
    if (!call) throw new Error("Nothing is to be looked at.");
    const [pictures, views] = call.parameters;
    const lacking = pictures.filter(({ features }) => !features || (views && !features.shows.length));
    for (const { sha256 } of lacking.slice(0, count)) {
      this.reply({ kind: "keep", id: call.id, sha256, features: features(views) });
    }
    if (count !== undefined) return;
    this.open.shift();
    this.reply({ kind: "done", id: call.id, value: undefined });
  }

  /** Answer the oldest call with an error. */
  fail(error: TeachError): void {
    const call = this.open.shift();
    if (!call) throw new Error("Nothing is to be looked at.");
    this.reply({ kind: "failed", id: call.id, error });
  }

  /** As when a script stops at an error that nobody catches. */
  die(message = "gone"): void {
    this.dispatchEvent(Object.assign(new Event("error"), { message }));
  }

  terminate(): void {
    this.isEnded = true;
  }

  private reply(data: TeachReply): void {
    queueMicrotask(() => {
      if (!this.isEnded) this.dispatchEvent(new MessageEvent("message", { data }));
    });
  }
}

/** An album of no browser. */
export function newAlbum(): Album {
  return new Album(new MemoryStore(), "body", () => undefined);
}

export function newPictures(first: number, count: number): New[] {
  return Array.from({ length: count }, (_, number) => ({
    picture: { ...named(first + number), blob: new Blob() },
    origin: { source: "folder", id: String(first + number), query: "", rank: 0, at: "2026-01-01T00:00:00Z" },
  }));
}

export function newFiles(first: number, count: number, folder = ""): { path: string; file: File }[] {
  return Array.from({ length: count }, (_, number) => ({
    path: `${folder}${first + number}.jpg`,
    file: new File([String(first + number)], `${first + number}.jpg`),
  }));
}

async function kept(file: Blob): Promise<KeptPicture> {
  return { ...named(Number(await file.text())), blob: file };
}

function named(number: number): Omit<KeptPicture, "blob"> {
  const sha256 = number.toString(16).padStart(64, "0");
  return { sha256, original_sha256: sha256, width: 8, height: 8 };
}

function features(views: boolean): Features {
  const made = views ? 1 : 0;
  return {
    ...{ body: "body", phash: "0".repeat(16), plain: new Float32Array(1), views: VIEWS },
    ...{ cropped: new Float32Array(3 * made), shifted: new Float32Array(SHIFTS * made) },
    shows: new Array<string>(SHIFTS * made).fill("soft"),
  };
}
