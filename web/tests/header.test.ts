import { expect, test } from "vitest";
import { decodePicture } from "../src/decode.js";
import { checksum, readHeader } from "../src/header.js";

const text = (letters: string): number[] => Array.from(new TextEncoder().encode(letters));
const big = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, at) => Math.floor(value / 256 ** (bytes - 1 - at)) % 256);
const little = (value: number, bytes: number): number[] => big(value, bytes).reverse();
const box = (name: string, body: number[]): number[] => [...big(body.length + 8, 4), ...text(name), ...body];
const ispe = (width: number, height: number): number[] =>
  box("ispe", [0, 0, 0, 0, ...big(width, 4), ...big(height, 4)]);
const avif = (...sizes: number[][]): number[] => avifOf("avif\0\0\0\0", ...sizes);
const avifOf = (brands: string, ...sizes: number[][]): number[] => [
  ...box("ftyp", text(brands)),
  ...box("meta", [0, 0, 0, 0, ...box("iprp", box("ipco", sizes.flat()))]),
];
const webp = (...chunks: number[][]): number[] => {
  const body = [...text("WEBP"), ...chunks.flat()];
  return [...text("RIFF"), ...little(body.length, 4), ...body];
};
const jpeg = (width: number, height: number): number[] => [
  ...[0xff, 0xd8, 0xff, 0xe1, 0, 4, 9, 9, 0xff, 0xff],
  ...[0xc2, 0, 8, 8, ...big(height, 2), ...big(width, 2), 1, 0xff, 0xda, 0, 2],
];
const gif = (canvas: number[], picture: number[]): number[] => [
  ...[...text("GIF89a"), ...canvas.flatMap((side) => little(side, 2)), 0, 0, 0, 0x21, 0xfe, 1, 65, 0],
  ...[0x2c, ...picture.flatMap((side) => little(side, 2)), 0, 2, 0, 0],
];
const bmp = (width: number, height: number, bits = 24): number[] => [
  ...[...text("BM"), ...Array<number>(12).fill(0), ...little(40, 4), ...little(width, 4), ...little(height, 4)],
  ...[1, 0, ...little(bits, 2), ...Array<number>(24).fill(0)],
];

test.each<[string, number[], number, number]>([
  ["JPEG", jpeg(300, 200), 300, 200],
  ["GIF", gif([10, 8], [0, 0, 10, 8]), 10, 8],
  ["GIF", gif([10, 8], [5, 5, 40, 1]), 45, 8],
  [
    "WEBP",
    webp(
      [...text("VP8X"), ...little(10, 4), 0, 0, 0, 0, ...little(99, 3), ...little(49, 3)],
      [...text("VP8L"), ...little(5, 4), 0x2f, 0, 0, 0, 0],
    ),
    100,
    50,
  ],
  ["WEBP", webp([...text("VP8L"), ...little(5, 4), 0x2f, ...little((29 << 14) | 19, 4)]), 20, 30],
  ["BMP", bmp(7, 2 ** 32 - 9), 7, 9],
  ["AVIF", avif(ispe(64, 64), ispe(600, 400)), 600, 400],
  ["AVIF", avifOf("MA1B\0\0\0\0mif1avif", ispe(64, 64)), 64, 64],
])("the header of a %s tells its size", (format, bytes, width, height) => {
  expect(readHeader(Uint8Array.from(bytes))).toMatchObject({ format, width, height });
});

const png = (type: number, ...chunks: string[]): number[] => {
  const header = [...text("IHDR"), ...big(9, 4), ...big(9, 4), 8, type, 0, 0, 0];
  const start = [0x89, ...text("PNG\r\n\x1a\n"), ...big(13, 4), ...header, ...big(checksum(Uint8Array.from(header)), 4)];
  return [...start, ...chunks.flatMap((name) => [...big(1, 4), ...text(name), 0, ...big(0, 4)])];
};
const extended = (flags: number): number[] => [...text("VP8X"), ...little(10, 4), flags, 0, 0, 0, ...Array<number>(6).fill(9)];
const simple = [...text("VP8 "), ...little(10, 4), ...Array<number>(10).fill(9)];
const lossless = (alpha: number): number[] => [...text("VP8L"), ...little(5, 4), 0x2f, ...little(alpha * 2 ** 28, 4), 0];

test.each<[string, number[], boolean]>([
  ["JPEG", jpeg(9, 9), false],
  ["GIF, whose pixels are whole or not there,", gif([10, 8], [0, 0, 10, 8]), false],
  ["PNG without alpha", png(2, "PLTE", "IDAT", "tRNS"), false],
  ["PNG with a transparent palette", png(3, "PLTE", "tRNS", "IDAT"), true],
  ["PNG of greys with alpha", png(4, "IDAT"), true],
  ["PNG of colours with alpha", png(6), true],
  ["WebP with loss", webp(simple), false],
  ["WebP with loss, and alpha that is announced", webp(extended(0x10), simple), true],
  ["WebP with metadata", webp(extended(0x2c), simple), false],
  ["WebP with loss, and alpha", webp(extended(0), [...text("ALPH"), ...little(0, 4)], simple), true],
  ["WebP without loss", webp(lossless(0)), false],
  ["WebP without loss, with alpha", webp(lossless(1)), true],
  ["WebP of frames", webp([...text("ANMF"), ...little(16, 4), ...Array<number>(16).fill(9)]), true],
  ["BMP of 24 bits", bmp(7, 9, 24), false],
  ["BMP of 32 bits", bmp(7, 9, 32), true],
  ["AVIF", avif(ispe(64, 64)), false],
  ["AVIF with alpha", avif(ispe(64, 64), box("auxC", [0, 0, 0, 0])), true],
  ["AVIF that is a film", [...avif(ispe(64, 64)), ...box("moov", [0])], true],
])("the header of a %s tells whether there is alpha", (_, bytes, hasAlpha) => {
  expect(readHeader(Uint8Array.from(bytes)).hasAlpha).toBe(hasAlpha);
});

test.each<[string, number[]]>([
  ["not-a-picture", text("hello")],
  ["not-a-picture", [0xff, 0xd8, 0xff, 0xd9, 0, 0]],
  ["not-a-picture", text("GIF89a")],
  ["not-a-picture", webp([...text("EXIF"), ...little(0, 4)])],
  ["not-a-picture", avif()],
  ["not-a-picture", avifOf("heic\0\0\0\0heicmsf1", ispe(64, 64))],
  ["not-a-picture", avifOf("heicavif", ispe(64, 64))],
  ["not-a-picture", [0x89, ...text("PNG\r\n\x1a\n"), ...Array<number>(40).fill(0)]],
  ["corrupt", webp([...text("VP8L"), ...little(500, 4), 0x2f, 0, 0, 0, 0])],
  ["corrupt", text("BM")],
  ["corrupt", bmp(0, 5)],
])("%s: what begins like a picture and is none", (reason, bytes) => {
  expect(() => readHeader(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ name: "BadPicture", reason }));
});

test.each<[string, number[]]>([
  ["too-large", jpeg(60_000, 60_000)],
  ["too-large", avif(ispe(9000, 9000))],
  ["too-small", gif([1, 9], [0, 0, 1, 9])],
  ["empty", []],
])("%s: refused before anything decodes it", async (reason, bytes) => {
  const decode = (): never => {
    throw new Error("it was decoded");
  };
  await expect(decodePicture(Uint8Array.from(bytes), decode)).rejects.toMatchObject({ name: "BadPicture", reason });
});
