// Writes the built site into spotter/web/static/: `npm run build`.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import ts from "typescript";
import { cut } from "./cut.mjs";
import used from "./src/ort/used.json" with { type: "json" };
import { snapshot } from "./snapshot.mjs";
import { trim } from "./trim.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here("../spotter/web/static/");
const ort = here("node_modules/onnxruntime-web/dist/");
const WASM = "ort-wasm-simd-threaded";

// Of these there is one copy each, which the browser loads once: whoever needs them imports the file.
const shared = {
  name: "shared",
  setup(on) {
    on.onResolve({ filter: /\/(spotter|worker|element|archive|hub)\.js$/ }, ({ path, kind }) =>
      kind === "entry-point" ? undefined : { path: `./${path.split("/").at(-1)}`, external: true },
    );
  },
};

// Errors are told apart by their classes, of which there must be one copy on a page: that of spotter.js.
const sharedErrors = {
  name: "shared errors",
  setup(on) {
    on.onResolve({ filter: /\/errors\.js$/ }, ({ path, resolveDir }) =>
      resolve(resolveDir, path) === here("src/errors.js") ? { path: "./spotter.js", external: true } : undefined,
    );
  },
};

const entries = {
  spotter: "src/spotter.ts",
  worker: "src/worker.ts",
  page: "src/page/page.ts",
  early: "src/page/early.ts",
  archive: "src/page/archive.ts",
  hub: "src/hub.ts",
  element: "src/element.ts",
  sw: "src/sw.ts",
  teach_worker: "src/teach/worker.ts",
  teacher: "src/teach/client.ts",
};
await rm(out, { recursive: true, force: true });
await mkdir(`${out}ort`, { recursive: true });
const options = {
  absWorkingDir: here("."),
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16.4"],
  // The build of onnxruntime-web that takes its WebAssembly from where we say.
  conditions: ["onnxruntime-web-use-extern-wasm"],
  external: ["node:*", "sharp"],
  // esbuild does not follow the "browser" field of a package that has "exports".
  alias: { "@huggingface/hub": here("node_modules/@huggingface/hub/dist/browser/index.mjs") },
  // The element has its own markup and style in it.
  loader: { ".html": "text", ".css": "text" },
  legalComments: "linked",
  logLevel: "warning",
};
await build({ ...options, entryPoints: entries, plugins: [shared] });
await build({ ...options, entryPoints: { teach: "src/teach/page/teach.ts" }, plugins: [shared, sharedErrors] });
for (const name of ["page.css", "teach.css", "icons"]) await cp(here(`src/${name}`), out + name, { recursive: true });
await cp(here("src/ort/start.mjs"), `${out}ort/start.mjs`);
await cp(`${ort}${WASM}.mjs`, `${out}ort/${WASM}.mjs`);
// Packed: a plain file server does not do it, and four fifths of it would travel for nothing.
const code = await readFile(`${ort}${WASM}.wasm`);
if (createHash("sha256").update(code).digest("hex") !== used.sha256) {
  throw new Error("src/ort/used.json is of another onnxruntime-web: npm run profile -- NETWORK.onnx ...");
}
const started = await snapshot(code, used.operators);
const smaller = cut(started.wasm, used.large.number, used.large.parts);
const part = trim(smaller, [...used.functions, ...started.kept.map((number) => [number, 1])]);
for (const [name, wasm] of [[WASM, code], ["used", part]]) {
  await writeFile(`${out}ort/${name}.wasm.gz`, gzipSync(wasm, { level: 9 }));
}
await writeFile(`${out}spotter.d.ts`, declarations(["types", "errors", "load"]));

// The types of the public API, of several files in one.
function declarations(names) {
  const { config } = ts.readConfigFile(here("tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, here("."));
  const written = [];
  const program = ts.createProgram([here("src/spotter.ts")], {
    ...options,
    ...{ noEmit: false, declaration: true, emitDeclarationOnly: true, isolatedModules: false },
  });
  for (const name of names) {
    program.emit(program.getSourceFile(here(`src/${name}.ts`)), (_, text) => written.push(text));
  }
  return written.join("\n").replace(/^import .*\n/gm, "");
}
