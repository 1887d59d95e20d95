import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Reader } from "../src/on_white.js";

/** RGBA of the picture on which a browser is tried, as it is stored: 5 x 3 pixels, to be turned by a quarter. */
const stored = Uint8Array.from({ length: 60 }, (_, at) => (3 * at * at + 7) % 256);
const upright = Array.from({ length: 15 }, (_, pixel) => {
  const at = ((2 - (pixel % 3)) * 5 + Math.floor(pixel / 3)) * 4;
  return Array.from(stored.subarray(at, at + 4));
}).flat();

/** A browser with a canvas that rounds in some way, and with frames that have these bytes, or without frames. */
function stubBrowser(round: (value: number) => number, frame?: number[]): void {
  const bitmap = { width: 3, height: 5, close: () => undefined };
  vi.stubGlobal("createImageBitmap", vi.fn().mockResolvedValue(bitmap));
  const data = upright.map((byte, at) => {
    const alpha = upright[at - (at % 4) + 3] ?? 0;
    return at % 4 === 3 ? 255 : round((byte * alpha + 255 * (255 - alpha)) / 255);
  });
  const context = { fillRect: () => undefined, drawImage: () => undefined, getImageData: () => ({ data }) };
  vi.stubGlobal("OffscreenCanvas", class {
    getContext = (): unknown => context;
  });
  if (frame) stubFrame(frame);
}

function stubFrame(bytes: number[]): void {
  vi.stubGlobal("VideoFrame", class {
    close = (): undefined => undefined;
    copyTo = (to: Uint8Array): Promise<void> => {
      to.set(bytes);
      return Promise.resolve();
    };
  });
}

async function chosen(): Promise<string> {
  const { exactReader } = await import("../src/on_white.js");
  const reader: Reader = await exactReader();
  return reader.name;
}

beforeEach(() => {
  vi.resetModules();
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a canvas that rounds as Pillow is taken, and frames are not looked at", async () => {
  stubBrowser(Math.round, []);
  expect(await chosen()).toBe("readBitmap");
});

test("frames are taken where a canvas rounds otherwise", async () => {
  stubBrowser(Math.ceil, upright);
  expect(await chosen()).toBe("readFrame");
});

test.each<[string, number[] | undefined]>([
  ["are not there", undefined],
  ["are not turned", Array.from(stored)],
  ["are multiplied by their alpha", upright.map((byte, at) => Math.round((byte * (upright[at | 3] ?? 0)) / 255))],
])("a canvas is taken where frames %s", async (_, frame) => {
  stubBrowser(Math.ceil, frame);
  expect(await chosen()).toBe("readBitmap");
});

test("a browser is tried once", async () => {
  stubBrowser(Math.round);
  await Promise.all([chosen(), chosen()]);
  expect(createImageBitmap).toHaveBeenCalledTimes(1);
});
