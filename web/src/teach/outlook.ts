/**
 * What more pictures would bring, by how the error fell with those that are there: as
 * `spotter/evaluate/learning_curve.py`.
 */

import { fitLinear, logitsOf } from "./linear.js";
import { predictedOf, type Help, type Table } from "./head.js";
import { MersenneTwister } from "./mt19937.js";
import { MORE_PER_CLASS, type Outlook } from "./types.js";

const SHARES = [0.2, 0.4, 0.6, 0.8, 1];
const STRENGTH = 0.001;
const SEED = 42;
/** Fewer wrong answers than this have no trend. */
const FEWEST_WRONG = 3;
/** A fall of the error by less than this part of it is not worth the pictures. */
const HARDLY = 0.1;
const RESAMPLED = 400;
const POWERS = Array.from({ length: 30 }, (_, at) => 0.1 + at * 0.1);
/** With more pictures, one fold is plenty. */
const MANY = 2000;

export function countOutlookSteps(folds: number, pictures: number): number {
  return (pictures <= MANY ? folds : 1) * SHARES.length;
}

/** @param groups of each picture: near duplicates are learnt from together or not at all. */
export async function foreseeMore(table: Table, groups: number[], balanced: boolean, help: Help): Promise<Outlook> {
  const { targets, folds, features, classes } = table;
  const numbers = [...new Set(folds)].sort((one, other) => one - other);
  const judging = targets.length <= MANY ? numbers : numbers.slice(0, 1);
  const judged = Array.from(targets.keys()).filter((row) => judging.includes(folds[row] ?? -1));
  const wrong = SHARES.map(() => new Float64Array(targets.length));
  const sizes = SHARES.map(() => 0);
  for (const fold of judging) {
    const out = judged.filter((row) => folds[row] === fold);
    const others = Array.from(targets.keys()).filter((row) => folds[row] !== fold);
    const parts = nestedShares(others, targets, groups, new MersenneTwister(SEED + fold));
    for (const [at, rows] of parts.entries()) {
      const pick = (chosen: number[]): Float32Array[] => chosen.flatMap((row) => features[row] ?? []);
      const own = rows.map((row) => targets[row] ?? 0);
      const [head] = await fitLinear(pick(rows), own, classes, [STRENGTH], [balanced], help.products);
      if (!head) continue;
      const logits = logitsOf(head, pick(out));
      out.forEach((row, number) => {
        const mistakes = wrong[at];
        if (mistakes) mistakes[row] = Number(predictedOf(logits, classes, number) !== targets[row]);
      });
      sizes[at] = (sizes[at] ?? 0) + rows.length / judging.length;
      await help.step();
    }
  }
  return foresee(
    sizes,
    wrong.map((mistakes) => judged.map((row) => mistakes[row] ?? 0)),
    classes,
  );
}

/** @param sizes pictures learnt from, ascending. @param wrong for each size, whether each picture was wrong. */
export function foresee(sizes: number[], wrong: number[][], classes: number): Outlook {
  const last = wrong.at(-1) ?? [];
  if (sum(last) < FEWEST_WRONG) return { can: false, reason: "few-wrong" };
  const [first = 0, most = 0] = [sizes[0], sizes.at(-1)];
  if (first === most) return { can: false, reason: "few-different" };
  const total = last.length;
  const weights = weightsOf(wrong, total);
  const law = fitPowerLaw(
    sizes,
    wrong.map((each) => sum(each) / total),
    weights,
  );
  const errorAt = ({ floor, scale, power }: PowerLaw, size: number): number => floor + scale * size ** -power;
  const more = most + MORE_PER_CLASS * classes;
  const random = new MersenneTwister(SEED);
  const falls = Array.from({ length: RESAMPLED }, () => {
    const drawn = Array.from({ length: total }, () => random.upTo(total - 1));
    const errors = wrong.map((each) => drawn.reduce((found, row) => found + (each[row] ?? 0), 0) / total);
    const other = fitPowerLaw(sizes, errors, weights);
    return errorAt(other, most) - errorAt(other, more);
  }).sort((one, other) => one - other);
  const [now, then] = [errorAt(law, most), errorAt(law, more)];
  return {
    ...{ can: true, now, then },
    fall: [falls[Math.round(0.05 * (RESAMPLED - 1))] ?? 0, falls[Math.round(0.95 * (RESAMPLED - 1))] ?? 0],
    worthIt: then <= (1 - HARDLY) * now,
  };
}

interface PowerLaw {
  floor: number;
  scale: number;
  power: number;
}

/** For each of `SHARES`, that share of the candidates: of each class, whole groups, each holding the smaller ones. */
function nestedShares(candidates: number[], targets: number[], groups: number[], random: MersenneTwister): number[][] {
  const chosen: number[][] = SHARES.map(() => []);
  for (const target of new Set(candidates.map((row) => targets[row]))) {
    const members = candidates.filter((row) => targets[row] === target);
    const turns = random.shuffle([...new Set(members.map((row) => groups[row]))]);
    const ordered = turns.map((group) => members.filter((row) => groups[row] === group));
    const ends = ordered.map((_, turn) => ordered.slice(0, turn + 1).flat());
    SHARES.forEach((share, at) => {
      const off = (rows: number[]): number => Math.abs(rows.length - share * members.length);
      const best = ends.reduce((one, other) => (off(other) < off(one) ? other : one));
      chosen[at]?.push(...best);
    });
  }
  return chosen.map((rows) => rows.sort((one, other) => one - other));
}

/** How well so many pictures measure the error of each size. */
function weightsOf(wrong: number[][], total: number): number[] {
  const weights = wrong.map((each) => {
    const smoothed = (sum(each) + 1) / (total + 2);
    return total / (smoothed * (1 - smoothed));
  });
  const all = sum(weights);
  return weights.map((weight) => weight / all);
}

/** Least squares of floor + scale * size ** -power, none of them negative. */
function fitPowerLaw(sizes: number[], errors: number[], weights: number[]): PowerLaw {
  const most = sizes.at(-1) ?? 1;
  const weighted = (values: number[]): number => sum(values.map((value, at) => value * (weights[at] ?? 0)));
  let best = { floor: 0, scale: 0, power: 1 };
  let least = Infinity;
  // Powers beyond 1 are for errors that fell down a cliff and stayed: a flatter law would promise further falls.
  for (const power of POWERS) {
    const falls = sizes.map((size) => (size / most) ** -power);
    const [meanFall, meanError] = [weighted(falls), weighted(errors)];
    const product = weighted(falls.map((fall, at) => (fall - meanFall) * (errors[at] ?? 0)));
    const slope = product / weighted(falls.map((fall) => (fall - meanFall) * fall));
    const throughZero =
      weighted(falls.map((fall, at) => fall * (errors[at] ?? 0))) / weighted(falls.map((fall) => fall * fall));
    // Within the bounds the loss is least at the free minimum or on a bound.
    const isBelowZero = meanError - slope * meanFall < 0;
    const scale = slope < 0 ? 0 : isBelowZero ? throughZero : slope;
    const floor = scale === throughZero ? 0 : Math.max(meanError - scale * meanFall, 0);
    const loss = weighted(falls.map((fall, at) => ((errors[at] ?? 0) - floor - scale * fall) ** 2));
    if (loss < least - 1e-15) [best, least] = [{ floor, scale: scale * most ** power, power }, loss];
  }
  return best;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
