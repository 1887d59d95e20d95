/** Fetches the files of a site, with bounds, and checks them against what was promised. */

import { mergePlaces, mergeSteps } from "./byte_places.js";
import { isTable } from "./card.js";
import { BrokenModel, CannotRun } from "./errors.js";
import { parseJson } from "./json.js";
import { asCannotRun } from "./runs_here.js";

const FORMAT = 2;
/** A header of what the service worker has unpacked: `sw.ts`. */
const UNPACKED = "x-spotter-unpacked";
/** Bytes; what is larger is not read, so that no file fills the memory. As `MOST_BYTES` in Python. */
const MOST_SITE_JSON = 4 << 20;
export const MOST_BYTES: Record<string, number> = {
  "model.json": 4 << 20,
  "metrics.json": 64 << 20,
  "thumbnails.safetensors": 64 << 20,
  "reference.safetensors": 1 << 30,
};
const MOST_OTHER = 2 ** 31 - 1;
const COMPILE_MS = 5000;
/** Bytes that are made room for before any has come: files of networks, and what the runtime of networks unpacks to. */
const MOST_AT_ONCE = 64 << 20;
const UNPACKED_CODE = 16 << 20;

/**
 * What `site.json` says of a file: its bytes as they lie there, and where it is packed, those of what is in it. Sites of
 * before have no hash of these.
 * `by_place`: it holds numbers of four bytes, and these were sorted by their place in a number before they were packed.
 * `steps`: it holds a matrix of whole multiples of 1/`steps`, and was packed as `mergeSteps` reads it.
 */
export interface FileEntry {
  bytes: number;
  sha256: string;
  unpacked?: number;
  unpacked_sha256?: string;
  by_place?: boolean;
  steps?: number;
}

export interface SiteJson {
  /** The version that made it. */
  spotter?: string;
  revision: string;
  contents: string | null;
  network: "model.onnx" | "model-int8.onnx";
  files: Record<string, FileEntry>;
  self_test?: { file: string; probabilities: number[] };
  /** The Hub that visitors may sign in to, and the card of a Space with such a site. */
  hub?: { url: string; card: Record<string, unknown> };
}

/** Told how many bytes came since the last call. */
export type Arrived = (bytes: number) => void;

/** Takes a file as it came. */
export type Hand = (url: URL, data: Uint8Array<ArrayBuffer>) => void;

/**
 * Read and check the `site.json` of a folder.
 *
 * @throws CannotRun: it cannot be reached. @throws BrokenModel: it is none, or of another format.
 */
export async function readSite(folder: URL): Promise<SiteJson> {
  // What it says must be of now, whatever lies in the browser's cache.
  const url = new URL("site.json", folder);
  const data = await fetchBounded(url, "site.json", MOST_SITE_JSON, () => undefined, "no-cache");
  let site: unknown;
  try {
    site = parseJson(data);
  } catch (error) {
    throw new BrokenModel("The site's site.json cannot be read; make the site again.", { cause: error });
  }
  if (!isTable(site) || site.format !== FORMAT) {
    throw new BrokenModel(`The site's site.json is not of format ${FORMAT}, which this Spotter reads; make the site again.`);
  }
  if (!isSite(site)) throw new BrokenModel("The site's site.json has a missing or damaged field; make the site again.");
  return site;
}

/**
 * Fetch a file, unpack it if it is packed, and check its length and its hash.
 *
 * @param path as in `site.json`. @param promised the SHA-256 of the unpacked file; without one, that of `site.json`
 * counts, as long as no server has unpacked the file. @param hand takes the file as it came, once it is checked.
 * @throws CannotRun: it cannot be reached. @throws BrokenModel: it is missing, not whole, or changed.
 */
export async function fetchFile(
  folder: URL,
  site: SiteJson,
  path: string,
  promised: string | Promise<string> | undefined,
  arrived: Arrived,
  hand?: Hand,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await fetchOnce(folder, site, path, promised, arrived, "default", hand);
  } catch (error) {
    if (!(error instanceof BrokenModel)) throw error;
    // It may be the file of an earlier version, from the browser's cache.
    return fetchOnce(folder, site, path, promised, arrived, "reload", hand);
  }
}

async function fetchOnce(
  folder: URL,
  site: SiteJson,
  path: string,
  promised: string | Promise<string> | undefined,
  arrived: Arrived,
  cache: RequestCache,
  hand: Hand | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const name = path.replace(/^model\//, "").replace(/\.gz$/, "");
  const entry = site.files[path];
  if (!entry) throw new BrokenModel(`The site's site.json does not name ${path}; make the site again.`);
  const wanted = entry.unpacked ?? entry.bytes;
  if (Math.max(entry.bytes, wanted) > (MOST_BYTES[name] ?? MOST_OTHER)) {
    throw new BrokenModel(`The site's ${name} is larger than any.`);
  }
  const most = Math.max(entry.bytes, wanted);
  const url = new URL(encodePath(path), folder);
  const data = await fetchBounded(url, name, most, arrived, cache);
  const wasPacked = path.endsWith(".gz") && isPacked(data);
  if (data.length !== (wasPacked || !path.endsWith(".gz") ? entry.bytes : wanted)) {
    throw new BrokenModel(`Only a part of the site's ${name} arrived, or it was changed; load the page again.`);
  }
  const unpacked = wasPacked ? await unpack(data, name, wanted) : data;
  const plain = unsort(unpacked, entry, name);
  if (promised !== undefined || !path.endsWith(".gz") || wasPacked) {
    const found = await hashOf(promised === undefined ? data : plain);
    if (found !== ((await promised) ?? entry.sha256)) {
      throw new BrokenModel(
        `The model's ${name} is damaged or was changed: its hash is not the one that was promised.`,
      );
    }
  }
  hand?.(url, data);
  for (const each of [data, unpacked]) if (each !== plain) release(each);
  return plain;
}

/** A file as it was before its numbers were sorted. */
function unsort(content: Uint8Array<ArrayBuffer>, { by_place, steps }: FileEntry, name: string): Uint8Array<ArrayBuffer> {
  if (by_place) return mergePlaces(content);
  if (!steps) return content;
  try {
    return mergeSteps(content, steps);
  } catch (error) {
    throw new BrokenModel(`The model's ${name} is damaged: it cannot be unpacked.`, { cause: error });
  }
}

/** Packed WebAssembly. */
export interface CodeFile {
  url: URL;
  /** What it is called in messages. */
  name: string;
  /** Bytes. */
  most: number;
  arrived: Arrived;
  /** Takes the file as it came. */
  hand?: Hand | undefined;
  /** The SHA-256 of what is in it; none where no `site.json` tells it. Compiling need not wait for it. */
  promised?: string | Promise<string | undefined> | undefined;
}

/**
 * Read packed WebAssembly, and compile it.
 *
 * @throws CannotRun: it cannot be reached or compiled. @throws BrokenModel: it is missing, changed or larger than `most`.
 */
export async function fetchCode(file: CodeFile): Promise<WebAssembly.Module> {
  try {
    // A changed one may be the code of an earlier version, from the browser's cache.
    return await fetchCodeOnce(file, "default").catch((error: unknown) => {
      if (error instanceof ChangedCode) return fetchCodeOnce(file, "reload");
      throw error;
    });
  } catch (error) {
    throw asCannotRun(error);
  }
}

/** The code is whole, but not the one that was promised. */
class ChangedCode extends BrokenModel {}

async function fetchCodeOnce(file: CodeFile, cache: RequestCache): Promise<WebAssembly.Module> {
  const { url, name, most, arrived, hand, promised } = file;
  const isLocal = url.protocol === "file:";
  const response = isLocal ? undefined : await request(url, name, cache);
  // What the service worker has checked and unpacked: of such an answer the browser keeps what it compiled.
  if (response?.headers.has(UNPACKED)) return WebAssembly.compileStreaming(response);
  const data = await (response ? readBody(response, name, most, arrived) : readLocal(url, name, most, arrived));
  const code = isPacked(data) ? await unpack(data, name, UNPACKED_CODE, most) : data;
  const hashing = promised && hashOf(code);
  // What is wrong with it is told first: changed code may not compile.
  const compiling = compile(code).catch((error: unknown) => ({ error }));
  const wanted = await promised;
  if (wanted !== undefined && (await hashing) !== wanted) {
    throw new ChangedCode(`The site's ${name} is damaged or was changed: its hash is not the one that was promised.`);
  }
  const module = await compiling;
  if ("error" in module) throw module.error;
  if (!isLocal) hand?.(url, data);
  release(data);
  release(code);
  return module;
}

/**
 * Give the memory of bytes back at once: a browser looks for what nobody holds when it thinks fit, and megabytes that were
 * needed for a moment would lie there meanwhile.
 */
export function release(data: Uint8Array<ArrayBuffer>): void {
  // What was given back already is empty. Missing in browsers from before 2024.
  if (data.length) (data.buffer as { transfer?: (length: number) => unknown }).transfer?.(0);
}

/** In a worker of Firefox 140 a compilation does not always end; then it is done once more, and waited for. */
async function compile(code: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  const compiled = WebAssembly.compile(code);
  // A page may not wait for one.
  if (!("WorkerGlobalScope" in globalThis)) return compiled;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<WebAssembly.Module>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(new WebAssembly.Module(code));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    }, COMPILE_MS);
  });
  try {
    return await Promise.race([compiled, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The SHA-256 of bytes, in hexadecimal digits. */
export async function hashOf(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", data);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isPacked(data: Uint8Array): boolean {
  return data[0] === 0x1f && data[1] === 0x8b;
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function isSite(site: Record<string, unknown>): site is Record<string, unknown> & SiteJson {
  const { revision, contents, network, files, self_test: test, hub } = site;
  const isEntry = (entry: unknown): boolean =>
    isTable(entry) &&
    isLength(entry.bytes) &&
    typeof entry.sha256 === "string" &&
    (entry.unpacked === undefined || isLength(entry.unpacked)) &&
    (entry.unpacked_sha256 === undefined || typeof entry.unpacked_sha256 === "string") &&
    (entry.by_place === undefined || typeof entry.by_place === "boolean") &&
    (entry.steps === undefined || (isLength(entry.steps) && entry.steps > 0));
  const isTest =
    test === undefined ||
    (isTable(test) &&
      typeof test.file === "string" &&
      Array.isArray(test.probabilities) &&
      test.probabilities.every((each) => typeof each === "number"));
  return (
    typeof revision === "string" &&
    (contents === null || typeof contents === "string") &&
    (network === "model.onnx" || network === "model-int8.onnx") &&
    isTable(files) &&
    Object.values(files).every(isEntry) &&
    isTest &&
    (hub === undefined || (isTable(hub) && typeof hub.url === "string" && isTable(hub.card)))
  );
}

function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

async function fetchBounded(
  url: URL,
  name: string,
  most: number,
  arrived: Arrived,
  cache: RequestCache,
): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol === "file:") return readLocal(url, name, most, arrived);
  return readBody(await request(url, name, cache), name, most, arrived);
}

async function request(url: URL, name: string, cache: RequestCache): Promise<Response> {
  try {
    const response = await fetch(url, { cache });
    if (response.status === 404 || response.status === 410) {
      throw new BrokenModel(`The model's ${name} is missing; publish it again.`);
    }
    if (!response.ok) throw new CannotRun("no-network", `The server does not give ${name} (${response.status}).`);
    return response;
  } catch (error) {
    throw asUnreachable(error, name);
  }
}

function readBody(
  response: Response,
  name: string,
  most: number,
  arrived: Arrived,
): Promise<Uint8Array<ArrayBuffer>> {
  // What a server packs on its way has more bytes than it tells.
  const told = Number(response.headers.get("content-length"));
  const expected = Math.min(told || most, most);
  return readBounded(response.body, name, expected, most, arrived, (error) => asUnreachable(error, name));
}

async function readLocal(url: URL, name: string, most: number, arrived: Arrived): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof process === "undefined") throw new CannotRun("no-network", "A page cannot read files of this machine.");
  const { readFile, stat } = await import("node:fs/promises");
  try {
    if ((await stat(url)).size > most) throw new BrokenModel(`The model's ${name} is larger than was promised.`);
    const data = Uint8Array.from(await readFile(url));
    arrived(data.length);
    return data;
  } catch (error) {
    if (error instanceof BrokenModel) throw error;
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isMissing) throw new BrokenModel(`The model's ${name} is missing; publish it again.`);
    throw asUnreachable(error, name);
  }
}

async function unpack(
  data: Uint8Array<ArrayBuffer>,
  name: string,
  expected: number,
  most = expected,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  const damaged = (error: unknown): Error =>
    new BrokenModel(`The model's ${name} is damaged: it cannot be unpacked.`, { cause: error });
  return readBounded(stream, name, expected, most, () => undefined, damaged);
}

async function readBounded(
  stream: ReadableStream<Uint8Array> | null,
  name: string,
  expected: number,
  most: number,
  arrived: Arrived,
  failed: (error: unknown) => Error,
): Promise<Uint8Array<ArrayBuffer>> {
  let whole = new Uint8Array(Math.min(expected, MOST_AT_ONCE));
  let length = 0;
  const reader = stream?.getReader();
  while (reader) {
    let part: Uint8Array | undefined;
    try {
      part = (await reader.read()).value;
    } catch (error) {
      throw failed(error);
    }
    if (!part) break;
    if (length + part.length > most) {
      void reader.cancel().catch(() => undefined);
      throw new BrokenModel(`The model's ${name} is larger than was promised.`);
    }
    if (length + part.length > whole.length) {
      const larger = new Uint8Array(Math.min(most, Math.max(2 * whole.length, length + part.length)));
      larger.set(whole.subarray(0, length));
      whole = larger;
    }
    whole.set(part, length);
    length += part.length;
    arrived(part.length);
  }
  return whole.subarray(0, length);
}

function asUnreachable(error: unknown, name: string): Error {
  if (error instanceof BrokenModel || error instanceof CannotRun) return error;
  return new CannotRun("no-network", `The connection broke, or there is none: ${name} did not arrive. Try again.`);
}
