/**
 * The service worker: keeps one whole version of the site, and serves it without a network.
 *
 * A version is the hash of `site.json`, which the worker's own address names. A page gets all of its files from one
 * version: from what is kept while the server still has that version or cannot be reached, and else from the server.
 */

interface SiteJson {
  files: Record<string, { bytes: number; sha256: string; unpacked?: number; unpacked_sha256?: string }>;
}

const worker = globalThis as unknown as ServiceWorkerGlobalScope;
const scope = new URL(worker.registration.scope);
const version = new URL(worker.location.href).searchParams.get("version") ?? "";
const PREFIX = `spotter ${scope.pathname} `;
const KEPT = PREFIX + version;
// Pages of another version than the kept one, which outlive the worker's own memory.
const PASSED = `${PREFIX}pages`;
// Those that no room was left to keep; nothing else is kept then.
const unkept = new Set<string>();
// What the page has fetched already: `handed.ts`.
const HANDED = `${PREFIX}handed`;
const PATIENCE_MS = 3000;

worker.addEventListener("install", (event) => {
  event.waitUntil(keepSite());
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(removeOld());
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  event.respondWith(request.mode === "navigate" ? openPage(event, url) : giveFile(event, url));
});

/** Keep every file that `site.json` names, each checked against its hash: all of them, or none. */
async function keepSite(): Promise<void> {
  const cache = await caches.open(KEPT);
  const answer = await fetch(new URL("site.json", scope), { cache: "no-store" });
  const text = await answer.arrayBuffer();
  if (!answer.ok || (await hashOf(text)) !== version) {
    await caches.delete(KEPT);
    throw new Error("The site has changed since the page asked for this version.");
  }
  const { files } = JSON.parse(new TextDecoder().decode(text)) as SiteJson;
  try {
    for (const path of Object.keys(files)) await keepFile(cache, path, files[path]);
  } catch (error) {
    await caches.delete(KEPT);
    throw error;
  } finally {
    await caches.delete(HANDED);
  }
  await cache.put(addressOf("site.json"), new Response(text, { headers: { "content-type": "application/json" } }));
}

async function keepFile(cache: Cache, path: string, entry: SiteJson["files"][string] | undefined): Promise<void> {
  const address = addressOf(path);
  // Some hosts put something of their own into pages, so that no hash tells which version they are of; whether a script
  // may run is up to the page's policy.
  const isPage = path.endsWith(".html");
  // What the page has just loaded need not travel again, unless it is of another version.
  const modes: RequestCache[] = isPage ? ["reload"] : ["default", "reload"];
  for (const ask of [() => caches.match(address, { cacheName: HANDED }), ...modes.map((cache) => () => fetch(address, { cache }))]) {
    const answer = await ask();
    const content = await answer?.arrayBuffer();
    if (!answer?.ok || !content || !entry || !(isPage || (await isEntry(content, entry)))) continue;
    await cache.put(address, unpacked(path, content, keptHeaders(answer.headers)));
    return;
  }
  throw new Error(`${path} is not the one that site.json names.`);
}

/** A file as it is kept: unpacked, so that no later visit has to do it. */
function unpacked(path: string, content: ArrayBuffer, headers: Headers): Response {
  if (path.endsWith(".gz")) headers.set("x-spotter-unpacked", "yes");
  if (path.endsWith(".wasm.gz")) headers.set("content-type", "application/wasm");
  const [first, second] = new Uint8Array(content, 0, Math.min(2, content.byteLength));
  const isPacked = path.endsWith(".gz") && first === 0x1f && second === 0x8b;
  const body = isPacked ? new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip")) : content;
  return new Response(body, { headers });
}

/** Not all: whatever packed a file on its way has been undone, and the headers would still say so. */
function keptHeaders(given: Headers): Headers {
  // An isolated page runs no worker, and is itself none after another visit, without the headers that say so.
  const names = ["content-type", "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"];
  const kept = new Headers();
  for (const name of names) {
    const value = given.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept;
}

async function isEntry(content: ArrayBuffer, entry: SiteJson["files"][string]): Promise<boolean> {
  const { sha256, unpacked, unpacked_sha256 } = entry;
  const hash = await hashOf(content);
  // Some servers unpack files on their way. Sites of before tell no hash of these; then the model's own tell.
  return hash === sha256 || (unpacked_sha256 === undefined ? content.byteLength === unpacked : hash === unpacked_sha256);
}

async function removeOld(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== KEPT) await caches.delete(name);
  }
}

/** A page that is opened or loaded again: it belongs to the version that the server has now, if one can be told. */
async function openPage(event: FetchEvent, url: URL): Promise<Response> {
  const current = await currentVersion();
  if (current !== undefined && current !== version) {
    await pass(event.resultingClientId);
    // Where the server leads elsewhere, it is up to the browser to go there: a page that was led to is refused from here.
    return fetch(url, { cache: "no-cache", redirect: "manual" });
  }
  const kept = await match(url.pathname.endsWith("/") ? new URL("index.html", url).href : url.href);
  return kept ?? fetch(event.request);
}

/** Remember that a page, or a worker of one, belongs to another version than the kept one. */
async function pass(client: string): Promise<void> {
  try {
    const passed = await caches.open(PASSED);
    await passed.put(pageAddress(client), new Response());
  } catch {
    // The disk is full. What is kept may not be taken for that version's, and makes room for it.
    unkept.add(client);
    await caches.delete(KEPT).catch(() => false);
  }
}

/** The version that the server has; undefined without a network, or when it takes too long. */
async function currentVersion(): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(new URL("site.json", scope), { cache: "no-cache", signal });
    return answer.ok ? await hashOf(await answer.arrayBuffer()) : undefined;
  } catch {
    return undefined;
  }
}

async function giveFile(event: FetchEvent, url: URL): Promise<Response> {
  const isPassed = unkept.has(event.clientId) || (await caches.match(pageAddress(event.clientId), { cacheName: PASSED }));
  if (isPassed && event.request.destination === "worker" && event.resultingClientId) {
    // The page's worker belongs to the same version, and asks under a name of its own.
    await pass(event.resultingClientId);
  }
  if (isPassed) return fetch(event.request, { cache: "no-cache" });
  const kept = await match(url.href);
  // `offline.ts` asks whether there is a new version.
  if (kept && event.request.cache !== "no-cache") return kept;
  try {
    const answer = await fetch(event.request);
    // A server in trouble is as good as none.
    if (answer.ok || !kept) return answer;
  } catch (error) {
    if (!kept) throw error;
  }
  return kept;
}

async function match(address: string): Promise<Response | undefined> {
  return caches.match(address, { cacheName: KEPT, ignoreSearch: true });
}

function addressOf(path: string): string {
  return new URL(path.split("/").map(encodeURIComponent).join("/"), scope).href;
}

function pageAddress(client: string): string {
  return new URL(`pages/${client}`, scope).href;
}

async function hashOf(content: ArrayBuffer): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", content);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export {};
