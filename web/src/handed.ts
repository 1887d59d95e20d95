/** What a page has fetched, for the service worker that is to keep the site: it need not travel twice. */

import type { Hand } from "./files.js";

/** The cache of a site's folder, by its path, that files are handed over in. */
export function handedName(path: string): string {
  return `spotter ${path} handed`;
}

/** Puts files where the service worker looks for them. It checks each like one from the server. */
export function handOver(folder: URL): Hand {
  return (url, data) => {
    // Now, as whoever fetched it may let go of it at once.
    const answer = new Response(data);
    // Missing without https, and refused in some private modes: then the service worker fetches them itself.
    const kept = (globalThis as { caches?: CacheStorage }).caches
      ?.open(handedName(folder.pathname))
      .then((cache) => cache.put(url, answer));
    kept?.catch(() => undefined);
  };
}
