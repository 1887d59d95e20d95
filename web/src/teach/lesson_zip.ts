/** The lesson as a zip, which `spotter adopt` turns into a full revision; its format is told in docs/formats.md. */

import type { BodyNetwork } from "./body.js";
import { softmax } from "./calibrate.js";
import { logitsOf } from "./linear.js";
import type { Learnt } from "./learn.js";
import { SHIFTS, VIEWS, type Lesson, type LessonPicture, type LessonZipOptions } from "./types.js";
import { packZip, type ZipEntry } from "./zip.js";

const FORMAT = 1;
/** Digits of probabilities. */
const DIGITS = 6;

export async function packLesson(
  network: BodyNetwork,
  learnt: Learnt,
  lesson: Lesson,
  options: LessonZipOptions,
): Promise<Blob> {
  const { arch, size, resize, revision, contents } = network.body;
  const told = {
    format: FORMAT,
    spotter: network.source.site.spotter ?? "",
    at: new Date().toISOString(),
    name: options.name,
    title: options.title,
    labels: lesson.labels,
    body: { arch, size, resize, revision, contents },
    shifts: SHIFTS,
    pictures: lesson.pictures.map(describe),
    edits: lesson.edits,
    taught: summarise(learnt),
  };
  const entries = lesson.pictures.map(({ sha256, blob }): ZipEntry => ({
    path: `pictures/${sha256}.jpg`,
    content: blob,
    isPacked: true,
  }));
  return packZip([
    { path: "spotter-lesson.json", content: new Blob([JSON.stringify(told, null, 1)]), isPacked: false },
    ...entries,
  ]);
}

function describe({ sha256, original_sha256, added, width, height, origin }: LessonPicture): Record<string, unknown> {
  return { sha256, original_sha256, label: added, width, height, ...origin };
}

function summarise({ taught, lesson, chosen }: Learnt): Record<string, unknown> {
  const { classes, entries, features } = lesson;
  const byPicture = <T>(read: (row: number) => T): Record<string, T> =>
    Object.fromEntries(entries.map(({ sha256 }, row) => [sha256, read(row)]));
  const rowsOf = (values: Float64Array): Record<string, number[]> =>
    byPicture((row) =>
      Array.from(values.subarray(row * classes, (row + 1) * classes), (value) => Number(value.toPrecision(DIGITS))),
    );
  const { strength, balanced, temperature, threshold, certainty, wrong, judged } = taught;
  return {
    ...{ strength, balanced, temperature, threshold, certainty, wrong, judged },
    views_kept: chosen.shiftedKept,
    views: VIEWS,
    ...{ shifted: taught.shifted.count, cropped: taught.cropped.count },
    fold: byPicture((row) => lesson.folds[row] ?? 0),
    held_out: rowsOf(chosen.probabilities),
    plain: rowsOf(chosen.plain),
    answers: rowsOf(softmax(logitsOf(chosen.head, features), classes)),
  };
}
