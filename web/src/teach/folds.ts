/**
 * Folds for cross-validation, the same as `spotter/data/splits.py` deals: classes in equal shares, near duplicates
 * always together (StratifiedGroupKFold of scikit-learn, in its very steps: where two folds fit nearly alike, rounding
 * decides).
 */

import { CannotTeach } from "./errors.js";
import { MersenneTwister } from "./mt19937.js";

const FOLDS = 5;
const SEED = 42;

/**
 * Deal pictures into folds: numbers 0..k-1, where k is 5, or fewer when a class has too few groups.
 *
 * @param targets of each picture, indexes of `labels`. @param groups of each picture, numbered in order of appearance.
 * @throws CannotTeach: a class has so few different pictures that none could be held out.
 */
export function assignFolds(targets: number[], groups: number[], labels: string[]): number[] {
  const different = labels.map((_, label) => new Set(groups.filter((_, row) => targets[row] === label)).size);
  const smallest = Math.min(...different);
  if (smallest < 2) throw tooFewDifferent(labels[different.indexOf(smallest)] ?? "");
  const folds = stratifiedGroupKFold(targets, groups, Math.min(FOLDS, smallest), labels.length);
  labels.forEach((label, number) => {
    if (countFolds(folds, targets, number) < 2) throw tooFewDifferent(label);
  });
  return folds;
}

/**
 * The folds of the pictures that are left after edits, dealt as if there had been none: so an edit moves no other
 * picture into another fold, and errors before and after it can be compared.
 *
 * @param added the classes that the pictures were added to. @param now their classes now; -1: left out.
 * @returns the fold of each picture, -1 where it was left out.
 */
export function dealFolds(added: number[], now: number[], groups: number[], labels: string[]): number[] {
  const kept = now.map((target, row) => (target < 0 ? -1 : row)).filter((row) => row >= 0);
  const pick = (values: number[]): number[] => kept.map((row) => values[row] ?? 0);
  const targets = pick(now);
  let own: number[] | undefined = pick(assignFolds(added, groups, labels));
  if (labels.some((_, label) => countFolds(own ?? [], targets, label) < 2)) {
    // What is left of a class lies in one fold, and no head could learn it there.
    own = assignFolds(targets, renumber(pick(groups)), labels);
  }
  const numbers = [...new Set(own)].sort((one, other) => one - other);
  const folds = now.map(() => -1);
  kept.forEach((row, place) => {
    folds[row] = numbers.indexOf(own[place] ?? 0);
  });
  return folds;
}

function countFolds(folds: number[], targets: number[], label: number): number {
  return new Set(folds.filter((_, row) => targets[row] === label)).size;
}

function tooFewDifferent(label: string): CannotTeach {
  const why = "too many are near duplicates of each other or of another class's; it needs more different pictures.";
  return new CannotTeach("too-few-different", `The class '${label}' has too few different pictures: ${why}`, label);
}

/** The same groups, numbered without gaps. */
function renumber(groups: number[]): number[] {
  const numbers = [...new Set(groups)].sort((one, other) => one - other);
  return groups.map((group) => numbers.indexOf(group));
}

function stratifiedGroupKFold(targets: number[], groups: number[], splits: number, classes: number): number[] {
  const count = Math.max(...groups) + 1;
  const ofGroup = Array.from({ length: count }, () => new Array<number>(classes).fill(0));
  const ofClass = new Array<number>(classes).fill(0);
  targets.forEach((target, row) => {
    const counts = ofGroup[groups[row] ?? 0] ?? [];
    counts[target] = (counts[target] ?? 0) + 1;
    ofClass[target] = (ofClass[target] ?? 0) + 1;
  });
  const shuffled = new MersenneTwister(SEED).shuffle(Array.from(ofGroup.keys()));
  const spreads = ofGroup.map((counts) => spread(counts));
  // The most uneven groups first; those that are alike stay shuffled.
  const order = shuffled.toSorted((one, other) => (spreads[other] ?? 0) - (spreads[one] ?? 0));
  const ofFold = Array.from({ length: splits }, () => new Array<number>(classes).fill(0));
  const foldOf = new Array<number>(count).fill(0);
  for (const group of order) {
    const counts = ofGroup[group] ?? [];
    const fold = bestFold(ofFold, ofClass, counts);
    foldOf[group] = fold;
    addTo(ofFold[fold] ?? [], counts);
  }
  return groups.map((group) => foldOf[group] ?? 0);
}

function bestFold(ofFold: number[][], ofClass: number[], counts: number[]): number {
  let best = 0;
  let least = Infinity;
  let fewest = Infinity;
  ofFold.forEach((own, fold) => {
    const spreads = ofClass.map((total, target) =>
      spread(ofFold.map((each, row) => ((each[target] ?? 0) + (row === fold ? (counts[target] ?? 0) : 0)) / total)),
    );
    const found = sum(spreads) / spreads.length;
    const pictures = sum(own);
    const isClose = Math.abs(found - least) <= 1e-8 + 1e-5 * Math.abs(least);
    if (found < least || (isClose && pictures < fewest)) {
      [best, least, fewest] = [fold, found, pictures];
    }
  });
  return best;
}

/** The standard deviation, rounded as numpy's. */
function spread(values: number[]): number {
  const mean = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - mean) * (value - mean))) / values.length);
}

/** Added up in numpy's order: eight sums side by side from eight values on. */
function sum(values: number[]): number {
  if (values.length < 8) return values.reduce((total, value) => total + value, 0);
  const whole = values.length - (values.length % 8);
  const r = values.slice(0, 8);
  for (let at = 8; at < whole; at++) r[at % 8] = (r[at % 8] ?? 0) + (values[at] ?? 0);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = r;
  return values.slice(whole).reduce((total, value) => total + value, a + b + (c + d) + (e + f + (g + h)));
}

function addTo(target: number[], values: number[]): void {
  values.forEach((value, at) => {
    target[at] = (target[at] ?? 0) + value;
  });
}
