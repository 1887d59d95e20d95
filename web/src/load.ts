import { CannotRun } from "./errors.js";
import type { LoadOptions, Spotter } from "./types.js";

/** Load the model of a site's folder (default: the folder that this file lies in). */
export async function load(_url: string | URL = new URL(".", import.meta.url), _options: LoadOptions = {}): Promise<Spotter> {
  return Promise.reject(new CannotRun("no-network", "Not there yet."));
}
