/** Why nothing can be learnt: `reason` for the page's own words, `message` as an English sentence. */

import type { CannotTeachReason } from "./types.js";

export class CannotTeach extends Error {
  override readonly name = "CannotTeach";

  constructor(
    readonly reason: CannotTeachReason,
    message: string,
    /** The class it is about. */
    readonly label = "",
  ) {
    super(message);
  }
}
