/** Decoding in Node, which has no decoder of its own: by the npm package `sharp`, where it is installed. */

import { BadPicture } from "./errors.js";
import { damaged, type Header } from "./header.js";
import type { RawPicture } from "./types.js";

/** The little of sharp that is used here. */
interface Sharp {
  rotate(): Sharp;
  flatten(options: { background: string }): Sharp;
  metadata(): Promise<{ space?: string }>;
  pipelineColourspace(space: string): Sharp;
  toColourspace(space: string): Sharp;
  raw(): Sharp;
  toBuffer(options: { resolveWithObject: true }): Promise<{ data: Buffer; info: RawSize }>;
}

interface RawSize {
  width: number;
  height: number;
  channels: number;
}

type MakeSharp = (bytes: Uint8Array, options: Record<string, unknown>) => Sharp;

/**
 * Decode an encoded picture: upright, on white, without its colour profile.
 *
 * @throws BadPicture: it is damaged, or there is no decoder for it.
 */
export async function decodeInNode(bytes: Uint8Array, header: Header): Promise<RawPicture> {
  const sharp = await findSharp();
  if (header.format === "BMP") {
    throw new BadPicture("failed", "sharp does not decode BMP: give raw pixels, or a `decode` function to load().");
  }
  try {
    const opened = sharp(bytes, { limitInputPixels: false, ignoreIcc: true, failOn: "truncated", pages: 1 });
    // Browsers show a WebP as it is stored.
    const upright = header.format === "WEBP" ? opened : opened.rotate();
    // sharp would go by a printer's profile of its own; browsers and Pillow just multiply.
    const isPrint = (await opened.metadata()).space === "cmyk";
    const flat = isPrint
      ? upright.pipelineColourspace("cmyk").toColourspace("cmyk")
      : upright.flatten({ background: "white" }).toColourspace("srgb");
    const { data, info } = await flat.raw().toBuffer({ resolveWithObject: true });
    const colours = isPrint ? fromPrint(data) : info.channels === 1 ? spread(data) : data;
    return { data: colours, width: info.width, height: info.height };
  } catch (error) {
    // Whatever it says: these bytes are no picture that it can decode.
    const said = error instanceof Error ? error.message : String(error);
    throw damaged(`The picture is damaged or cut short and cannot be decoded (${said.slice(0, 120)}).`);
  }
}

async function findSharp(): Promise<MakeSharp> {
  try {
    // In a variable, so that nobody needs it to build.
    const name = "sharp";
    return ((await import(name)) as { default: MakeSharp }).default;
  } catch {
    throw new BadPicture(
      "failed",
      "Node has no decoder for pictures: install the npm package sharp, give load() a `decode` function, " +
        "or give raw pixels.",
    );
  }
}

function spread(grey: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: grey.length * 3 }, (_, at) => grey[Math.floor(at / 3)] ?? 0);
}

/** RGB of cyan, magenta, yellow and black. */
function fromPrint(inks: Uint8Array): Uint8Array {
  const colours = new Uint8Array((inks.length / 4) * 3);
  for (let from = 0, to = 0; from < inks.length; from += 4, to += 3) {
    const light = 255 - (inks[from + 3] ?? 0);
    for (let ink = 0; ink < 3; ink++) {
      colours[to + ink] = light - Math.round(((inks[from + ink] ?? 0) * light) / 255);
    }
  }
  return colours;
}
