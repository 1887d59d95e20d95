/** What is known of a place or a season before a picture is seen, as `spotter/decide/prior.py`. */

import { BadPrior } from "./errors.js";

/** Shares may add up to so much more or less than 1. */
const SLACK = 0.01;

/**
 * A share for each label, in their order, that add up to 1.
 *
 * @throws BadPrior: it names other labels, holds what is no share, or does not add up to 1.
 */
export function checkPrior(named: Record<string, number>, labels: readonly string[]): number[] {
  for (const [label, share] of Object.entries(named)) {
    if (!labels.includes(label)) {
      throw new BadPrior(
        `The prior names '${label.slice(0, 60)}', which is no label; there are: ${labels.join(", ")}.`,
      );
    }
    if (typeof share !== "number" || !Number.isFinite(share) || share < 0) {
      throw new BadPrior(`The prior of '${label}' must be 0 or more, not ${share}.`);
    }
  }
  const total = Object.values(named).reduce((sum, share) => sum + share, 0);
  if (Math.abs(total - 1) > SLACK + 1e-9) {
    throw new BadPrior(
      `The prior must add up to 1, and it adds up to ${Number(total.toPrecision(4))}; what is not named counts as 0.`,
    );
  }
  return labels.map((label) => (Object.hasOwn(named, label) ? (named[label] ?? 0) : 0) / total);
}

/** Probabilities as they are where labels come in the shares `prior` instead of `learnt`. */
export function reweigh(
  probabilities: readonly number[],
  learnt: readonly number[],
  prior: readonly number[],
): number[] {
  const weighed = probabilities.map((each, at) => each * ((prior[at] ?? NaN) / (learnt[at] ?? NaN)));
  const total = weighed.reduce((sum, each) => sum + each, 0);
  // Where a picture speaks only for labels that do not occur, the prior is all that is known.
  return total > 0 ? weighed.map((each) => each / total) : [...prior];
}
