/** Why a script did not run: no browser tells it. */

import { BrokenModel, CannotRun } from "./errors.js";
import { hashOf } from "./files.js";

const PATIENCE_MS = 10_000;

interface Told {
  files?: Record<string, { sha256?: string } | undefined>;
}

/**
 * Fetch a script of a site's folder, and see whether it is the one that `site.json` names.
 *
 * @param path as in `site.json`. @returns undefined: nothing is wrong with it, or nobody tells what it should be.
 */
export async function scriptProblem(folder: URL, path: string): Promise<CannotRun | BrokenModel | undefined> {
  // Node tells by itself what is wrong with a file.
  if (folder.protocol === "file:") return undefined;
  try {
    const script = await ask(new URL(path, folder));
    if (script.status === 404 || script.status === 410) return new BrokenModel(`The site's ${path} is missing.`);
    if (!script.ok) return new CannotRun("no-network", `The server does not give ${path} (${script.status}).`);
    const hash = await hashOf(new Uint8Array(await script.arrayBuffer()));
    const wanted = await promisedHash(folder, path);
    if (wanted === undefined || wanted === hash) return undefined;
    return new BrokenModel(`The site's ${path} is damaged or was changed; load the page again.`);
  } catch {
    return new CannotRun("no-network", `The connection broke, or there is none: ${path} did not arrive. Try again.`);
  }
}

/** The hash that `site.json` gives a file. What is wrong with a `site.json` is said by whoever reads it. */
export async function promisedHash(folder: URL, path: string): Promise<string | undefined> {
  try {
    return ((await (await ask(new URL("site.json", folder))).json()) as Told).files?.[path]?.sha256;
  } catch {
    return undefined;
  }
}

function ask(url: URL): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
}
