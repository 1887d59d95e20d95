/** The order of pictures: that of their paths in Python's picture sets, as folds depend on it. */

const SYSTEM = new Set(
  `#recycle|#snapshot|$recycle.bin|$windows.~bt|__macosx|__pycache__|aquota.user|desktop.ini|ehthumbs.db|found.000|\
icon\r|lost+found|lost.dir|msdownld.tmp|network trash folder|recycled|recycler|system volume information|temporary items|\
thumbs.db|~snapshot`.split("|"),
);
const NETWORK_DRIVE = /^(@eadir|@tmp|@__thumb|@recycle|@recently-snapshot|@sharebin|.*@syno\w+)$/;
const TAKEN = /^(incoming|.*\.(jsonl?|html|csv|txt|png|jpg|safetensors|npy|part|tmp))$/i;

/** The folder of a class, as `folder_name` of `spotter/names.py`. */
export function folderName(label: string): string {
  let name = label
    .normalize("NFC")
    // eslint-disable-next-line no-control-regex
    .replace(/[/\\:*?"<>|\x00-\x1f\x7f]/g, "_")
    .replace(/[. ]+$/, (found) => "_".repeat(found.length));
  if (name.startsWith(".")) name = `_${name.slice(1)}`;
  const lowered = name.toLowerCase();
  const isTaken = SYSTEM.has(lowered) || NETWORK_DRIVE.test(lowered) || TAKEN.test(name);
  return isTaken ? `${name}_` : name;
}

/** Pictures in the order of their paths in a picture set. */
export function inOrder<T extends { added: string; sha256: string }>(pictures: T[]): T[] {
  const paths = new Map(
    pictures.map((each) => [each, codePoints(`${folderName(each.added)}/${each.sha256.slice(0, 32)}.jpg`)]),
  );
  return pictures.toSorted((one, other) => compare(paths.get(one) ?? [], paths.get(other) ?? []));
}

function codePoints(text: string): number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0);
}

function compare(one: number[], other: number[]): number {
  const at = one.findIndex((value, place) => value !== other[place]);
  return at < 0 ? one.length - other.length : (one[at] ?? 0) - (other[at] ?? -1);
}
