/** Keeps the site in the browser, so that it works without a network. */

import { hashOf } from "../files.js";

/** Whether nothing is kept yet that this page is served from. */
export function isNew(): boolean {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  return workers !== undefined && !workers.controller;
}

/** Register the service worker for this version of the site. Where that is refused, the page goes on without. */
export async function keepForOffline(base: URL): Promise<void> {
  // Missing on pages without https, and in some private modes.
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return;
  try {
    const answer = await fetch(new URL("site.json", base), { cache: "no-cache" });
    if (!answer.ok) throw new Error(`site.json: ${answer.status}`);
    const version = await hashOf(new Uint8Array(await answer.arrayBuffer()));
    // The worker's own file is the same for all models: its address tells versions apart.
    await workers.register(new URL(`sw.js?version=${version}`, base), { scope: base.pathname });
  } catch (error) {
    console.info("The page does not work offline here:", error);
  }
}
