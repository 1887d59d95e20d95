/** Openly licensed pictures from Openverse. What its answers mean is as in `spotter/search/openverse.py`. */

import { items, known, link, SourceTrouble, table, text, type Found, type Source, type Table } from "./found.js";
import { creativeCommons, credit } from "./licenses.js";

const ADDRESS = "https://api.openverse.org/v1/images/";
const PAGE_SIZE = 20;
// It refuses to show what comes after the first 240 pictures of a search.
const MOST_PAGES = 12;

export const openverse: Source = {
  name: "openverse",

  address(query, page) {
    if (page >= MOST_PAGES) return undefined;
    const asked = { q: query, page: String(page + 1), page_size: String(PAGE_SIZE), mature: "false" };
    return new URL(`?${new URLSearchParams(asked).toString()}`, ADDRESS);
  },

  read(answer) {
    const { results } = table(answer);
    if (!Array.isArray(results)) throw new SourceTrouble("nonsense");
    return items(results)
      .map(readHit)
      .filter((hit) => hit !== undefined);
  },
};

function readHit(result: Table): Found | undefined {
  const address = link(result.url);
  const id = text(result.id);
  // Its thumbnails are for all sites to read, and large enough; few of the museums and albums let others read theirs.
  if (!address || !/^[\w-]+$/.test(id)) return undefined;
  const title = text(result.title);
  const creator = text(result.creator);
  const license = creativeCommons(text(result.license), text(result.license_version), text(result.license_url));
  return {
    source: "openverse",
    id,
    fetch_url: new URL(`${id}/thumb/`, ADDRESS).href,
    image_url: address,
    license_id: license,
    ...known({
      thumb_url: link(result.thumbnail),
      page_url: link(result.foreign_landing_url),
      title,
      creator,
      creator_url: link(result.creator_url),
      license_url: link(result.license_url),
      attribution: text(result.attribution) || credit(title, creator, license),
    }),
  };
}
