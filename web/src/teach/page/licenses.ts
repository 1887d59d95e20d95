/** Licences of pictures that were found, as SPDX ids. The same rules as `spotter/search/fields.py` and `spotter/utils/licenses.py`. */

export const UNKNOWN_LICENSE = "unknown";

const KINDS = new Set(["by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"]);
const VERSIONS = new Set(["1.0", "2.0", "2.5", "3.0", "4.0"]);
// The licences for one country (or for the UN's organisations) that SPDX has an id for.
const PORTED = new Set(
  (
    "CC-BY-2.5-AU CC-BY-3.0-AT CC-BY-3.0-AU CC-BY-3.0-DE CC-BY-3.0-IGO CC-BY-3.0-NL CC-BY-3.0-US CC-BY-NC-3.0-DE " +
    "CC-BY-NC-ND-3.0-DE CC-BY-NC-ND-3.0-IGO CC-BY-NC-SA-2.0-DE CC-BY-NC-SA-2.0-FR CC-BY-NC-SA-2.0-UK " +
    "CC-BY-NC-SA-3.0-DE CC-BY-NC-SA-3.0-IGO CC-BY-ND-3.0-DE CC-BY-SA-2.0-UK CC-BY-SA-2.1-JP CC-BY-SA-3.0-AT " +
    "CC-BY-SA-3.0-DE CC-BY-SA-3.0-IGO"
  ).split(" "),
);
const COUNTRIES = new Map(
  Object.entries({ germany: "de", austria: "at", australia: "au", netherlands: "nl", france: "fr", japan: "jp" }),
);
// Behind a version, these say that the licence is for no country.
const NO_COUNTRY = new Set(
  " unported international intl int generic deed en legalcode license licence".split(" "),
);

/** The SPDX id of a Creative Commons code ("by-sa", "CC BY-SA 3.0 de", "cc0", "pdm"); otherwise "unknown". */
export function creativeCommons(code: string, version = "", url = ""): string {
  let words = code.toLowerCase().replaceAll("_", "-");
  const found = /[0-9]\.[0-9]/.exec(words);
  const behind = found ? words.slice(found.index + found[0].length) : "";
  const number = /^[0-9]\.[0-9]$/.test(version) ? version : found?.[0];
  words = words.replace(/[\s-]*[0-9]\.[0-9][^]*/, "").trim();
  if (["cc0", "cc-zero", "cc0-1", "zero"].includes(words)) return "CC0-1.0";
  if (["pdm", "mark", "pd"].includes(words)) return "PDM-1.0";
  const kind = words.replace(/^cc[ -]/, "").replaceAll(" ", "-");
  if (!KINDS.has(kind) || number === undefined) return UNKNOWN_LICENSE;
  const plain = `CC-${kind.toUpperCase()}-${number}`;
  const inUrl = new RegExp(`/licenses/${kind}/${number.replace(".", "\\.")}/(\\w+)`).exec(url.toLowerCase());
  // Of several versions ("4.0,3.0,2.5") the first counts.
  const country = countryIn(behind.split(",")[0] ?? "") || countryIn(inUrl?.[1] ?? "");
  if (country) {
    const ported = `${plain}-${country.toUpperCase()}`;
    return PORTED.has(ported) ? ported : UNKNOWN_LICENSE;
  }
  return VERSIONS.has(number) ? plain : UNKNOWN_LICENSE;
}

/** Whether anyone may show, change and share a picture under this licence (naming its creator where it asks). */
export function isOpen(licenseId: string): boolean {
  return /^(CC0|PDM|CC-BY(-SA)?)-[0-9]/.test(licenseId);
}

/** The sentence that a Creative Commons licence asks to show; undefined for an unknown licence. */
export function credit(title: string, creator: string, licenseId: string): string | undefined {
  if (licenseId === UNKNOWN_LICENSE) return undefined;
  const found = /^CC-([A-Z-]+)-([0-9.]+)(?:-([A-Z]+))?$/.exec(licenseId);
  const [kind, version] = found
    ? [`CC ${found[1] ?? ""}`, [found[2], found[3]].filter((part) => part !== undefined).join(" ")]
    : [licenseId.slice(0, licenseId.lastIndexOf("-")), licenseId.slice(licenseId.lastIndexOf("-") + 1)];
  const work = title ? `"${title}"` : "This picture";
  const verb = kind.startsWith("CC ") ? "licensed under" : "marked with";
  return `${work}${creator ? ` by ${creator}` : ""} is ${verb} ${kind === "PDM" ? "Public Domain Mark" : kind} ${version}.`;
}

function countryIn(words: string): string {
  const [named] = words.split(/[^a-z]+/).filter((word) => !NO_COUNTRY.has(word));
  return named === undefined ? "" : (COUNTRIES.get(named) ?? named);
}
