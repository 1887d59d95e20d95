/** What a taught site says about its model: in the languages of the site, and as its card. */

import { escapeHtml } from "../escape.js";
import { asWritten, tell, type Language } from "../page/language.js";
import { wilsonInterval } from "./doubts.js";
import type { Learnt } from "./learn.js";
import { isOwn } from "./shown.js";
import type { Body, Lesson, LessonPicture, Taught } from "./types.js";

/** How many pictures are from where, under which licence. */
export interface OriginRow {
  label: string;
  source: string;
  license: string;
  pictures: number;
}

export function countOrigins({ lesson: { entries } }: Learnt, lesson: Lesson): OriginRow[] {
  const bySha = new Map(lesson.pictures.map((picture) => [picture.sha256, picture]));
  const rows = new Map<string, OriginRow>();
  for (const { sha256, label } of entries) {
    const picture = bySha.get(sha256);
    if (!picture || label === null) continue;
    const source = isOwn(picture) ? "folder" : picture.origin.source;
    const license = picture.origin.license_id ?? "unknown";
    const key = JSON.stringify([label, source, license]);
    const row = rows.get(key) ?? { label, source, license, pictures: 0 };
    rows.set(key, { ...row, pictures: row.pictures + 1 });
  }
  return [...rows.values()];
}

/** What a language says about this model: as `spotter/serve/about.py` writes it. */
export function tellAbout(
  language: Language,
  taught: Taught,
  body: Body,
  origins: OriginRow[],
  revision: string,
): Pick<Language, "about_html" | "error"> {
  const share = (value: number): string => asWritten(`${(100 * value).toFixed(1)} %`, language);
  const text = (key: string, values: Record<string, string | number> = {}): string =>
    tell(language, key, values);
  const html = (key: string, values: Record<string, string | number> = {}): string => escapeHtml(text(key, values));
  const [low, high] = taught.interval;
  const error = text("about_error", {
    ...{ error: share(taught.error), pictures: taught.judged, low: share(low), high: share(high) },
  });
  const table = (heads: string[], rows: (string | number)[][]): string => {
    const head = heads.map((key) => `<th scope="col">${html(key)}</th>`).join("");
    const cells = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(String(cell))}</td>`).join("")}</tr>`);
    const whole = `<thead><tr>${head}</tr></thead><tbody>${cells.join("\n")}</tbody>`;
    return `<div class="scroll" tabindex="0" role="group"><table>${whole}</table></div>`;
  };
  const classes = taught.labels.map((label, at) => {
    const pictures = taught.confusion[at]?.reduce((sum, cell) => sum + cell.length, 0) ?? 0;
    const right = taught.confusion[at]?.[at]?.length ?? 0;
    const [from, to] = wilsonInterval(right, pictures);
    return [label, pictures, share(right / pictures), `${share(from)} – ${share(to)}`];
  });
  const sources = new Map<string, number>();
  for (const { source, license, pictures } of origins) {
    const cells = JSON.stringify(source === "folder" ? [text("own"), "–"] : [source, license]);
    sources.set(cells, (sources.get(cells) ?? 0) + pictures);
  }
  const about_html = [
    '<div class="page-text">',
    `<h2>${html("about_good")}</h2>`,
    `<p class="lead">${escapeHtml(error)}</p>`,
    table(["about_class", "about_pictures", "about_right", "about_interval"], classes),
    `<h2>${html("about_unsure")}</h2>`,
    `<p>${html("about_threshold", { accepted: share(taught.accepted) })}</p>`,
    `<h2>${html("about_limits")}</h2>`,
    `<p>${html("about_limits_text")}</p>`,
    `<h2>${html("about_sources")}</h2>`,
    table(
      ["about_source", "about_license", "about_pictures"],
      [...sources].map(([cells, pictures]) => [...(JSON.parse(cells) as string[]), pictures]),
    ),
    `<p>${html("about_private")}</p>`,
    `<h2>${html("about_made")}</h2>`,
    `<p>${html("about_made_text", { arch: body.arch, size: body.size, pictures: taught.judged })}`,
    `${html("about_revision")} <code>${escapeHtml(revision)}</code></p>`,
    "</div>",
  ].join("\n");
  return { about_html, error };
}

/** The error in words, as `summary` of `model.json` has it. */
export function summarise({ error, interval: [low, high] }: Taught): string {
  const [share, from, to] = [error, low, high].map((value) => `${(100 * value).toFixed(1)}%`);
  return `Wrong on ${share ?? ""} of pictures it did not see (95 % interval ${from ?? ""} to ${to ?? ""})`;
}

/** The model card. @param found the pictures of others that it learnt from. */
export function writeCard(title: string, taught: Taught, body: Body, found: LessonPicture[]): string {
  const credits = found.map(({ origin }) => {
    const creator = origin.creator ?? "unknown";
    const license = origin.license_id ?? "licence unknown";
    return `- ${[origin.title ?? origin.id, `by ${creator}`, license, origin.page_url ?? ""].map(plain).join(", ")}`;
  });
  return [
    `# ${plain(title)}`,
    "",
    `Tells apart: ${taught.labels.map(plain).join(", ")}. ${summarise(taught)}, on ${taught.judged} pictures, in`,
    `${taught.folds}-fold cross-validation with near duplicates kept together. It says "not sure" of what is less`,
    `familiar than ${taught.threshold.toFixed(3)}.`,
    "",
    `Taught in a browser: a linear head (C=${taught.strength}, temperature ${taught.temperature.toFixed(3)}) on`,
    `${body.arch} of the model ${body.revision}. It knows these things and nothing else.`,
    "",
    ...(credits.length ? ["## Pictures of others", "", ...credits, ""] : []),
  ].join("\n");
}

/** In one line, and without what Markdown would read. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\`*_[\]<>#|]/g, (character) => `\\${character}`);
}
