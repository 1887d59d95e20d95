/** Why: where in a picture the evidence lies, and the training pictures that are most like it. */

import type { Evidence, Neighbour, Thumbnail } from "../types.js";
import { make, siteOf, webLink } from "./dom.js";
import { drawFrame, evidenceLayer, fitEvidence } from "./evidence.js";
import { tell, type Language } from "./language.js";
import { drawSmooth, showPicture } from "./picture_canvas.js";

/** Of so many nearest rows of the reference, so many pictures are shown: not every row has one. */
export const ASKED_ROWS = 100;
const SHOWN = 6;
// The longest side of the picture that evidence is drawn on, in pixels.
const SIDE = 768;

/** The reasons as an element; evidence may be missing. Who is near is undefined where that could not be loaded. */
export async function reasonsOf(
  picture: Blob,
  evidence: Evidence | undefined,
  near: readonly Neighbour[] | undefined,
  language: Language,
): Promise<HTMLElement> {
  const element = make("div", { class: "reasons" });
  if (evidence) element.append(await evidenceFigure(picture, evidence, language));
  const shown = await distinct(near ?? []);
  const said = shown.length ? "nearest" : "none_shown";
  element.append(make("p", {}, tell(language, near ? said : "web_no_nearest")));
  if (shown.length) {
    const items = shown.map((thumbnail) => nearItem(thumbnail, language));
    element.append(make("ul", { class: "near" }, ...(await Promise.all(items))));
  }
  return element;
}

async function evidenceFigure(picture: Blob, found: Evidence, language: Language): Promise<HTMLElement> {
  const evidence = fitEvidence(found, SIDE);
  const { width, height, label, looked_at: looked } = evidence;
  const seen = tell(language, looked ? "evidence_framed_alt" : "evidence_alt", { label });
  const canvas = make("canvas", { role: "img", "aria-label": seen, width, height });
  const bitmap = await createImageBitmap(picture);
  drawSmooth(canvas, bitmap);
  bitmap.close();
  const layer = make("canvas", { width, height });
  layer.getContext("2d")?.putImageData(new ImageData(evidenceLayer(evidence), width, height), 0, 0);
  drawSmooth(canvas, layer);
  const context = canvas.getContext("2d");
  if (context && looked) drawFrame(context, looked);
  const told = [tell(language, "evidence", { label }), ...(looked ? [tell(language, "frame")] : [])];
  return make("figure", {}, canvas, make("figcaption", {}, told.join(" ")));
}

/** A picture may stand for several rows. */
async function distinct(near: readonly Neighbour[]): Promise<Thumbnail[]> {
  const found = new Map<string, Thumbnail>();
  for (const { thumbnail } of near) {
    if (!thumbnail || found.size === SHOWN) continue;
    const bytes = new Uint8Array(await thumbnail.jpeg.arrayBuffer());
    const key = bytes.join();
    if (!found.has(key)) found.set(key, thumbnail);
  }
  return [...found.values()];
}

async function nearItem(thumbnail: Thumbnail, language: Language): Promise<HTMLElement> {
  const { label } = thumbnail;
  const canvas = make("canvas", { role: "img", "aria-label": tell(language, "nearest_alt", { label }) });
  await showPicture(canvas, thumbnail.jpeg);
  const caption = make("figcaption", {}, make("b", {}, label), ...credit(thumbnail, language));
  return make("li", {}, make("figure", {}, canvas, caption));
}

/** Without a creator, the site that it is from; without a licence, it is the owner's. */
function credit(thumbnail: Thumbnail, language: Language): (Node | string)[] {
  const { creator, license_id, license_url, page_url } = thumbnail;
  const origin = creator || (license_id ? siteOf(page_url) : tell(language, "own"));
  const comma = origin && license_id ? ", " : "";
  return [webLink(origin, page_url), comma, webLink(license_id, license_url)];
}
