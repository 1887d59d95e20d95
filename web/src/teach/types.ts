/** The API of teaching in the browser: what pictures are, what `Teacher` does with them, and what it says of them. */

import type { Answer, Picture } from "../types.js";

/**
 * A picture as it is kept: a bare JPEG (no EXIF, no profile, no comment), upright, its longest side at most 1024
 * pixels.
 */
export interface KeptPicture {
  /** Of the bytes of `blob`, in hexadecimal digits: the name of the picture everywhere. */
  sha256: string;
  /** Of the bytes as they came. */
  original_sha256: string;
  blob: Blob;
  width: number;
  height: number;
}

/**
 * Where a picture comes from: fields of `spotter-lesson.json` (docs/formats.md), those of found pictures where known.
 */
export interface Origin {
  source: "folder" | "camera" | "openverse" | "wikimedia";
  /** Its name within its source: the path of the file, "camera 12", the id of the hit. */
  id: string;
  query: string;
  rank: number;
  /** When it was added: ISO time with zone. */
  at: string;
  image_url?: string;
  thumb_url?: string;
  page_url?: string;
  title?: string;
  creator?: string;
  creator_url?: string;
  /** SPDX id, or "unknown", which is the same as none. */
  license_id?: string;
  license_url?: string;
  attribution?: string;
}

/** A decision about a picture, with the fields of `edits.jsonl` (docs/formats.md). */
export interface Edit {
  id: string;
  at: string;
  who: string;
  action: "keep" | "relabel" | "delete" | "undo";
  sha256?: string;
  from?: string;
  to?: string;
  why?: string;
  batch?: string;
  undoes?: string;
}

/** What the network says of a picture: to be stored beside it, and of use only with the body of the same `contents`. */
export interface Features {
  /** `Body.contents` of the network that made them. */
  body: string;
  /** The perceptual hash: 16 hexadecimal digits. */
  phash: string;
  /** Pooled features: (width). */
  plain: Float32Array;
  /** Of mirrored and cropped views, (3 * width); empty where none were needed. */
  cropped: Float32Array;
  /** Of shifted views, (shifts * width), and what each shows; empty where none were needed. */
  shifted: Float32Array;
  shows: string[];
  /** `VIEWS` of the code that made these. */
  views: string;
}

/** A picture of a lesson. */
export interface LessonPicture extends KeptPicture {
  /** The class it was added to, which decides its fold. */
  added: string;
  /** Its class now; null: it was left out. */
  label: string | null;
  origin: Origin;
  features?: Features;
}

/** What is taught. Pictures may be in any order. */
export interface Lesson {
  /** The classes, in the order of the columns of probabilities. */
  labels: string[];
  pictures: LessonPicture[];
  /** Oldest first. */
  edits: Edit[];
}

/** What the network that is taught is made from. */
export interface Body {
  arch: string;
  size: number;
  resize: string;
  /** Of its pooled features. */
  width: number;
  revision: string;
  contents: string;
}

/** Shifted views a picture, until there are enough in all, and the most in all; as `TrainConfig` in Python. */
export const SHIFTS = 2;
export const ENOUGH_SHIFTED = 300;
export const MOST_SHIFTED = 1500;
/** How they are made: the name of their cache in Python, another one whenever they are made in another way. */
export const VIEWS = "shifted-3";
export const MOST_PICTURES = 5000;
export const MOST_LABELS = 60;
export const MOST_DOUBTFUL = 10;
/** What the outlook is about. */
export const MORE_PER_CLASS = 20;

/** What heads that never saw a picture say of it. */
export interface Judgement {
  sha256: string;
  label: string;
  /** In the order of `labels`, with the temperature that the other folds chose. */
  probabilities: number[];
  predicted: string;
  fold: number;
  familiarity: number;
}

/** A label that may be wrong. */
export interface Doubt {
  sha256: string;
  label: string;
  /** The probability of that label. */
  probability: number;
  /** What it may be instead; null: the label is the most probable one after all. */
  suggested: string | null;
}

/** Whether views were tried and are learnt from, and how many. */
export interface ViewsTried {
  count: number;
  kept: boolean;
}

/** What was learnt. */
export interface Taught {
  labels: string[];
  /** How many pictures of each label were learnt from. */
  counts: number[];
  judged: number;
  wrong: number;
  /** wrong / judged, and its Wilson 95 % interval. */
  error: number;
  interval: [low: number, high: number];
  judgements: Judgement[];
  /** [label][predicted]: pictures by their SHA-256, those with the least probable label first. */
  confusion: string[][][];
  /** At most `MOST_DOUBTFUL`, the most doubtful first. */
  doubtful: Doubt[];
  /** Groups of more than one picture that were kept in one fold. */
  groups: string[][];
  /** Near duplicates in two classes. */
  twins: { first: string; second: string; cosine: number }[];
  folds: number;
  strength: number;
  balanced: boolean;
  temperature: number;
  cropped: ViewsTried;
  shifted: ViewsTried;
  /** A picture less familiar than this is "not sure"; `accepted` is the share of held-out pictures that are not. */
  threshold: number;
  accepted: number;
  certainty: number;
  neighbours: number;
  /** How long it took. */
  seconds: number;
}

/** What `MORE_PER_CLASS` more pictures of each class would bring. */
export type Outlook =
  | { can: false; reason: "few-wrong" | "few-different" }
  | {
      can: true;
      /** The errors of the fitted curve today and then, in [0, 1]. */
      now: number;
      then: number;
      /** 90 % of the falls that resampled pictures give. */
      fall: [low: number, high: number];
      /** Whether the fall is at least a tenth of the error. */
      worthIt: boolean;
    };

export interface WorkOptions {
  /** Told how many of how many steps are done. */
  progress?: (done: number, total: number) => void;
  /** Stops the work: the promise is rejected with the signal's reason, and what was learnt before stays. */
  signal?: AbortSignal;
}

export interface MeasureOptions extends WorkOptions {
  /** Whether views of the pictures are measured too; learning does without, but holds better with them. Default: true. */
  views?: boolean;
  /** Told of a picture whose features are new or more than before: store them. */
  keep: (sha256: string, features: Features) => void;
}

export interface SiteZipOptions {
  title: string;
  /** Whether the owner's own pictures (folder, camera) may be shown; found ones are if their licence is known. */
  showOwn: boolean;
}

/** A file of a site, by its path in it. */
export interface SiteFile {
  path: string;
  content: Blob;
}

export interface LessonZipOptions {
  title: string;
  /** A slug; "" for none. */
  name: string;
}

export type CannotTeachReason =
  /** The site's network is not of the form that can be taught. */
  | "body"
  /** Fewer than two classes have pictures. */
  | "one-class"
  /** `label` has fewer pictures than two, or none are left of it. */
  | "too-few"
  /** `label` has only copies of one picture. */
  | "same-picture"
  /** `label` has too few pictures that are no near duplicates of others. */
  | "too-few-different"
  /** More than `MOST_PICTURES` pictures or `MOST_LABELS` labels. */
  | "too-many"
  /** A picture has no features of this body: call `measure` first. */
  | "not-measured"
  /** Features or losses are no numbers. */
  | "not-numbers"
  /** Pictures or names have changed since it learnt. */
  | "outdated"
  /** The worker has ended, and what was learnt with it: open another teacher. */
  | "ended"
  /** Nothing has been learnt yet. */
  | "not-learnt";

/** Made by `openTeacher`. It does one thing after the other, in a worker. */
export interface Teacher {
  readonly body: Body;
  /**
   * The picture as it is to be kept. A bare JPEG stays byte for byte; others are decoded, made smaller and encoded.
   *
   * @throws BadPicture
   */
  prepare(file: Blob): Promise<KeptPicture>;
  /**
   * Compute what features the pictures lack for learning: first of the pictures themselves, then of views of them.
   *
   * @throws BadPicture: a blob is no picture.
   */
  measure(
    pictures: Pick<LessonPicture, "sha256" | "blob" | "added" | "label" | "features">[],
    options: MeasureOptions,
  ): Promise<void>;
  /**
   * Learn from measured pictures: folds, head, temperature and threshold, as training in Python does.
   *
   * @throws CannotTeach
   */
  learn(lesson: Lesson, options?: WorkOptions): Promise<Taught>;
  /** What more pictures would bring, of what was learnt last. @throws CannotTeach: nothing was. */
  outlook(options?: WorkOptions): Promise<Outlook>;
  /** @throws BadPicture @throws CannotTeach: nothing was learnt. */
  classify(picture: Picture): Promise<Answer>;
  /**
   * A finished static site with what was learnt last. @throws CannotTeach: nothing was. @throws CannotRun: no network.
   */
  siteZip(lesson: Lesson, options: SiteZipOptions): Promise<Blob>;
  /** The files of the same site. */
  siteFiles(lesson: Lesson, options: SiteZipOptions): Promise<SiteFile[]>;
  /** What `spotter adopt` takes. @throws CannotTeach: nothing was learnt. */
  lessonZip(lesson: Lesson, options: LessonZipOptions): Promise<Blob>;
  /** Free its memory; it answers no more. */
  close(): void;
}

export interface TeachOptions {
  /** How many threads the network may use, at most. */
  threads?: number;
  /** Told how many of how many bytes of the body are here. */
  progress?: (loaded: number, total: number) => void;
  /** Told when an open teacher has ended by itself, with the error that all questions to it meet from then on. */
  ended?: (error: Error) => void;
}

/**
 * `openTeacher` of `client.ts`: loads the network of a site's folder into a worker.
 *
 * @throws CannotTeach: its network cannot be taught. @throws BrokenModel @throws CannotRun
 */
export type OpenTeacher = (folder: URL, options?: TeachOptions) => Promise<Teacher>;
