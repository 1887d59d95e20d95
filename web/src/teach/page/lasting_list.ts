/** A list that is shown again and again while somebody works on it: rows that stay are the same elements, in place. */

import { find } from "../../page/dom.js";

export interface Row {
  /** What makes it another row when it changes. */
  key: string;
  /** What its paragraph says; that may change in a row that stays. */
  words: string;
  make: (words: string) => HTMLElement;
}

/**
 * Show rows in a list. A press that has begun on a button and a menu that is open outlive it, as their elements are
 * not taken out, nor moved: a row that was there keeps its place, and new ones stand before the row that follows them.
 */
export function showRows(list: HTMLElement, rows: Row[]): void {
  const there = new Map([...list.children].map((child) => [(child as HTMLElement).dataset.key, child as HTMLElement]));
  const wanted = new Set(rows.map(({ key }) => key));
  for (const [key, row] of there) if (key === undefined || !wanted.has(key)) row.remove();
  let next: Element | null = null;
  for (const { key, words, make } of rows.toReversed()) {
    let row = there.get(key);
    if (row) {
      const paragraph = find(row, "p");
      if (paragraph.textContent !== words) paragraph.textContent = words;
    } else {
      row = make(words);
      row.dataset.key = key;
      list.insertBefore(row, next);
    }
    next = row;
  }
}
