/** Names of files: which to show, and which are never people's pictures. The same rules as `spotter/names.py`. */

const JOINERS = "\u200c\u200d";
const SYSTEM = new Set(
  ("#recycle #snapshot $recycle.bin $windows.~bt __macosx __pycache__ aquota.user desktop.ini ehthumbs.db found.000 " +
    "icon\r lost+found lost.dir msdownld.tmp recycled recycler thumbs.db ~snapshot").split(" "),
);
const SYSTEM_WITH_BLANKS = new Set(["network trash folder", "system volume information", "temporary items"]);
const NETWORK_DRIVE = /^(?:@eadir|@tmp|@__thumb|@recycle|@recently-snapshot|@sharebin|.*@syno\w+)$/u;
const LONGEST = 100;

/** Whether a character is part of what people write: it can be seen, or joins letters. */
export function isWriting(character: string): boolean {
  return character === " " || JOINERS.includes(character) || !/[\p{C}\p{Z}]/u.test(character);
}

/** The same text with a blank for each character that cannot be seen. */
export function inOneLine(text: string): string {
  return Array.from(text, (character) => (isWriting(character) ? character : " ")).join("");
}

/** A file's name for people: one line, of bounded length, without the folders above it. */
export function shownName(name: string): string {
  const parts = inOneLine(name.replaceAll("\\", "/"))
    .split("/")
    .filter((part) => part !== "" && part !== "." && part !== "..");
  const short = Array.from(parts.slice(-2).join("/") || "?");
  if (short.length <= LONGEST) return short.join("");
  return `${short.slice(0, 48).join("")}…${short.slice(-48).join("")}`;
}

/** Whether any part of a path is hidden or made by a system. */
export function isSystemPath(path: string): boolean {
  return path.split(/[/\\]/).some((part) => part !== "" && part !== "." && part !== ".." && isSystemName(part));
}

function isSystemName(name: string): boolean {
  const lowered = name.toLowerCase();
  return name.startsWith(".") || SYSTEM.has(lowered) || SYSTEM_WITH_BLANKS.has(lowered) || NETWORK_DRIVE.test(lowered);
}
