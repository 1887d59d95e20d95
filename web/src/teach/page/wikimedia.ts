/** Pictures from Wikimedia Commons. What its answers mean is as in `spotter/search/wikimedia.py`. */

import { items, known, link, number, SourceTrouble, table, text, type Found, type Source, type Table } from "./found.js";
import { creativeCommons, credit, UNKNOWN_LICENSE } from "./licenses.js";

const ADDRESS = "https://commons.wikimedia.org/w/api.php";
const PAGE_SIZE = 20;
const MOST_PAGES = 50;
// Of the widths that Commons scales to, the next above the side of what the network sees.
const WIDTH = 500;
const KINDS = new Set(["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"]);
const ENDINGS = /\.(jpe?g|png|webp|gif|avif)$/i;
const HIDDEN = /<(\w+)[^<>]*display:\s*none[^<>]*>[^]*?<\/\1\s*>/gi;
const BLOCK = /<\/?(?:p|div|br|li|ul|ol|td|th|tr|table|dd|dl|dt)\b[^<>]*>/gi;
const MOST_MARKUP = 5000;

export const wikimedia: Source = {
  name: "wikimedia",

  address(query, page) {
    if (page >= MOST_PAGES) return undefined;
    const asked = {
      action: "query",
      format: "json",
      formatversion: "2",
      // Without it, no other site may read the answer.
      origin: "*",
      maxlag: "5",
      generator: "search",
      gsrnamespace: "6",
      gsrlimit: String(PAGE_SIZE),
      gsroffset: String(page * PAGE_SIZE),
      gsrsearch: `${query} filetype:bitmap`,
      prop: "imageinfo",
      iiprop: "url|size|mime|extmetadata|user",
      iiurlwidth: String(WIDTH),
      iiextmetadatafilter: "Artist|Attribution|License|LicenseShortName|LicenseUrl|Restrictions",
    };
    return new URL(`?${new URLSearchParams(asked).toString()}`, ADDRESS);
  },

  read(answer) {
    const told = table(answer);
    if ("error" in told) {
      // Its own errors come with HTTP 200.
      throw new SourceTrouble(["maxlag", "ratelimited"].includes(text(table(told.error).code)) ? "busy" : "nonsense");
    }
    // A search that finds nothing has no "query", but says that it is complete.
    if (!("query" in told || "continue" in told || "batchcomplete" in told)) throw new SourceTrouble("nonsense");
    const { pages } = table(told.query);
    // The older form of the answer has an object with the pages' numbers as keys.
    const found = items(Array.isArray(pages) ? pages : Object.values(table(pages)));
    // The pages come in the order of their numbers; `index` is the place among the results.
    const place = (page: Table): number => number(page.index) || Number.MAX_SAFE_INTEGER;
    return found
      .sort((one, other) => place(one) - place(other))
      .map(readHit)
      .filter((hit) => hit !== undefined);
  },
};

function readHit(page: Table): Found | undefined {
  const info = items(page.imageinfo)[0] ?? {};
  const address = link(info.url);
  const scaled = link(info.thumburl);
  const name = text(page.title).replace(/^File:/, "");
  const kind = text(info.mime);
  if (!address || !(kind ? KINDS.has(kind) : ENDINGS.test(name))) return undefined;
  const told = table(info.extmetadata);
  const title = name.replace(/\.\w{1,5}$/, "").trim();
  const [creator, creatorUrl] = readArtist(valueOf(told, "Artist"));
  const license = readLicense(told);
  return {
    source: "wikimedia",
    id: String(number(page.pageid) || name || address),
    fetch_url: scaled || address,
    image_url: address,
    license_id: license,
    ...known({
      thumb_url: scaled,
      page_url: link(info.descriptionurl),
      title,
      creator,
      creator_url: creatorUrl,
      license_url: link(valueOf(told, "LicenseUrl")),
      // The words that the author asks for, where there are some.
      attribution: readArtist(valueOf(told, "Attribution"))[0] || credit(title, creator, license),
    }),
  };
}

function valueOf(told: Table, key: string): string {
  return text(table(told[key]).value);
}

/** "Public domain" alone stays unknown: it stands for hundreds of templates, many of which hold in one country only. */
function readLicense(told: Table): string {
  const names = [valueOf(told, "LicenseShortName"), valueOf(told, "License")];
  const url = valueOf(told, "LicenseUrl");
  const deed = /^https?:\/\/creativecommons\.org\/publicdomain\/(zero|mark)\/1\.0\b/.exec(url);
  // Without this check the code "pd" would become the public domain mark.
  const found = names
    .filter((name) => name.toLowerCase().startsWith("cc"))
    .map((name) => creativeCommons(name, "", url))
    .find((name) => name !== UNKNOWN_LICENSE);
  const license = found ?? (deed ? creativeCommons(deed[1] ?? "") : UNKNOWN_LICENSE);
  // Trademarks, personality rights and insignia can forbid uses that copyright does not.
  const isRestricted = valueOf(told, "Restrictions") !== "" && ["CC0-1.0", "PDM-1.0"].includes(license);
  return isRestricted ? UNKNOWN_LICENSE : license;
}

/** Name and address from the HTML of `Artist`, which repeats names in hidden elements, for machines. */
function readArtist(markup: string): [string, string] {
  const shown = markup.slice(0, MOST_MARKUP).replace(HIDDEN, " ");
  const address = /\bhref\s*=\s*["']([^"'<>]*)/i.exec(shown)?.[1] ?? "";
  // Of a document that is not shown: no script in it runs, and nothing in it is loaded.
  const inert = new DOMParser().parseFromString(shown.replace(BLOCK, " "), "text/html");
  const words = (inert.body.textContent).replace(/\s+/g, " ").trim();
  return [words, link(decode(address))];
}

function decode(text: string): string {
  return new DOMParser().parseFromString(text.replaceAll("<", ""), "text/html").body.textContent;
}
