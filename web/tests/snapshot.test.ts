import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

/** onnxruntime starts once in a process, and takes no file that Vitest has changed. So all is done in other processes. */
const own = (file: string): string => JSON.stringify(pathToFileURL(join(import.meta.dirname, "..", file)).href);
const MAKE = `
import { readFileSync, writeFileSync } from "node:fs";
import { WASM } from ${own("ort_here.mjs")};
import { snapshot } from ${own("snapshot.mjs")};
const { wasm } = await snapshot(readFileSync(WASM), { "": { Identity: 1, Relu: 14 } });
writeFileSync(process.env.TO, wasm);
`;
const RUN = `
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { glue, openOrt } from ${own("ort_here.mjs")};
const module = new WebAssembly.Module(readFileSync(process.env.FROM));
const { InferenceSession, Tensor } = await openOrt((imports) => [new WebAssembly.Instance(module, imports), module]);
const told = {};
for (const operator of ["Relu", "Identity", "Neg"]) {
  try {
    const session = await InferenceSession.create(readFileSync(operator), { executionProviders: ["wasm"] });
    const { y } = await session.run({ x: new Tensor("float32", [-2], [1]) });
    told[operator] = Array.from(y.data);
  } catch (error) {
    told[operator] = error.message;
  }
}
const memory = () => createHash("sha256").update(glue.HEAPU8.slice()).digest("hex");
const before = memory();
told.status = glue._OrtInit(1, 3);
told.unchanged = memory() === before;
console.log(JSON.stringify(told));
`;
let folder: string;

async function node(script: string, settings: NodeJS.ProcessEnv, ...more: string[]): Promise<string> {
  const parameters = ["--input-type=module", "--eval", script, ...more];
  const options = { env: { ...process.env, ...settings }, cwd: folder };
  return (await promisify(execFile)(process.execPath, parameters, options)).stdout;
}

/** `y = OPERATOR(x)`, of opset 20. */
function network(operator: string): Uint8Array {
  const field = (number: number, content: number[] | string): number[] => {
    const bytes = typeof content === "string" ? [...new TextEncoder().encode(content)] : content;
    return [8 * number + 2, bytes.length, ...bytes];
  };
  const value = (name: string): number[] => [...field(1, name), ...field(2, [10, 8, 8, 1, 18, 4, 10, 2, 8, 1])];
  const graph = [
    ...field(1, [...field(1, "x"), ...field(2, "y"), ...field(4, operator)]),
    ...field(2, "g"),
    ...field(11, value("x")),
    ...field(12, value("y")),
  ];
  return Uint8Array.from([8, 8, ...field(7, graph), ...field(8, [10, 0, 16, 20])]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "spotter-snapshot-"));
  for (const operator of ["Relu", "Identity", "Neg"]) await writeFile(join(folder, operator), network(operator));
  await node(MAKE, { TO: "made" });
}, 60_000);

afterAll(() => rm(folder, { recursive: true }));

test("it has started already, knows the operators that were asked for, and says so of the others", async () => {
  expect(JSON.parse(await node(RUN, { FROM: "made" }))).toEqual({
    Relu: [0],
    Identity: [-2],
    Neg: expect.stringContaining("No Op registered for Neg") as string,
    status: 0,
    unchanged: true,
  });
}, 60_000);

test("the same comes out elsewhere", async () => {
  const elsewhere = { TO: "again", LANG: "de_DE.UTF-8", TZ: "Asia/Tokyo", HOME: "/nowhere" };
  await node(MAKE, elsewhere, "some", "more");
  expect((await readFile(join(folder, "again"))).equals(await readFile(join(folder, "made")))).toBe(true);
}, 60_000);
