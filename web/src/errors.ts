/** What goes wrong, by kind. Messages are sentences for the reader of the page. */

export type BadPictureReason = "empty" | "not-a-picture" | "too-large" | "too-small" | "corrupt" | "failed";
export type CannotRunReason = "no-wasm" | "no-simd" | "insecure" | "no-worker" | "no-network" | "memory";

/** A picture that cannot be decoded or is refused. */
export class BadPicture extends Error {
  override readonly name = "BadPicture";

  constructor(
    readonly reason: BadPictureReason,
    message: string,
  ) {
    super(message);
  }
}

/** A file of the model changed, is missing, is half here, or holds what cannot be. */
export class BrokenModel extends Error {
  override readonly name = "BrokenModel";
}

/** This browser or machine cannot run the model, or did not reach it. */
export class CannotRun extends Error {
  override readonly name = "CannotRun";

  constructor(
    readonly reason: CannotRunReason,
    message: string,
  ) {
    super(message);
  }
}

/** A prior that names other labels or does not add up to 1, or a model too old to take one. */
export class BadPrior extends Error {
  override readonly name = "BadPrior";
}

/** This kind of network cannot show where it looked, or there is no such label. */
export class NoExplanation extends Error {
  override readonly name = "NoExplanation";
}
