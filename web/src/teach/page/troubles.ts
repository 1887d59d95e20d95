/** Why nothing is learnt, in words. */

import { CannotTeach } from "../errors.js";
import { LEAST, MOST, type Album } from "./album.js";
import type { Problem } from "../../page/problem.js";
import { BrokenModel, CannotRun } from "../../spotter.js";
import { MOST_LABELS } from "../types.js";

/** What is missing before anything can be learnt; undefined when nothing is. */
export function whatIsMissing(album: Album): Problem | undefined {
  const used = album.classes.map(({ id, name }) => ({ name, count: album.picturesOf(id).length })).filter(({ count }) => count);
  if (!used.length) return { key: "teach_needs_pictures" };
  if (used.length === 1) return { key: "teach_needs_two", values: { label: used[0]?.name ?? "" } };
  const few = used.find(({ count }) => count < LEAST);
  if (few) return { key: "teach_needs_more", values: { label: few.name, count: few.count, least: LEAST } };
  return undefined;
}

const REASONS: Record<CannotTeach["reason"], string> = {
  body: "teach_no_body",
  "one-class": "teach_needs_pictures",
  "too-few": "teach_needs_different",
  "same-picture": "teach_same_picture",
  "too-few-different": "teach_needs_different",
  "too-many": "teach_too_much",
  "not-measured": "teach_failed",
  "not-numbers": "teach_failed",
  "not-learnt": "teach_not_learnt",
  outdated: "teach_outdated",
  ended: "teach_ended",
};

const CANNOT: Partial<Record<CannotRun["reason"], string>> = {
  "no-wasm": "web_no_wasm",
  "no-simd": "web_no_simd",
  insecure: "web_insecure",
  "no-worker": "web_no_worker",
  memory: "web_memory",
};

/** What went wrong while learning. */
export function whatWentWrong(error: unknown): Problem {
  if (error instanceof CannotTeach) {
    return { key: REASONS[error.reason], values: { label: error.label, least: LEAST, most: MOST, classes: MOST_LABELS } };
  }
  if (error instanceof BrokenModel) return { key: "web_broken" };
  if (error instanceof CannotRun) return { key: CANNOT[error.reason] ?? "web_no_network" };
  console.warn(error);
  return { key: "teach_failed" };
}
