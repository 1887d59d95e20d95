/** A program that uses the built `spotter.js` by its types alone: `npm run check` compiles it. */

import {
  BadPicture,
  CannotRun,
  load,
  type Answer,
  type Card,
  type Evidence,
  type LoadOptions,
  type Neighbour,
  type Spotter,
} from "../../../spotter/web/static/spotter.js";

export async function use(file: File): Promise<string> {
  const options: LoadOptions = { threads: 2, progress: (loaded, total) => loaded / total };
  const model: Spotter = await load(new URL("https://example.org/bears/"), options);
  const { labels, threshold }: Card = model.card;
  try {
    const answer: Answer = await model.classify(file, { prior: { grizzly: 1 } });
    const evidence: Evidence = await model.explain(file, answer.closest);
    const near: Neighbour[] = await model.nearest(file, 3);
    const share: number | undefined = answer.probabilities[labels[0] ?? ""];
    return [answer.label, share, threshold, evidence.rows, near[0]?.thumbnail?.label].join();
  } catch (error) {
    if (error instanceof BadPicture && error.reason === "too-large") return error.message;
    if (error instanceof CannotRun) return error.reason;
    // @ts-expect-error: a number is no picture.
    await model.classify(3);
    throw error;
  } finally {
    model.close();
  }
}
