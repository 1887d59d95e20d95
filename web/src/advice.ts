/** The answer to a picture from what the network gives, as `spotter/inference/{predictor,advice}.py`. */

import type { ModelCard } from "./card.js";
import { reweigh } from "./prior.js";
import type { Answer } from "./types.js";

export const NOT_SURE = "not sure";
export const ASK = "ask";

/** What of a card decides about an answer. */
export type Advised = Pick<ModelCard, "labels" | "threshold" | "costs" | "sets"> & Partial<Pick<ModelCard, "shares">>;

/**
 * The answer, with what the model advises.
 *
 * @param probabilities float32, of the network. @param prior a share for each label, in their order.
 */
export function advise(
  card: Advised,
  probabilities: readonly number[],
  familiarity: number,
  prior?: readonly number[],
): Answer {
  const { labels } = card;
  const familiar = familiarity >= card.threshold;
  const weighed = prior ? reweigh(probabilities, card.shares ?? [], prior) : probabilities;
  const closest = labels[indexOfLargest(weighed)] ?? "";
  const answer: Answer = {
    label: familiar ? closest : NOT_SURE,
    closest,
    probabilities: byLabel(labels, weighed),
    familiarity,
    familiar,
    threshold: card.threshold,
  };
  if (card.costs) Object.assign(answer, decide(card.costs, labels, weighed, familiar));
  if (card.sets) {
    const inside = chooseSet(card.sets.least, probabilities, familiar).map(
      (is, at) => is && (!prior || (prior[at] ?? 0) > 0),
    );
    answer.set = ranked(weighed)
      .filter((at) => inside[at])
      .map((at) => labels[at] ?? "");
  }
  if (prior) {
    answer.prior = byLabel(labels, prior);
    answer.unweighted = byLabel(labels, probabilities);
  }
  return answer;
}

/** What costs least on average, and what that costs. A picture that is not familiar is asked about. */
function decide(
  costs: readonly (readonly number[])[],
  labels: readonly string[],
  probabilities: readonly number[],
  familiar: boolean,
): { decision: string; expected_cost: number } {
  const asking = costs[0]?.at(-1) ?? NaN;
  const expected = [...labels, ASK].map((_, action) =>
    probabilities.reduce((sum, each, truth) => sum + each * (costs[truth]?.[action] ?? NaN), 0),
  );
  const done = familiar ? indexOfSmallest(expected) : labels.length;
  // Asking costs what it costs, whatever the probabilities add up to.
  return { decision: labels[done] ?? ASK, expected_cost: done === labels.length ? asking : (expected[done] ?? NaN) };
}

/** Which labels are in the set: those that reach their least probability; all where the picture may show anything. */
function chooseSet(least: readonly number[], probabilities: readonly number[], familiar: boolean): boolean[] {
  // Both in the same precision, so that what is equal stays equal.
  return least.map((each, at) => !familiar || Math.fround(probabilities[at] ?? NaN) >= Math.fround(each));
}

function byLabel(labels: readonly string[], shares: readonly number[]): Record<string, number> {
  return Object.fromEntries(labels.map((label, at) => [label, shares[at] ?? NaN]));
}

/** The places of the largest first; of equals, the first one. */
function ranked(shares: readonly number[]): number[] {
  return shares.map((_, at) => at).sort((one, other) => (shares[other] ?? 0) - (shares[one] ?? 0) || one - other);
}

export function indexOfLargest(values: readonly number[]): number {
  return values.reduce((best, each, at) => (each > (values[best] ?? NaN) ? at : best), 0);
}

function indexOfSmallest(values: readonly number[]): number {
  return values.reduce((best, each, at) => (each < (values[best] ?? NaN) ? at : best), 0);
}
