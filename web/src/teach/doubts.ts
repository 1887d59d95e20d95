/** What the judgements of held-out pictures say: the error, the confusion matrix, and labels that may be wrong. */

import { MOST_DOUBTFUL, type Doubt, type Judgement } from "./types.js";

const Z = 1.959964;
/** A label less probable than this may be wrong (`spotter/clean/suspects.py`). */
const DOUBTFUL = 0.9;

/** The Wilson 95 % interval of count / total. Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. */
export function wilsonInterval(count: number, total: number): [low: number, high: number] {
  const share = count / total;
  const centre = share + (Z * Z) / (2 * total);
  const reach = Z * Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total));
  const scale = 1 + (Z * Z) / total;
  return [Math.max(0, (centre - reach) / scale), Math.min(1, (centre + reach) / scale)];
}

/** [label][predicted]: the pictures, those with the least probable label first. */
export function confusionOf(judgements: Judgement[], labels: string[]): string[][][] {
  const given = (judgement: Judgement): number => judgement.probabilities[labels.indexOf(judgement.label)] ?? 0;
  return labels.map((label) =>
    labels.map((predicted) =>
      judgements
        .filter((each) => each.label === label && each.predicted === predicted)
        .sort((one, other) => given(one) - given(other))
        .map(({ sha256 }) => sha256),
    ),
  );
}

/** The most doubtful labels: first those that are called something else, the least probable ones first. */
export function doubtfulLabels(judgements: Judgement[], labels: string[]): Doubt[] {
  return judgements
    .map(({ sha256, label, predicted, probabilities }) => ({
      ...{ sha256, label, probability: probabilities[labels.indexOf(label)] ?? 0 },
      suggested: predicted === label ? null : predicted,
    }))
    .filter(({ probability }) => probability < DOUBTFUL)
    .sort((one, other) => Number(!one.suggested) - Number(!other.suggested) || one.probability - other.probability)
    .slice(0, MOST_DOUBTFUL);
}
