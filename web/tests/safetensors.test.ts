import { expect, test } from "vitest";
import { asCounts, asFloats, readTensors } from "../src/safetensors.js";
import { readThumbnails } from "../src/thumbnails.js";

type Entry = [dtype: string, shape: number[], bytes: Uint8Array];

function write(
  entries: Record<string, Entry>,
  change: (header: Record<string, unknown>) => void = () => undefined,
): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = {};
  for (const [name, [dtype, shape, bytes]] of Object.entries(entries)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  change(header);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  return Uint8Array.from(
    [length, text, ...Object.values(entries).map(([, , bytes]) => bytes)].flatMap((part) => [...part]),
  );
}

function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

const ONE: Record<string, Entry> = { embeddings: ["F32", [1, 2], floats(0.5, -2)] };

test("floats of every width are read", () => {
  const found = readTensors(write(ONE)).get("embeddings");
  expect(found && [...(asFloats(found) ?? [])]).toEqual([0.5, -2]);
  const half: Entry = ["F16", [3], new Uint8Array(Uint16Array.from([0x3800, 0xc000, 0x0001]).buffer)];
  const double: Entry = ["F64", [1], new Uint8Array(Float64Array.from([0.25]).buffer)];
  const both = readTensors(write({ half, double }));
  const [first, second] = ["half", "double"].map((name) => asFloats(both.get(name) ?? raise()));
  expect([...(first ?? [])]).toEqual([0.5, -2, 2 ** -24]);
  expect([...(second ?? [])]).toEqual([0.25]);
});

function raise(): never {
  throw new Error("missing");
}

test("whole numbers are no floats, and floats no whole numbers", () => {
  const tensors = readTensors(write({ ...ONE, rows: ["I64", [1], new Uint8Array(BigInt64Array.from([7n]).buffer)] }));
  const [rows, embeddings] = [tensors.get("rows") ?? raise(), tensors.get("embeddings") ?? raise()];
  expect(asCounts(rows)).toEqual([7]);
  expect(asFloats(rows)).toBeUndefined();
  expect(asCounts(embeddings)).toBeUndefined();
});

test.each<[string, Uint8Array]>([
  ["nothing", new Uint8Array(0)],
  ["a header longer than the file", Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 127])],
  ["a file cut short", write(ONE).subarray(0, -1)],
  ["bytes of nobody", Uint8Array.from([...write(ONE), 0])],
  ["a shape of other length", write({ embeddings: ["F32", [3, 2], floats(1, 2)] })],
  ["a negative side", write({ embeddings: ["F32", [-1, -2], floats(1, 2)] })],
  ["an unknown type", write({ embeddings: ["F128", [1, 2], floats(1, 2)] })],
  ["an entry that is none", write(ONE, (header) => (header.embeddings = 3))],
  ["tensors over each other", write(ONE, (header) => (header.other = header.embeddings))],
])("%s is refused", (_, data) => {
  expect(() => readTensors(data)).toThrow();
});

test("thumbnails come with whom to name, and nonsense is refused", async () => {
  const counts = (...values: bigint[]): Uint8Array => new Uint8Array(BigInt64Array.from(values).buffer);
  const credits = (value: unknown): Entry => {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    return ["U8", [bytes.length], bytes];
  };
  const good: Record<string, Entry> = {
    jpegs: ["U8", [3], Uint8Array.from([1, 2, 3])],
    rows: ["I64", [2], counts(4n, 0n)],
    ends: ["I64", [2], counts(1n, 3n)],
    credits: credits([{ label: "a", creator: "me" }, { label: "b" }]),
  };
  const found = readThumbnails(write(good));
  expect(found.get(4)).toMatchObject({ label: "a", creator: "me", license_id: "" });
  expect([...new Uint8Array((await found.get(0)?.jpeg.arrayBuffer()) ?? new ArrayBuffer(0))]).toEqual([2, 3]);
  for (const change of [
    { rows: ["I64", [1], counts(4n)] as Entry },
    { ends: ["F32", [2], floats(1, 3)] as Entry },
    { credits: credits([{ label: "a" }]) },
    { credits: credits([{ label: "a" }, { creator: "b" }]) },
    { credits: credits([{ label: "a" }, { label: "b", odd: "c" }]) },
    { credits: credits([{ label: "a" }, 7]) },
    { credits: credits({}) },
  ]) {
    expect(() => readThumbnails(write({ ...good, ...change }))).toThrow(/thumbnails.safetensors cannot be read/);
  }
});
