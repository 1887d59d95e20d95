/** Answers to what a camera shows, several times a second, steadied over the last second. */

import type { Answer } from "../types.js";
import { nextFrame } from "./camera.js";
import { FramePool } from "./pool.js";

// Ten answers a second are more than anybody reads.
const LEAST_MS = 100;

/** Who answers. */
export interface Answerer {
  classify(frame: ImageBitmap): Promise<Answer>;
  /** The answer to what frames say together: a probability for each of `labels`, and how familiar they are. */
  answerFrom(pooled: Pooled): Answer | Promise<Answer>;
  /** The labels of an answer, in the order of the model's; whoever learns may answer with others than before. */
  labelsOf(answer: Answer): readonly string[];
}

export interface Pooled {
  labels: readonly string[];
  probabilities: number[];
  familiarity: number;
  /** The answer to the last frame. */
  last: Answer;
}

/**
 * Answer frames until `isOver` says so.
 *
 * @param show told the steadied answer after each frame.
 */
export async function answerLive(
  video: HTMLVideoElement,
  answerer: Answerer,
  isOver: () => boolean,
  show: (answer: Answer) => void,
): Promise<void> {
  let pool = new FramePool([]);
  let since = 0;
  while (!isOver()) {
    await nextFrame(video, since, LEAST_MS);
    if (isOver()) return;
    since = performance.now();
    const last = await answerer.classify(await createImageBitmap(video));
    if (isOver()) return;
    const labels = answerer.labelsOf(last);
    if (labels.join() !== pool.labels.join()) pool = new FramePool(labels);
    pool.add(since, last);
    const steadied = await answerer.answerFrom({ labels, ...pool.pooled(), last });
    if (!isOver()) show(steadied);
  }
}
