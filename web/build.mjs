// Writes the built site into spotter/web/static/: `npm run build`.
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here("../spotter/web/static/");
const ort = here("node_modules/onnxruntime-web/dist/");
const WASM = "ort-wasm-simd-threaded";

// Of these there is one copy each, which the browser loads once: whoever needs them imports the file.
const shared = {
  name: "shared",
  setup(on) {
    on.onResolve({ filter: /\/(spotter|worker)\.js$/ }, ({ path, kind }) =>
      kind === "entry-point" ? undefined : { path: `./${path.split("/").at(-1)}`, external: true },
    );
  },
};

const entries = { spotter: "src/spotter.ts", worker: "src/worker.ts", page: "src/page/page.ts", sw: "src/sw.ts" };
const there = Object.entries(entries).filter(([, path]) => existsSync(here(path)));
await rm(out, { recursive: true, force: true });
await mkdir(`${out}ort`, { recursive: true });
await build({
  absWorkingDir: here("."),
  entryPoints: Object.fromEntries(there),
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16.4"],
  // The build of onnxruntime-web that takes its WebAssembly from where we say.
  conditions: ["onnxruntime-web-use-extern-wasm"],
  external: ["node:*", "sharp"],
  legalComments: "linked",
  plugins: [shared],
  logLevel: "warning",
});
for (const name of existsSync(here("src/page")) ? await readdir(here("src/page")) : []) {
  if (/\.(css|svg|png|ico)$/.test(name)) await cp(here(`src/page/${name}`), out + name);
}
for (const name of ["page.css", "icons"]) {
  if (existsSync(here(`src/${name}`))) await cp(here(`src/${name}`), out + name, { recursive: true });
}
await cp(`${ort}${WASM}.mjs`, `${out}ort/${WASM}.mjs`);
// Packed: a plain file server does not do it, and four fifths of it would travel for nothing.
await writeFile(`${out}ort/${WASM}.wasm.gz`, gzipSync(await readFile(`${ort}${WASM}.wasm`), { level: 9 }));
