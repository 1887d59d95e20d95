/** Learning: from a lesson to a head, a threshold, and what they say of pictures that they did not see. */

import type { Reference } from "../familiarity.js";
import { confusionOf, doubtfulLabels, wilsonInterval } from "./doubts.js";
import { chooseHead, countSteps, predictedOf, type Chosen, type Help } from "./head.js";
import { listGroups, readLesson, type Entry, type Lesson } from "./lesson.js";
import { countTargets, embed, joinRows, productsOfAll, type Products } from "./linear.js";
import { NEIGHBOURS, chooseFamiliarity, type Familiarity } from "./out_of_distribution.js";
import type { Judgement, Taught } from "./types.js";

/** What was learnt, with what answering and publishing need. */
export interface Learnt {
  taught: Taught;
  lesson: Lesson;
  chosen: Chosen;
  familiarity: Familiarity;
  /** What a picture is compared with: embeddings of pictures and then of `views` shifted views. */
  reference: Reference;
  views: number;
}

/** @param step is told after each of so many steps, and may throw to stop. @throws CannotTeach */
export async function learnLesson(
  labels: string[],
  pictures: Entry[],
  products: Products,
  step: (total: number) => Promise<void>,
): Promise<Learnt> {
  const started = performance.now();
  const lesson = readLesson(labels, pictures);
  const { entries, folds, targets, classes, cropped, shifted } = lesson;
  const foldCount = new Set(folds).size;
  const total = countSteps(foldCount, cropped !== undefined, shifted !== undefined) + 1;
  const help: Help = { products, step: () => step(total) };
  const chosen = await chooseHead(lesson, cropped, shifted, help);
  const embeddings = joinRows([...lesson.features, ...(shifted?.features ?? [])].map(embed));
  const familiarity = chooseFamiliarity({
    ...{ pictures: entries.length, of: shifted?.of ?? [], targets, folds, classes },
    cosines: await productsOfAll(embeddings, products),
    probabilities: chosen.probabilities,
    shifted: chosen.shifted,
  });
  await help.step();
  const judgements = judge(lesson, labels, chosen, familiarity);
  const wrong = judgements.filter(({ label, predicted }) => label !== predicted).length;
  const { strength, balanced, temperature, croppedKept, shiftedKept } = chosen;
  const { threshold, accepted, certainty, withViews } = familiarity;
  const { width: dimensions, values } = embeddings;
  const rows = withViews ? embeddings.rows : entries.length;
  const reference = { rows, dimensions, values: values.slice(0, rows * dimensions) };
  const taught: Taught = {
    labels,
    counts: countTargets(targets, classes),
    ...{ judged: judgements.length, wrong, error: wrong / judgements.length },
    interval: wilsonInterval(wrong, judgements.length),
    judgements,
    confusion: confusionOf(judgements, labels),
    doubtful: doubtfulLabels(judgements, labels),
    groups: listGroups(lesson),
    twins: lesson.twins,
    folds: foldCount,
    ...{ strength, balanced, temperature },
    cropped: { count: cropped?.of.length ?? 0, kept: croppedKept },
    shifted: { count: shifted?.of.length ?? 0, kept: shiftedKept },
    ...{ threshold, accepted, certainty, neighbours: NEIGHBOURS },
    seconds: (performance.now() - started) / 1000,
  };
  return { taught, lesson, chosen, familiarity, reference, views: rows - entries.length };
}

function judge(
  { entries, targets, folds, classes }: Lesson,
  labels: string[],
  chosen: Chosen,
  known: Familiarity,
): Judgement[] {
  return entries.map(({ sha256 }, row) => ({
    sha256,
    label: labels[targets[row] ?? 0] ?? "",
    probabilities: Array.from(chosen.probabilities.subarray(row * classes, (row + 1) * classes)),
    predicted: labels[predictedOf(chosen.probabilities, classes, row)] ?? "",
    fold: folds[row] ?? 0,
    familiarity: known.scores[row] ?? 0,
  }));
}
