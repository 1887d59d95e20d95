/** Reads `model.json` with the refusals of `spotter/bundle/reading.py`, as far as answering needs its fields. */

import { BrokenModel } from "./errors.js";
import { parseJson } from "./json.js";
import type { SecondLook } from "./second_look.js";

const FORMAT = 1;
/** Pixels; a larger square would fill the memory before anything is known about the network. */
const MOST_SIDE = 2048;
const MOST_COST = 1e9;
const RESIZES = ["crop", "squish", "pad"];

/** What `model.json` says, checked. */
export interface ModelCard {
  name: string;
  title: string;
  labels: string[];
  arch: string;
  size: number;
  resize: string;
  threshold: number;
  neighbours: number;
  certainty: number;
  /** How many of the last rows of the reference are shifted views of pictures. */
  views: number;
  summary: string;
  /** Label -> file of an example picture in the model's folder. */
  examples: Record<string, string>;
  /** `costs[truth][done]`, the last of each row for asking a person. */
  costs?: number[][];
  sets?: { coverage: number; least: number[] };
  shares: number[];
  prior: number[];
  second_look?: SecondLook;
  /** File -> SHA-256. */
  sha256: Record<string, string>;
}

type Table = Record<string, unknown>;

/**
 * Read a `model.json`.
 *
 * @throws BrokenModel: it is none, of another format, or holds what cannot be.
 */
export function readCard(data: Uint8Array): ModelCard {
  let content: unknown;
  try {
    content = parseJson(data);
  } catch (error) {
    throw new BrokenModel("The model's model.json cannot be read; publish it again.", { cause: error });
  }
  const format = isTable(content) ? content.format : undefined;
  if (!isTable(content) || format !== FORMAT) {
    throw new BrokenModel(`The model has format ${inWords(format)}, but this Spotter reads format ${FORMAT}.`);
  }
  const hashes = content.sha256;
  if (!isTable(hashes)) throw new BrokenModel("The model's model.json has no hashes; publish it again.");
  if (!Object.keys(hashes).every(isPlain)) {
    throw new BrokenModel("The model's model.json names a file outside the model.");
  }
  const card = readFields(content);
  checkAdvice(card);
  return card;
}

/** Whether a file of this name lies in the folder itself. */
function isPlain(name: string): boolean {
  return !["", ".", ".."].includes(name) && !/[/\\\0]/.test(name);
}

function readFields(content: Table): ModelCard {
  const labels = readLabels(content.labels);
  const title = text(content, "title");
  const name = text(content, "name");
  const resize = "resize" in content ? text(content, "resize") : "crop";
  if (!RESIZES.includes(resize)) throw impossible();
  // Inside the network already.
  number(content, "temperature", Number.MIN_VALUE, Number.MAX_VALUE);
  for (const field of ["versions", "made", "preprocessing"]) table(content, field);
  const costs = optional(content, "costs");
  const sets = optional(content, "sets");
  const again = optional(content, "second_look");
  return {
    name,
    // A page has to be called something.
    title: title.trim() ? title : name.trim() || "Spotter",
    labels,
    arch: text(content, "arch"),
    size: whole(content, "size", 1, MOST_SIDE),
    resize,
    threshold: number(content, "threshold", 0, 1),
    neighbours: whole(content, "neighbours", 1, Number.MAX_SAFE_INTEGER),
    certainty: "certainty" in content ? number(content, "certainty", 0, 10) : 0,
    views: "views" in content ? whole(content, "views", 0, Number.MAX_SAFE_INTEGER) : 0,
    summary: text(content, "summary"),
    examples: readExamples(table(content, "examples")),
    ...(costs ? { costs: readCosts(costs, labels) } : {}),
    ...(sets ? { sets: readSets(sets) } : {}),
    shares: readShares(content, "shares"),
    prior: readShares(content, "prior"),
    ...(again ? { second_look: readSecondLook(again) } : {}),
    sha256: texts(table(content, "sha256"), "sha256"),
  };
}

function checkAdvice({ labels, sets, shares, prior }: ModelCard): void {
  const fits = [sets?.least ?? [], shares, prior].every((each) => !each.length || each.length === labels.length);
  if (!fits || (sets && !sets.least.length) || shares.includes(0) || (prior.length && !shares.length)) {
    throw impossible();
  }
}

function readLabels(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((label) => typeof label === "string" && label.trim())) {
    throw amiss("labels must be words");
  }
  if (value.length < 2 || new Set(value).size < value.length) throw impossible();
  return value as string[];
}

function readExamples(found: Table): Record<string, string> {
  const examples = texts(found, "examples");
  if (!Object.values(examples).every((file) => isPlain(file) && file.endsWith(".jpg"))) {
    throw new BrokenModel("The model's model.json names an example that is outside the model or is not a picture.");
  }
  return examples;
}

function readCosts(costs: Table, labels: string[]): number[][] {
  const values = costs.values;
  if (JSON.stringify(costs.labels) !== JSON.stringify(labels) || !Array.isArray(values)) throw impossible();
  const rows = values.map((row) => numbers(row, "costs", 0, MOST_COST));
  const asking = rows[0]?.at(-1);
  const fits = rows.every(
    (row, truth) => row.length === labels.length + 1 && row[truth] === 0 && row.at(-1) === asking,
  );
  if (rows.length !== labels.length || !fits) throw impossible();
  return rows;
}

function readSets(sets: Table): { coverage: number; least: number[] } {
  if (typeof sets.by_class !== "boolean") throw amiss("sets.by_class is not yes or no");
  const coverage = number(sets, "coverage", Number.MIN_VALUE, 1);
  if (coverage === 1) throw impossible();
  return { coverage, least: numbers(sets.least, "sets.least", 0, 1) };
}

function readSecondLook(again: Table): SecondLook {
  const window = number(again, "window", Number.MIN_VALUE, 1);
  if (window === 1) throw impossible();
  return { window, margin: number(again, "margin", 0, 1) };
}

function readShares(content: Table, field: string): number[] {
  if (!(field in content)) return [];
  const shares = numbers(content[field], field, 0, 2);
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (shares.length && !(Math.abs(total - 1) < 0.001)) throw impossible();
  return shares;
}

function optional(content: Table, field: string): Table | undefined {
  return content[field] === undefined || content[field] === null ? undefined : table(content, field);
}

function table(content: Table, field: string): Table {
  const value = content[field];
  if (!isTable(value)) throw amissField(content, field, "a table");
  return value;
}

function text(content: Table, field: string): string {
  const value = content[field];
  if (typeof value !== "string") throw amissField(content, field, "a text");
  return value;
}

function texts(found: Table, field: string): Record<string, string> {
  for (const name of Object.keys(found)) {
    if (typeof found[name] !== "string") throw amissField(found, name, "a text", field);
  }
  return found as Record<string, string>;
}

function number(content: Table, field: string, least: number, most: number): number {
  const value = content[field];
  if (typeof value !== "number") throw amissField(content, field, "a number");
  // Written so that NaN is refused too.
  if (!(value >= least && value <= most)) throw impossible();
  return value;
}

function whole(content: Table, field: string, least: number, most: number): number {
  const value = number(content, field, -Infinity, Infinity);
  if (!Number.isInteger(value)) throw amissField(content, field, "a whole number");
  if (!(value >= least && value <= most)) throw impossible();
  return value;
}

function numbers(value: unknown, field: string, least: number, most: number): number[] {
  if (!Array.isArray(value) || !value.every((each) => typeof each === "number"))
    throw amiss(`${field} must be numbers`);
  if (!value.every((each) => each >= least && each <= most)) throw impossible();
  return value;
}

function amissField(content: Table, field: string, kind: string, of?: string): BrokenModel {
  const name = of ? `${of}.${field}` : field;
  return amiss(field in content ? `${name}: ${inWords(content[field])} is not ${kind}` : `${name} is missing`);
}

function amiss(complaint: string): BrokenModel {
  // It may quote what stands in the file.
  const told = complaint.replace(/\p{C}/gu, "?").slice(0, 80);
  return new BrokenModel(`The model's model.json has a missing or damaged field (${told}).`);
}

function impossible(): BrokenModel {
  return new BrokenModel("The model's model.json holds impossible values.");
}

function inWords(value: unknown): string {
  if (typeof value === "string") return `'${value.slice(0, 40)}'`;
  return typeof value === "object" && value !== null ? "a table or a list" : String(value).slice(0, 40);
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
