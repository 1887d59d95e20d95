/** Which pictures of a lesson a site may show, and what it shows of them: thumbnails with credits, and examples. */

import { drawJpeg } from "./prepare.js";
import type { Learnt } from "./learn.js";
import { byteTensor, countTensor, writeTensors } from "./safetensors_write.js";
import type { Lesson, LessonPicture } from "./types.js";

const SIDE = 144;
const QUALITY = 0.72;
/** So that the file stays near 3 MB. */
const MOST_THUMBNAILS = 600;

/** A picture of a lesson that may be shown, and its row in the reference. */
export interface Shown {
  row: number;
  picture: LessonPicture;
}

export function isOwn({ origin }: LessonPicture): boolean {
  return origin.source === "folder" || origin.source === "camera";
}

/** Whether anyone may show, change and share a picture under this licence, as `spotter/utils/licenses.py`. */
export function isOpen(license = "unknown"): boolean {
  return /^(CC0|PDM|CC-BY(-SA)?)-[0-9]/.test(license);
}

/** The pictures that were learnt from and may be shown: open ones, and the owner's own if the owner wants it. */
export function listShown({ lesson: { entries } }: Learnt, lesson: Lesson, showOwn: boolean): Shown[] {
  const bySha = new Map(lesson.pictures.map((picture) => [picture.sha256, picture]));
  return entries.flatMap(({ sha256 }, row) => {
    const picture = bySha.get(sha256);
    const mayBe = picture && (isOwn(picture) ? showOwn : isOpen(picture.origin.license_id));
    return picture && mayBe ? [{ row, picture }] : [];
  });
}

/** `thumbnails.safetensors`, as `spotter/bundle/thumbnails.py` reads it. */
export async function writeThumbnails(shown: Shown[]): Promise<Uint8Array<ArrayBuffer>> {
  const step = Math.ceil(shown.length / MOST_THUMBNAILS);
  const chosen = shown.filter((_, at) => at % step === 0);
  const jpegs: Uint8Array[] = [];
  for (const { picture } of chosen) jpegs.push(await thumbnail(picture.blob));
  let end = 0;
  const ends = jpegs.map((jpeg) => (end += jpeg.length));
  const credits = chosen.map(({ picture: { label, added, origin } }) => ({
    label: label ?? added,
    creator: origin.creator ?? "",
    license_id: origin.license_id ?? "",
    license_url: origin.license_url ?? "",
    page_url: origin.page_url ?? "",
  }));
  return writeTensors({
    rows: countTensor(chosen.map(({ row }) => row)),
    ends: countTensor(ends),
    jpegs: byteTensor(new Uint8Array(await new Blob(jpegs as Uint8Array<ArrayBuffer>[]).arrayBuffer())),
    credits: byteTensor(new TextEncoder().encode(JSON.stringify(credits))),
  });
}

/** The surest right answer of each label, label -> picture. */
export function chooseExamples({ taught }: Learnt, shown: Shown[]): Map<string, LessonPicture> {
  const examples = new Map<string, LessonPicture>();
  taught.labels.forEach((label, at) => {
    const sureness = ({ row }: Shown): number => taught.judgements[row]?.probabilities[at] ?? 0;
    const [best] = shown
      .filter(({ picture }) => picture.label === label)
      .sort((one, other) => sureness(other) - sureness(one));
    if (best) examples.set(label, best.picture);
  });
  return examples;
}

async function thumbnail(blob: Blob): Promise<Uint8Array> {
  const bitmap = await createImageBitmap(blob);
  try {
    const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
    return new Uint8Array(await (await drawJpeg(bitmap, width ?? 1, height ?? 1, QUALITY)).arrayBuffer());
  } finally {
    bitmap.close();
  }
}
