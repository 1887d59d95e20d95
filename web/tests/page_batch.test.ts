import { BlobWriter, TextReader, Uint8ArrayReader, ZipWriter } from "@zip.js/zip.js";
import { expect, test } from "vitest";
import { openZip, type ZipEntry } from "../src/page/archive.js";
import { unpack, type Item } from "../src/page/batch.js";

async function items(...files: { name: string; content: BlobPart }[]): Promise<Item[]> {
  const given = files.map(({ name, content }) => ({ path: name, file: new File([content], name) }));
  const found: Item[] = [];
  for (const plan of await unpack(given)) found.push(await plan());
  return found;
}

async function zipOf(entries: Record<string, string | Uint8Array>, password?: string): Promise<Blob> {
  const writer = new ZipWriter(new BlobWriter(), { useWebWorkers: false, ...(password ? { password } : {}) });
  for (const [name, content] of Object.entries(entries)) {
    await writer.add(name, typeof content === "string" ? new TextReader(content) : new Uint8ArrayReader(content));
  }
  return writer.close();
}

function told(found: Item[]): string[] {
  return found.map((item) => ("problem" in item ? `${item.name}: ${item.problem.key}` : `${item.name}: ${item.content.size}`));
}

test("files and the files in zips are pictures, what systems keep there is none", async () => {
  const zip = await zipOf({ "a/b/c.png": "four", "__MACOSX/c.png": "x", ".hidden": "x", "d/": "" });
  expect(told(await items({ name: "x.png", content: "abc" }, { name: "some.zip", content: zip }))).toEqual(["x.png: 3", "b/c.png: 4"]);
});

test("zips that cannot be opened say why", async () => {
  const inner = new Uint8Array(await (await zipOf({ "a.png": "a" })).arrayBuffer());
  const nested = await zipOf({ "inner.zip": inner });
  const locked = await zipOf({ "a.png": "a" }, "secret");
  const empty = await zipOf({ ".hidden": "" });
  const found = await items(
    { name: "nested.zip", content: nested },
    { name: "locked.zip", content: locked },
    { name: "empty.zip", content: empty },
    { name: "cut.zip", content: inner.slice(0, inner.length / 2) },
  );
  expect(told(found)).toEqual(["inner.zip: nested", "a.png: locked", "empty.zip: zip_empty", "cut.zip: zip_damaged"]);
});

test("a file that is damaged in a zip costs itself alone", async () => {
  const writer = new ZipWriter(new BlobWriter(), { useWebWorkers: false, level: 0 });
  await writer.add("a.png", new TextReader("aaaaaaaaaa"));
  await writer.add("b.png", new TextReader("fine"));
  const zip = new Uint8Array(await (await writer.close()).arrayBuffer());
  const at = String.fromCharCode(...zip).indexOf("aaaaaaaaaa");
  zip[at] = 98;
  const found = told(await items({ name: "x.zip", content: zip }));
  expect(found[0]).toBe("a.png: packed");
  expect(found[1]).toBe("b.png: 4");
});

test("at most a hundred pictures are taken, and what is left out is told once", async () => {
  const many = Array.from({ length: 103 }, (_, number) => ({ name: `${number}.png`, content: "x" }));
  const found = await items(...many);
  expect(found).toHaveLength(101);
  expect(found.at(-1)).toEqual({ name: "…", problem: { key: "left_out", values: { count: 3, most: 100 } } });
  const zip = await zipOf(Object.fromEntries(Array.from({ length: 1101 }, (_, number) => [`${number}.png`, ""])));
  expect(told(await items({ name: "x.zip", content: zip }))).toEqual(["x.zip: zip_many"]);
});

test("files have bounds, one by one and together; packed ones are not unpacked beyond them", async () => {
  const large = new Uint8Array(15_000_001);
  expect(told(await items({ name: "x.png", content: large }))).toEqual(["x.png: file_too_large"]);
  const bomb = await zipOf({ "x.png": large, "y.png": "fine" });
  expect(bomb.size).toBeLessThan(100_000);
  // Its parts are small, and their sum counts while it is unpacked.
  const [entry] = (await openZip(bomb, 10)) as ZipEntry[];
  expect(await entry?.read(1_000_000)).toBe("large");
  expect(told(await items({ name: "bomb.zip", content: bomb }))).toEqual(["x.png: file_too_large", "y.png: 4"]);
  const most = new Uint8Array(15_000_000);
  const seven = Array.from({ length: 8 }, (_, number) => ({ name: `${number}.png`, content: most }));
  const found = told(await items(...seven));
  expect(found.slice(0, 6).every((one) => one.endsWith(": 15000000"))).toBe(true);
  expect(found.slice(6)).toEqual(["6.png: all_too_large", "7.png: all_too_large"]);
});
