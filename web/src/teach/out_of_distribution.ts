/**
 * Out-of-distribution detection: how familiar a picture must be, chosen on held-out pictures as in
 * `spotter/evaluate/ood.py`. Familiarity is the mean cosine to the nearest pictures of other folds, less what the
 * classifier doubts.
 */

import { predictedOf } from "./head.js";

export const NEIGHBOURS = 3;
/** At least this share of the held-out pictures passes the threshold. */
const ACCEPT = 0.965;
const CERTAINTIES = [0, 0.1, 0.2, 0.3, 0.4, 0.5];
/** On so many pictures the weight of doubts is chosen. */
const CHOSEN_ON = 2000;

/** Pictures, and after them shifted views of them. */
export interface Seen {
  pictures: number;
  /** Which picture each view is of. */
  of: number[];
  /** Of all pictures and views with each other: (all * all). */
  cosines: Float32Array;
  targets: number[];
  folds: number[];
  classes: number;
  /** By heads that did not see them: (pictures * classes), (views * classes). */
  probabilities: Float64Array;
  shifted: Float64Array;
}

export interface Familiarity {
  threshold: number;
  /** The share of held-out pictures at or above it. */
  accepted: number;
  certainty: number;
  /** Whether the shifted views belong to what a picture is compared with. */
  withViews: boolean;
  /** Of each picture, compared with other folds than its own. */
  scores: number[];
}

/**
 * Choose the score, and the threshold.
 *
 * Without views it is the mean cosine to the pictures. With them it is tried whether they go into the reference, and
 * how much the classifier's doubts count. The best is what tells right answers, to held-out pictures and shifted views,
 * from wrong ones and from strangers: these are the same pictures and a model that lacks their class.
 */
export function chooseFamiliarity(seen: Seen): Familiarity {
  let best = { withViews: false, certainty: 0 };
  let most = -1;
  for (const withViews of seen.of.length ? [false, true] : []) {
    const scores = scoreSpectrum(seen, withViews);
    for (const certainty of CERTAINTIES) {
      const value = separation(scores, certainty);
      if (value > most) [best, most] = [{ withViews, certainty }, value];
    }
  }
  const rows = Array.from({ length: seen.pictures }, (_, row) => row);
  const scores = rows.map((row) => {
    const { near } = compare(seen, row, best.withViews);
    return weigh(near, largest(probabilitiesOf(seen, row)), best.certainty);
  });
  // A score of the data itself, not one between two: at least `ACCEPT` of the held-out pictures pass it.
  const threshold = scores.toSorted((one, other) => one - other)[Math.floor((scores.length - 1) * (1 - ACCEPT))] ?? 0;
  const accepted = scores.filter((score) => score >= threshold).length / scores.length;
  return { ...best, threshold, accepted, scores };
}

/** How well the higher ones are told from the lower ones: the area under the ROC curve, equal scores counting half. */
export function areaUnderRoc(above: readonly number[], below: readonly number[]): number {
  const lower = Float64Array.from(below).sort();
  let area = 0;
  let under = 0;
  let same = 0;
  for (const score of Float64Array.from(above).sort()) {
    while (under < lower.length && (lower[under] ?? 0) < score) under++;
    same = Math.max(same, under);
    while (same < lower.length && lower[same] === score) same++;
    area += (under + same) / 2;
  }
  return area / (above.length * below.length);
}

interface Scored {
  near: number;
  /** Without the pictures of its own class. */
  far: number;
  probabilities: Float64Array;
  target: number;
}

function scoreSpectrum(seen: Seen, withViews: boolean): Scored[] {
  const count = Math.min(seen.pictures, CHOSEN_ON);
  // Evenly spread, as the set lies class by class.
  const pictures = Array.from({ length: count }, (_, at) =>
    Math.round((at * (seen.pictures - 1)) / Math.max(1, count - 1)),
  );
  const chosen = new Set(pictures);
  const views = Array.from(seen.of.keys()).filter((view) => chosen.has(seen.of[view] ?? -1));
  return [...pictures, ...views.map((view) => seen.pictures + view)].map((row) => ({
    ...compare(seen, row, withViews),
    probabilities: probabilitiesOf(seen, row),
    target: seen.targets[pictureOf(seen, row)] ?? 0,
  }));
}

/** In [0, 1]: how well right answers are told from wrong ones and from strangers. */
function separation(scored: Scored[], certainty: number): number {
  const right: number[] = [];
  const wrong: number[] = [];
  const strange: number[] = [];
  for (const { near, far, probabilities, target } of scored) {
    const isRight = predictedOf(probabilities, probabilities.length, 0) === target;
    (isRight ? right : wrong).push(weigh(near, largest(probabilities), certainty));
    const without = probabilities.map((share, label) => (label === target ? 0 : share));
    // What the others would share if there were no such class.
    const total = Math.max(
      without.reduce((sum, share) => sum + share, 0),
      1e-12,
    );
    strange.push(weigh(far, largest(without) / total, certainty));
  }
  if (!right.length) return 0;
  const areas = [wrong, strange].filter((others) => others.length).map((others) => areaUnderRoc(right, others));
  return areas.reduce((sum, area) => sum + area, 0) / areas.length;
}

/** The mean cosine of a picture or view to the nearest of other folds, with and without its own class. */
function compare(seen: Seen, row: number, withViews: boolean): { near: number; far: number } {
  const all = seen.pictures + seen.of.length;
  const own = pictureOf(seen, row);
  const near = new Nearest();
  const far = new Nearest();
  for (let other = 0; other < (withViews ? all : seen.pictures); other++) {
    const picture = pictureOf(seen, other);
    if (seen.folds[picture] === seen.folds[own]) continue;
    const cosine = seen.cosines[row * all + other] ?? 0;
    near.add(cosine);
    far.add(seen.targets[picture] === seen.targets[own] ? -1 : cosine);
  }
  return { near: near.mean(), far: far.mean() };
}

/** The highest few of many, the highest first. */
class Nearest {
  private readonly highest: number[] = [];

  add(cosine: number): void {
    const { highest } = this;
    if (highest.length === NEIGHBOURS && cosine <= (highest[NEIGHBOURS - 1] ?? 0)) return;
    let place = Math.min(highest.length, NEIGHBOURS - 1);
    for (; place > 0 && (highest[place - 1] ?? 0) < cosine; place--) highest[place] = highest[place - 1] ?? 0;
    highest[place] = cosine;
  }

  /** Clipped to [0, 1]. */
  mean(): number {
    const mean = this.highest.reduce((sum, each) => sum + each, 0) / this.highest.length;
    return Math.min(Math.max(mean, 0), 1);
  }
}

function pictureOf(seen: Seen, row: number): number {
  return row < seen.pictures ? row : (seen.of[row - seen.pictures] ?? 0);
}

function probabilitiesOf({ pictures, classes, probabilities, shifted }: Seen, row: number): Float64Array {
  const [values, at] = row < pictures ? [probabilities, row] : [shifted, row - pictures];
  return values.subarray(at * classes, (at + 1) * classes);
}

function largest(values: Float64Array): number {
  return Math.max(...values);
}

function weigh(cosine: number, probability: number, certainty: number): number {
  return certainty ? cosine * probability ** certainty : cosine;
}
