/** Reads JSON as `parse_json` in `spotter/bundle/reading.py`. */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}:]/gs;

/**
 * What a JSON text in UTF-8 holds.
 *
 * @throws SyntaxError, TypeError: it is none, or names something twice: readers would differ in which they believe.
 */
export function parseJson(data: Uint8Array): unknown {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
  const found: unknown = JSON.parse(text);
  if (namesTwice(text)) throw new SyntaxError("a name appears twice");
  return found;
}

function namesTwice(text: string): boolean {
  const tables: Set<unknown>[] = [];
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") tables.push(new Set());
    else if (token === "}") tables.pop();
    else if (token !== ":") last = token;
    else {
      // One name may be written in several ways.
      const name: unknown = JSON.parse(last);
      const names = tables.at(-1);
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
}
