/** Thumbnails of training pictures with their credits, as `spotter/bundle/thumbnails.py` reads them. */

import { BrokenModel } from "./errors.js";
import { asCounts, readTensors, type Tensor } from "./safetensors.js";
import type { Thumbnail } from "./types.js";

const CREDITS = ["label", "creator", "license_id", "license_url", "page_url"] as const;

/**
 * Row of the reference -> thumbnail.
 *
 * @throws BrokenModel: it does not hold what it should.
 */
export function readThumbnails(data: Uint8Array): Map<number, Thumbnail> {
  try {
    const tensors = readTensors(data);
    const named = (name: string): Tensor => {
      const tensor = tensors.get(name);
      if (!tensor) throw new TypeError(`there is no ${name}`);
      return tensor;
    };
    const jpegs = named("jpegs").bytes;
    const rows = asCounts(named("rows"));
    const ends = asCounts(named("ends"));
    const credits: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(named("credits").bytes));
    if (!rows || !ends || !Array.isArray(credits) || rows.length !== ends.length || rows.length !== credits.length) {
      throw new TypeError("not as many pictures as credits");
    }
    return new Map(
      rows.map((row, number) => {
        const jpeg = jpegs.slice(ends[number - 1] ?? 0, ends[number]);
        return [row, { jpeg: new Blob([jpeg], { type: "image/jpeg" }), ...readCredit(credits[number]) }];
      }),
    );
  } catch (error) {
    throw new BrokenModel("The model's thumbnails.safetensors cannot be read.", { cause: error });
  }
}

function readCredit(credit: unknown): Omit<Thumbnail, "jpeg"> {
  if (typeof credit !== "object" || credit === null || !("label" in credit)) throw new TypeError("no credit");
  const isKnown = ([name, value]: [string, unknown]): boolean =>
    (CREDITS as readonly string[]).includes(name) && typeof value === "string";
  if (!Object.entries(credit).every(isKnown)) throw new TypeError("a credit of an unknown kind");
  const texts = credit as Record<string, string>;
  const text = (name: string): string => texts[name] ?? "";
  return {
    label: text("label"),
    creator: text("creator"),
    license_id: text("license_id"),
    license_url: text("license_url"),
    page_url: text("page_url"),
  };
}
