/** The answer for the last frames of a camera together, as `spotter/camera/events.py` pools those of an event. */

import type { Answer } from "../types.js";

// A probability of 0 would speak against a class for ever.
const LEAST = 1e-6;

/** Frames of the last `window` milliseconds. */
export class FramePool {
  #frames: { at: number; answer: Answer }[] = [];

  constructor(
    readonly labels: readonly string[],
    readonly window = 1200,
  ) {}

  /** Take the answer for a frame, `at` a time in milliseconds, and let go of those that are too old. */
  add(at: number, answer: Answer): void {
    this.#frames = [...this.#frames.filter((frame) => at - frame.at < this.window), { at, answer }];
  }

  /**
   * The probabilities (they add up to 1) and the familiarity of all frames together: of those that show something, or
   * where none does, of all. It is the mean of the logarithms, as frames so alike are no independent evidence.
   */
  pooled(): { probabilities: number[]; familiarity: number } {
    const answers = this.#frames.map(({ answer }) => answer);
    const shown = answers.filter((answer) => answer.familiar);
    const used = shown.length ? shown : answers;
    const logs = this.labels.map((label) => {
      // A prior counts once, for all of them.
      const shares = used.map((answer) => (answer.unweighted ?? answer.probabilities)[label] ?? 0);
      return shares.reduce((sum, share) => sum + Math.log(Math.max(share, LEAST)), 0) / used.length;
    });
    const weights = logs.map((log) => Math.exp(log - Math.max(...logs)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return {
      probabilities: weights.map((weight) => weight / total),
      familiarity: Math.max(...used.map((answer) => answer.familiarity)),
    };
  }
}
