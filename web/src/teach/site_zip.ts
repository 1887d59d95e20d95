/** What was learnt as the files of a finished static site: this site's own, with another model in them. */

import { sortByPlace } from "../byte_places.js";
import { readCard } from "../card.js";
import { CannotRun } from "../errors.js";
import { fetchFile, hashOf, type FileEntry } from "../files.js";
import { MODEL_JSON, contentsOf } from "../model.js";
import { escapeHtml } from "../escape.js";
import type { Language } from "../page/language.js";
import { countOrigins, summarise, tellAbout, writeCard } from "./about.js";
import type { BodyNetwork } from "./body.js";
import { softmax } from "./calibrate.js";
import type { Learnt } from "./learn.js";
import { logitsOf } from "./linear.js";
import { replaceHead } from "./onnx_write.js";
import { floatTensor, writeTensors } from "./safetensors_write.js";
import { chooseExamples, isOwn, listShown, writeThumbnails } from "./shown.js";
import type { Lesson, SiteZipOptions } from "./types.js";
import type { ZipEntry } from "./zip.js";

type Bytes = Uint8Array<ArrayBuffer>;
type Files = Map<string, Bytes>;

const SITE_JSON = "site.json";
/** Files of a site that `site.json` does not name. */
const UNLISTED = ["sw.js"];
const PACKED = ".gz";
/** What is of the model that the site was made for. */
const OF_MODEL = /^(model|examples)\//;
/** As in `spotter/web/packing.py`. */
const OF_NUMBERS = ["model.onnx", "reference.safetensors"];

export async function makeSite(
  network: BodyNetwork,
  learnt: Learnt,
  lesson: Lesson,
  options: SiteZipOptions,
): Promise<ZipEntry[]> {
  const title = options.title.trim() || lesson.labels.join(" · ");
  const { folder, site } = network.source;
  const own: Files = new Map();
  for (const path of [...Object.keys(site.files).filter((path) => !OF_MODEL.test(path)), ...UNLISTED]) {
    const content = await fetchRaw(new URL(path, folder));
    own.set(path, path.endsWith(".html") ? encode(asMade(decode(content))) : content);
  }
  const base = JSON.parse(decode(await fetchFile(folder, site, MODEL_JSON, undefined, () => undefined))) as Record<
    string,
    unknown
  >;
  const model = await modelFiles(network, learnt, lesson, { ...options, title }, base);
  const modelJson = model.get(MODEL_JSON) ?? new Uint8Array();
  const contents = await contentsOf(readCard(modelJson), modelJson);
  const origins = countOrigins(learnt, lesson);
  for (const [path, content] of own) {
    const tag = /^languages\/(.+)\.json$/.exec(path)?.[1];
    if (tag) {
      const language = JSON.parse(decode(content)) as Omit<Language, "tag">;
      const about = tellAbout({ ...language, tag }, learnt.taught, network.body, origins, contents);
      own.set(path, toJson({ ...language, ...about }));
    } else if (path.endsWith("index.html")) own.set(path, encode(withTitle(decode(content), title, lesson.labels)));
    else if (path.endsWith(".webmanifest")) {
      own.set(
        path,
        toJson({ ...(JSON.parse(decode(content)) as object), name: title, short_name: title.slice(0, 30) }),
      );
    }
  }
  const files: Files = new Map([...own, ...model]);
  files.set(SITE_JSON, toJson(await describeSite(network, learnt, files, { title, contents })));
  return [...files].map(([path, content]) => ({ path, content: new Blob([content]), isPacked: isPacked(path) }));
}

async function modelFiles(
  { source, body }: BodyNetwork,
  learnt: Learnt,
  lesson: Lesson,
  { title, showOwn }: SiteZipOptions,
  base: Record<string, unknown>,
): Promise<Files> {
  const { taught, chosen, reference } = learnt;
  const shown = listShown(learnt, lesson, showOwn);
  const found = lesson.pictures.filter((picture) => picture.label !== null && !isOwn(picture));
  const plain: Files = new Map([
    ["model.onnx", replaceHead(source.onnx, source.place, chosen.head)],
    [
      "reference.safetensors",
      writeTensors({ embeddings: floatTensor(reference.values, [reference.rows, reference.dimensions]) }),
    ],
    ["README.md", encode(writeCard(title, taught, body, found))],
  ]);
  if (shown.length) plain.set("thumbnails.safetensors", await writeThumbnails(shown));
  const examples: Record<string, string> = {};
  for (const [label, picture] of chooseExamples(learnt, shown)) {
    const name = `example-${taught.labels.indexOf(label) + 1}.jpg`;
    examples[label] = name;
    plain.set(name, new Uint8Array(await picture.blob.arrayBuffer()));
  }
  const sha256: Record<string, string> = {};
  for (const [name, content] of plain) sha256[name] = await hashOf(content);
  const { strength, balanced, temperature, threshold, neighbours, certainty, labels, counts, judged } = taught;
  const card = {
    ...base,
    ...{ name: "", title, labels, temperature, threshold, neighbours, certainty, examples },
    summary: summarise(taught),
    versions: {},
    made: {
      ...{ command: "taught in a browser", strength, balanced, fine_tune_epochs: 0, pictures: judged },
      origins: countOrigins(learnt, lesson),
      body: { revision: body.revision, contents: body.contents },
    },
    ...{ int8: null, costs: null, sets: null, prior: [], views: learnt.views },
    shares: balanced ? labels.map(() => 1 / labels.length) : counts.map((count) => count / judged),
    sha256,
  };
  const files: Files = new Map([[MODEL_JSON, toJson(card)]]);
  for (const [name, content] of plain) {
    if (OF_NUMBERS.includes(name)) files.set(`model/${name}${PACKED}`, await gzip(sortByPlace(content)));
    else files.set(`model/${name}`, content);
  }
  return files;
}

async function describeSite(
  network: BodyNetwork,
  learnt: Learnt,
  files: Files,
  { title, contents }: { title: string; contents: string },
): Promise<Record<string, unknown>> {
  const { site, folder } = network.source;
  const told = JSON.parse(decode(await fetchRaw(new URL(SITE_JSON, folder)))) as Record<string, unknown>;
  // How the other model answered when it was tried says nothing of this one.
  delete told.parity;
  const entries: Record<string, FileEntry> = {};
  for (const [path, content] of [...files].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (UNLISTED.includes(path)) continue;
    const inside = path.endsWith(PACKED) ? await gunzip(content) : undefined;
    const unpacked = inside ? { unpacked: inside.length, unpacked_sha256: await hashOf(inside) } : {};
    const by_place = OF_NUMBERS.some((name) => path === `model/${name}${PACKED}`) ? { by_place: true } : {};
    entries[path] = { bytes: content.length, sha256: await hashOf(content), ...unpacked, ...by_place };
  }
  const test = site.self_test?.file;
  const picture = test === undefined ? undefined : files.get(test);
  const self_test = picture && {
    file: test,
    probabilities: Array.from(
      softmax(logitsOf(learnt.chosen.head, [await network.featuresOf(picture)]), learnt.taught.labels.length),
    ),
  };
  return {
    ...told,
    revision: contents,
    contents,
    network: "model.onnx",
    title,
    files: entries,
    ...(self_test ? { self_test } : {}),
  };
}

/** A file as it lies there; what a server has unpacked on the way is packed again. */
async function fetchRaw(url: URL): Promise<Bytes> {
  const response = await fetch(url);
  if (!response.ok)
    throw new CannotRun("no-network", `A file of this site did not arrive (${url.pathname}); try again.`);
  const content = new Uint8Array(await response.arrayBuffer());
  const isWhole = !url.pathname.endsWith(PACKED) || (content[0] === 0x1f && content[1] === 0x8b);
  return isWhole ? content : gzip(content);
}

/** A page without what its host put into it: a Space's own variables. Our pages have no script in their text. */
function asMade(html: string): string {
  return html.replace(/<script(?![^>]*\ssrc=)[^>]*>[^]*?<\/script>/g, "");
}

function withTitle(html: string, title: string, labels: string[]): string {
  const name = escapeHtml(title);
  const described = escapeHtml(`Tells apart ${labels.join(", ")}, in your browser.`);
  return html
    .replace(/(<title>)[^<]*/, (_, before: string) => before + name)
    .replace(/(<h1>)[^<]*/, (_, before: string) => before + name)
    .replace(/(<meta property="og:title" content=")[^"]*/, (_, before: string) => before + name)
    .replace(/(<meta (?:name="|property="og:)description" content=")[^"]*/g, (_, before: string) => before + described);
}

function isPacked(path: string): boolean {
  return /\.(gz|jpg|png|webp)$/.test(path);
}

async function gzip(content: Bytes): Promise<Bytes> {
  return through(content, new CompressionStream("gzip"));
}

async function gunzip(content: Bytes): Promise<Bytes> {
  return through(content, new DecompressionStream("gzip"));
}

async function through(content: Bytes, stream: CompressionStream | DecompressionStream): Promise<Bytes> {
  return new Uint8Array(await new Response(new Blob([content]).stream().pipeThrough(stream)).arrayBuffer());
}

function toJson(content: unknown): Bytes {
  return encode(`${JSON.stringify(content, null, 1)}\n`);
}

function encode(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function decode(content: Uint8Array): string {
  return new TextDecoder().decode(content);
}
