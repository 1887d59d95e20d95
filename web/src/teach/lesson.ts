/** A lesson as learning takes it: checked, in the order of Python's picture sets, grouped and dealt into folds. */

import { CannotTeach } from "./errors.js";
import { dealFolds } from "./folds.js";
import { groupDuplicates, type Grouped } from "./groups.js";
import { dot, embed, type Rows } from "./linear.js";
import { inOrder } from "./names.js";
import type { Table, Views } from "./head.js";
import { MOST_LABELS, MOST_PICTURES, ENOUGH_SHIFTED, MOST_SHIFTED, SHIFTS, VIEWS, type Features, type LessonPicture } from "./types.js";

/** With more pictures, mirrored and cropped views of them bring nothing. */
const FEW_PICTURES = 200;
const LEAST = 2;

/** What learning needs of a picture. */
export interface Entry {
  sha256: string;
  added: string;
  label: string | null;
  page: string;
  features: Features;
}

export interface Lesson extends Table {
  /** The pictures that are learnt from, in the order of `features`. */
  entries: Entry[];
  /** Of each of them. */
  groups: number[];
  twins: { first: string; second: string; cosine: number }[];
  cropped: Views | undefined;
  shifted: Views | undefined;
}

type Planned = Pick<LessonPicture, "sha256" | "added" | "label">;

/** Which pictures need cropped views, and how many shifted ones, by their SHA-256. */
export interface ViewPlan {
  cropped: ReadonlySet<string>;
  shifted: ReadonlyMap<string, number>;
}

export const NO_VIEWS: ViewPlan = { cropped: new Set(), shifted: new Map() };

/** Which views a picture needs by a plan and does not have. */
export function lackingViews(
  sha256: string,
  plan: ViewPlan,
  there: Features | undefined,
): { cropped: boolean; shifted: number } {
  const shifted = plan.shifted.get(sha256) ?? 0;
  return {
    cropped: plan.cropped.has(sha256) && !there?.cropped.length,
    shifted: there && countShifted(there) >= shifted ? 0 : shifted,
  };
}

/** How many shifted views there are of a picture. Those that were made in another way, by a page of before, are none. */
function countShifted({ views, shows }: Features): number {
  return views === VIEWS ? shows.length : 0;
}

/** Whether any of these pictures needs views that it does not have. */
export function lacksViews(pictures: (Planned & { features?: Features })[]): boolean {
  const plan = planViews(pictures);
  return pictures.some(({ sha256, features }) => {
    const { cropped, shifted } = lackingViews(sha256, plan, features);
    return cropped || shifted > 0;
  });
}

/**
 * As `plan_views` in `spotter/train/views.py`: first one shifted view of each picture, and of each class the same number. It goes by the pictures' hashes, so that a few more pictures change few views.
 */
export function planViews(
  pictures: Planned[],
  shifts = SHIFTS,
  enough = ENOUGH_SHIFTED,
  most = MOST_SHIFTED,
): ViewPlan {
  const kept = inOrder(withoutCopies(pictures)).filter(({ label }) => label !== null);
  const cropped = new Set(kept.length > FEW_PICTURES ? [] : kept.map(({ sha256 }) => sha256));
  const ranks = new Map<string | null, number>();
  const slots = kept
    .map(({ sha256, label }, row) => ({ sha256, label, row }))
    .sort((one, other) => (one.sha256 < other.sha256 ? -1 : 1))
    .map(({ sha256, label, row }) => {
      const rank = ranks.get(label) ?? 0;
      ranks.set(label, rank + 1);
      return { sha256, rank, row };
    })
    .sort((one, other) => one.rank - other.rank || one.row - other.row);
  const shifted = new Map<string, number>();
  for (const { sha256 } of Array.from({ length: shifts }, () => slots)
    .flat()
    .slice(0, Math.max(enough, Math.min(slots.length, most)))) {
    shifted.set(sha256, (shifted.get(sha256) ?? 0) + 1);
  }
  return { cropped, shifted };
}

/** @throws CannotTeach */
export function readLesson(labels: string[], pictures: Entry[]): Lesson {
  checkEnough(labels, pictures);
  const ordered = inOrder(withoutCopies(pictures));
  const embeddings = ordered.map(({ features }) => embed(features.plain));
  const indexOf = (label: string | null): number => (label === null ? -1 : labels.indexOf(label));
  const added = ordered.map((each) => indexOf(each.added));
  const now = ordered.map((each) => indexOf(each.label));
  const hashed = ordered.map(({ page, features }, row) => ({ page, phash: features.phash, target: added[row] ?? -1 }));
  const grouped = groupDuplicates(hashed, (first, second) => cosineOf(embeddings, first, second));
  const folds = dealFolds(added, now, grouped.groups, labels);
  const rows = Array.from(now.keys()).filter((row) => (now[row] ?? -1) >= 0);
  const pick = <T>(values: T[]): T[] => rows.flatMap((row) => values[row] ?? []);
  const entries = pick(ordered);
  const plan = planViews(entries);
  const targets = pick(now);
  return {
    entries,
    features: entries.map(({ features }) => features.plain),
    targets,
    folds: pick(folds),
    classes: labels.length,
    groups: pick(grouped.groups),
    twins: namedTwins(grouped, ordered),
    cropped: viewsOf(entries, ({ sha256, features }) =>
      plan.cropped.has(sha256) ? features.cropped : new Float32Array(0),
    ),
    shifted: viewsOf(entries, ({ sha256, features }) => {
      const count = Math.min(plan.shifted.get(sha256) ?? 0, countShifted(features));
      return features.shifted.subarray(0, count * features.plain.length);
    }),
  };
}

/** Groups of more than one picture. */
export function listGroups({ entries, groups }: Lesson): string[][] {
  const found = new Map<number, string[]>();
  groups.forEach((group, row) => {
    found.set(group, [...(found.get(group) ?? []), entries[row]?.sha256 ?? ""]);
  });
  return [...found.values()].filter((members) => members.length > 1);
}

function checkEnough(labels: string[], pictures: Entry[]): void {
  if (pictures.length > MOST_PICTURES || labels.length > MOST_LABELS) {
    const most = `${MOST_PICTURES} pictures and ${MOST_LABELS} classes`;
    throw new CannotTeach("too-many", `At most ${most} can be taught here; use Spotter on a computer for more.`);
  }
  const own = labels.map((label) => pictures.filter((each) => each.label === label));
  if (own.filter((each) => each.length).length < 2) {
    throw new CannotTeach("one-class", "At least two classes with pictures are needed to tell apart.");
  }
  own.forEach((each, number) => {
    const label = labels[number] ?? "";
    const different = new Set(each.map(({ sha256 }) => sha256)).size;
    if (each.length > 1 && different === 1) {
      const why = "has only copies of one picture; it needs different pictures to learn from.";
      throw new CannotTeach("same-picture", `The class '${label}' ${why}`, label);
    }
    if (different < LEAST) throw new CannotTeach("too-few", `The class '${label}' needs more pictures.`, label);
  });
}

/** One of each; none of those that were added to two classes. */
function withoutCopies<T extends { sha256: string; added: string }>(pictures: T[]): T[] {
  const classes = new Map<string, Set<string>>();
  for (const { sha256, added } of pictures) classes.set(sha256, (classes.get(sha256) ?? new Set()).add(added));
  const seen = new Set<string>();
  return pictures.filter(({ sha256 }) => {
    const isFirst = !seen.has(sha256) && classes.get(sha256)?.size === 1;
    seen.add(sha256);
    return isFirst;
  });
}

function viewsOf(entries: Entry[], read: (entry: Entry) => Float32Array): Views | undefined {
  const features: Float32Array[] = [];
  const of: number[] = [];
  entries.forEach((entry, row) => {
    const values = read(entry);
    const width = entry.features.plain.length;
    for (let at = 0; at < values.length; at += width) {
      features.push(values.subarray(at, at + width));
      of.push(row);
    }
  });
  return of.length ? { features, of } : undefined;
}

function cosineOf(embeddings: Rows, first: number, second: number): number {
  const [one, other] = [embeddings[first], embeddings[second]];
  return one && other ? dot(one, other) : 0;
}

function namedTwins({ twins }: Grouped, ordered: Entry[]): Lesson["twins"] {
  return twins.map(({ first, second, cosine }) => ({
    first: ordered[first]?.sha256 ?? "",
    second: ordered[second]?.sha256 ?? "",
    cosine,
  }));
}
