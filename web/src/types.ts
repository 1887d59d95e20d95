/** The public API: what `load` gives, what it takes, and what goes wrong. */

/** One answer, with the names and in the order of `Prediction.record()` in Python. */
export interface Answer {
  /** What Spotter says: a label, "not sure" when the picture is not familiar. */
  label: string;
  /** The most probable label, always. */
  closest: string;
  probabilities: Record<string, number>;
  /** How much the picture is like what the model learnt from, in [0, 1]. */
  familiarity: number;
  familiar: boolean;
  /** The least familiarity of a familiar picture. */
  threshold: number;
  /** What to do by what mistakes cost, of a model with costs: a label, "ask a person". */
  decision?: string;
  expected_cost?: number;
  /** The labels that may be true, the most probable first, of a model with sets. */
  set?: string[];
  /** The share of each label that was taken to be known. */
  prior?: Record<string, number>;
  /** The probabilities without the prior. */
  unweighted?: Record<string, number>;
  /**
   * The part of the picture that the answer is about, where a second look gave it: left, top, right and bottom, as
   * shares of the width and height of the upright picture.
   */
  looked_at?: [number, number, number, number];
}

/** Raw pixels: RGB or RGBA bytes in rows from the top, sizes in pixels. What is transparent lies on white. */
export interface RawPicture {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** An encoded picture (Blob, File, bytes), or pixels. */
export type Picture = Blob | ArrayBuffer | Uint8Array | RawPicture | ImageBitmap;

/** What the model says of itself. `examples` maps labels to the paths of pictures in the site's folder. */
export interface Card {
  name: string;
  title: string;
  labels: string[];
  arch: string;
  /** The side in pixels of the square that the network sees, and how a picture becomes one: crop, squish or pad. */
  size: number;
  resize: string;
  threshold: number;
  neighbours: number;
  certainty: number;
  /** The error in words. */
  summary: string;
  revision: string;
  /** The hash of the contents: of what `model.json` promises. */
  contents: string;
  examples: Record<string, string>;
  /** Whether it can show where in a picture the evidence lies. */
  explains: boolean;
  /** The shares in which the labels were learnt; empty in older revisions, which take no prior. */
  shares: number[];
  /** Which fields its answers have beyond those of every model. */
  advice: string[];
}

/** Where the evidence for a label lies: `evidence` has rows * columns numbers that cover `box` of the picture. */
export interface Evidence {
  label: string;
  /** Of the picture, in pixels. */
  width: number;
  height: number;
  /** Left, top, right, bottom in pixels of the picture; outside of it where it was padded. */
  box: [number, number, number, number];
  rows: number;
  columns: number;
  /** Above 0 it speaks for the label, below 0 for the others. */
  evidence: Float32Array;
  /** As in the answer. */
  looked_at?: Answer["looked_at"];
}

/** A small picture of a row of the reference, and whose it is. */
export interface Thumbnail {
  jpeg: Blob;
  label: string;
  creator: string;
  license_id: string;
  license_url: string;
  page_url: string;
}

/** A row of the reference near a picture. */
export interface Neighbour {
  row: number;
  cosine: number;
  thumbnail?: Thumbnail;
}

/** A model that is ready to answer. */
export interface Spotter {
  readonly card: Card;
  /**
   * Classify one picture. `prior` names the shares in which labels come; those not named do not occur.
   *
   * @throws BadPicture, BadPrior
   */
  classify(picture: Picture, options?: ClassifyOptions): Promise<Answer>;
  /** The answer that class probabilities of the network and a familiarity stand for. */
  answerFrom(probabilities: ArrayLike<number>, familiarity: number, options?: ClassifyOptions): Promise<Answer>;
  /**
   * Where in a picture the evidence for a label lies (without one: for the most probable).
   *
   * @throws BadPicture, NoExplanation
   */
  explain(picture: Picture, label?: string): Promise<Evidence>;
  /** The rows of the reference that are nearest to a picture, nearest first. */
  nearest(picture: Picture, count: number): Promise<Neighbour[]>;
  /** The pixels that the network sees: size * size * 3 bytes, RGB. */
  square(picture: Picture): Promise<Uint8Array>;
  /** Classify the picture that came with the model, whose probabilities are known. */
  selfTest(): Promise<{ agrees: boolean; largestDifference: number }>;
  /** Free its memory; it answers no more. */
  close(): void;
}

export interface ClassifyOptions {
  prior?: Record<string, number>;
}

export interface LoadOptions {
  /** Whether the page's service worker is about to keep the site: then it need not fetch again what is here. */
  keeps?: boolean;
  /** How many threads the network may use, at most. More than one needs a page that is cross-origin isolated. */
  threads?: number;
  /** Decodes pictures in Node, which has no decoder of its own. */
  decode?: (bytes: Uint8Array) => Promise<RawPicture>;
  /** Told how many of how many bytes are here. */
  progress?: (loaded: number, total: number) => void;
  /** Told when the model has ended by itself, as where there is no memory left: it will answer nothing any longer. */
  lost?: () => void;
}
