/** Answers as a CSV file: the same columns, and the same cells, as the server's (`spotter/serve/batch.py`). */

import type { Answer } from "../types.js";
import { inOneLine } from "./names.js";
import { shortest } from "./numbers.js";

/** A picture's answer, or why there is none (a sentence, in English as in all tables). */
export interface Row {
  name: string;
  answer?: Answer;
  error?: string;
}

type Cell = string | number | boolean | undefined;

// Each field of an answer: without one of them, this does not compile.
const FIELDS: Record<keyof Answer, true> = {
  ...{ label: true, closest: true, probabilities: true, familiarity: true, familiar: true, threshold: true },
  ...{ decision: true, expected_cost: true, set: true, prior: true, unweighted: true, looked_at: true },
};
// The other columns of a table, of any model.
const TAKEN = new Set(["file", "error", ...Object.keys(FIELDS)]);
// Tells spreadsheets that it is UTF-8.
const MARK = "\ufeff";
// A spreadsheet runs a cell that begins with one of these, in full width too, as some input methods type them.
const RUNS = "=+-@";
// What some spreadsheets, in the language of their user, take for the end of a cell.
const ENDS_CELL = ";";
// Letters by name and blanks to the eye; and marks without a letter to stand on, joiners, and the quotes of CSV itself.
const SKIPPED = /^(?:[\s\u115f\u1160\u2800\u3164\uffa0"\p{Mn}\p{Me}]|\u200c|\u200d)$/u;

/** The whole file, with a heading. */
export function csvOf(rows: readonly Row[], labels: readonly string[], advice: readonly string[]): string {
  const classes = classColumns(labels);
  const head = ["file", "label", "closest", ...classes, "familiarity", "familiar", "threshold", ...advice, "error"];
  const lines = rows.map(({ name, answer, error }) => [name, ...cellsOf(answer, labels, advice), error]);
  return MARK + [head, ...lines].map((line) => `${line.map(written).join(",")}\r\n`).join("");
}

/** The labels, with " (class)" where another column has the name. */
function classColumns(labels: readonly string[]): string[] {
  return labels.map((label) => {
    let name = label;
    while (TAKEN.has(name) || (name !== label && labels.includes(name))) name += " (class)";
    return name;
  });
}

/** Text for a cell, which a spreadsheet shows as it is: in one line, and never a formula. */
export function plainCell(text: string): string {
  return inOneLine(text)
    .split(ENDS_CELL)
    .map((part) => (runs(part) ? `'${part}` : part))
    .join(ENDS_CELL);
}

function cellsOf(answer: Answer | undefined, labels: readonly string[], advice: readonly string[]): Cell[] {
  const count = 5 + labels.length + advice.length;
  if (!answer) return Array.from({ length: count }, () => undefined);
  const shares = labels.map((label) => answer.probabilities[label]);
  const told = advice.map((name) => flat(answer[name as keyof Answer]));
  const { label, closest, familiarity, familiar, threshold } = answer;
  return [label, closest, ...shares, familiarity, familiar, threshold, ...told];
}

function flat(value: Answer[keyof Answer]): Cell {
  if (Array.isArray(value)) return value.map((each) => (typeof each === "number" ? shortest(each) : each)).join("|");
  if (typeof value !== "object") return value;
  const pairs = Object.entries(value).map(([label, share]) => `${JSON.stringify(label)}: ${shortest(share)}`);
  return `{${pairs.join(", ")}}`;
}

function written(cell: Cell): string {
  if (cell === undefined) return "";
  if (typeof cell === "number") return shortest(cell);
  if (typeof cell === "boolean") return cell ? "True" : "False";
  const text = plainCell(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function runs(text: string): boolean {
  for (const character of text) {
    if (!SKIPPED.test(character)) return RUNS.includes(character.normalize("NFKC"));
  }
  return false;
}
