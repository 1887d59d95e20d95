/** The teacher in its worker: it measures pictures, learns from them, answers, and packs what was learnt. */

import { advise } from "../advice.js";
import { cosines, meanOfNearest, weigh } from "../familiarity.js";
import type { Answer, Picture } from "../types.js";
import type { BodyNetwork } from "./body.js";
import { softmax } from "./calibrate.js";
import { CannotTeach } from "./errors.js";
import { learnLesson, type Learnt } from "./learn.js";
import { NO_VIEWS, lackingViews, planViews, type Entry } from "./lesson.js";
import { embed, logitsOf } from "./linear.js";
import { countOutlookSteps, foreseeMore } from "./outlook.js";
import { packLesson } from "./lesson_zip.js";
import { makeSite } from "./site_zip.js";
import { packZip, type ZipEntry } from "./zip.js";
import type {
  Body,
  Features,
  Lesson,
  LessonPicture,
  LessonZipOptions,
  MeasureOptions,
  Outlook,
  SiteZipOptions,
  Taught,
  WorkOptions,
} from "./types.js";

type Measured = Pick<LessonPicture, "sha256" | "blob" | "added" | "label" | "features">;

export class Engine {
  private learnt: Learnt | undefined;

  constructor(private readonly network: BodyNetwork) {}

  get body(): Body {
    return this.network.body;
  }

  async measure(pictures: Measured[], { keep, progress, signal, views = true }: MeasureOptions): Promise<void> {
    const plan = views ? planViews(pictures) : NO_VIEWS;
    const different = [...new Map(pictures.map((picture) => [picture.sha256, picture])).values()];
    const lacking = different.flatMap((picture) => {
      const there = this.isOurs(picture.features) ? picture.features : undefined;
      const wanted = lackingViews(picture.sha256, plan, there);
      return there && !wanted.cropped && !wanted.shifted ? [] : [{ picture, wanted, there }];
    });
    const next = stepper(progress, signal);
    for (const { picture, wanted, there } of lacking) {
      keep(picture.sha256, await this.network.measure(picture.blob, picture.sha256, wanted, there));
      await next(lacking.length);
    }
    if (views) this.network.forget();
  }

  async learn({ labels, pictures }: Lesson, { progress, signal }: WorkOptions = {}): Promise<Taught> {
    const entries = pictures.map((picture): Entry => {
      const { sha256, added, label, origin, features } = picture;
      if (!this.isOurs(features))
        throw new CannotTeach("not-measured", "A picture was not measured yet.", label ?? added);
      return { sha256, added, label, page: origin.page_url ?? "", features };
    });
    this.learnt = await learnLesson(labels, entries, this.network.products, stepper(progress, signal));
    return this.learnt.taught;
  }

  async outlook({ progress, signal }: WorkOptions = {}): Promise<Outlook> {
    const { lesson, taught } = this.known();
    const total = countOutlookSteps(taught.folds, taught.judged);
    const next = stepper(progress, signal);
    return foreseeMore(lesson, lesson.groups, taught.balanced, {
      products: this.network.products,
      step: () => next(total),
    });
  }

  async classify(picture: Picture): Promise<Answer> {
    const learnt = this.known();
    const { labels, threshold, neighbours, certainty } = learnt.taught;
    const features = await this.network.featuresOf(picture);
    const probabilities = Array.from(softmax(logitsOf(learnt.chosen.head, [features]), labels.length));
    const cosine = meanOfNearest(cosines(embed(features), learnt.reference, learnt.reference.rows), neighbours);
    return advise({ labels, threshold }, probabilities, weigh(cosine, probabilities, certainty));
  }

  async siteZip(lesson: Lesson, options: SiteZipOptions): Promise<Blob> {
    return packZip(await this.siteFiles(lesson, options));
  }

  siteFiles(lesson: Lesson, options: SiteZipOptions): Promise<ZipEntry[]> {
    return makeSite(this.network, this.known(), lesson, options);
  }

  lessonZip(lesson: Lesson, options: LessonZipOptions): Promise<Blob> {
    return packLesson(this.network, this.known(), lesson, options);
  }

  private known(): Learnt {
    if (!this.learnt) throw new CannotTeach("not-learnt", "Nothing has been learnt yet.");
    return this.learnt;
  }

  private isOurs(features: Features | undefined): features is Features {
    return features?.body === this.body.contents;
  }
}

/** Counts steps, lets messages in between them, and throws when somebody wants it to stop. */
function stepper(progress: WorkOptions["progress"], signal: AbortSignal | undefined): (total: number) => Promise<void> {
  let done = 0;
  return async (total) => {
    done++;
    progress?.(done, total);
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
  };
}
