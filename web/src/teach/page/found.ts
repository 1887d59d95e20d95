/** Pictures that a search found, and the fields of other people's JSON, where anything may be missing or of another type. */

/** A picture that a search found. Fields that are not known are left out. */
export interface Found {
  source: "openverse" | "wikimedia";
  id: string;
  /** What is fetched: a picture of a few hundred pixels, from a host that lets other sites read it. */
  fetch_url: string;
  image_url: string;
  thumb_url?: string;
  page_url?: string;
  title?: string;
  creator?: string;
  creator_url?: string;
  /** An SPDX id, or "unknown". */
  license_id: string;
  license_url?: string;
  attribution?: string;
}

/** A source that searches by words, page by page. */
export interface Source {
  name: "openverse" | "wikimedia";
  /** The address of a page of results, counted from 0; undefined behind the last that it gives. */
  address(query: string, page: number): URL | undefined;
  /**
   * What is in an answer, best first.
   *
   * @throws SourceTrouble: it is none, or says that something is wrong.
   */
  read(answer: unknown): Found[];
}

export type TroubleReason = "unreachable" | "busy" | "nonsense";

/** A source that cannot be reached, refuses, or answers nonsense. */
export class SourceTrouble extends Error {
  constructor(readonly reason: TroubleReason) {
    super(reason);
  }
}

export type Table = Record<string, unknown>;

/** A JSON object; {} when it is none. */
export function table(value: unknown): Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Table) : {};
}

/** The JSON objects in a list; [] when it is no list. */
export function items(value: unknown): Table[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item) => typeof item === "object" && item !== null && !Array.isArray(item)) as Table[];
}

/** A text without blanks around it; "" where there is none. Halves of characters become "?". */
export function text(value: unknown): string {
  return typeof value === "string" ? value.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "?").trim() : "";
}

/** An address of the web; "" where there is none. Addresses that begin with // get https. */
export function link(value: unknown): string {
  const told = text(value);
  const address = told.startsWith("//") ? `https:${told}` : told;
  return /^https?:\/\//i.test(address) && URL.canParse(address) ? address : "";
}

/** A positive whole number (also written as text); 0 where there is none. */
export function number(value: unknown): number {
  const whole = typeof value === "string" || typeof value === "number" ? Math.trunc(Number(value)) : 0;
  return Number.isSafeInteger(whole) && whole > 0 ? whole : 0;
}

/** A record without the fields that are empty. */
export function known<T extends object>(fields: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value)) as { [K in keyof T]?: string };
}
