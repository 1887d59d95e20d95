import { loadInWorker } from "./client.js";
import { checkRunsHere } from "./runs_here.js";
import type { LoadOptions, Spotter } from "./types.js";

/**
 * Load the model of a site's folder, check its files, and make it ready to answer.
 *
 * @param url the folder; by default the one that this file lies in. In Node it may be a `file:` URL.
 * @throws BrokenModel: a file is missing, changed or holds what cannot be.
 * @throws CannotRun: this browser cannot run it, or a file could not be reached; `reason` says which.
 */
export async function load(
  url: string | URL = new URL(".", import.meta.url),
  options: LoadOptions = {},
): Promise<Spotter> {
  checkRunsHere();
  const isBrowser = typeof window !== "undefined";
  const folder = asFolder(new URL(url, isBrowser ? document.baseURI : import.meta.url));
  if (isBrowser) return loadInWorker(folder, options);
  const { openModel } = await import("./worker.js");
  const { decode, progress } = options;
  return openModel(folder, { threads: 1, wholeCode: true, ...(decode ? { decode } : {}), ...(progress ? { progress } : {}) });
}

function asFolder(url: URL): URL {
  return url.pathname.endsWith("/") ? url : new URL(`${url.pathname}/`, url);
}
