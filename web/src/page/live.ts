/** Answers to what a camera shows, several times a second, steadied over the last second. */

import type { Answer, Spotter } from "../types.js";
import { nextFrame } from "./camera.js";
import { FramePool } from "./pool.js";

// Ten answers a second are more than anybody reads.
const LEAST_MS = 100;

/**
 * Answer frames until `isOver` says so.
 *
 * @param show told the steadied answer after each frame.
 */
export async function answerLive(
  video: HTMLVideoElement,
  spotter: Spotter,
  prior: Record<string, number> | undefined,
  isOver: () => boolean,
  show: (answer: Answer) => void,
): Promise<void> {
  const pool = new FramePool(spotter.card.labels);
  const options = prior ? { prior } : {};
  let since = 0;
  while (!isOver()) {
    await nextFrame(video, since, LEAST_MS);
    if (isOver()) return;
    since = performance.now();
    const answer = await spotter.classify(await createImageBitmap(video), options);
    pool.add(since, answer);
    const { probabilities, familiarity } = pool.pooled();
    const steadied = await spotter.answerFrom(probabilities, familiarity, options);
    if (!isOver()) show(steadied);
  }
}
