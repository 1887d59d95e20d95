/** The body that is taught: the site's own network up to its pooled features, on onnxruntime-web. */

import { Tensor, type InferenceSession } from "onnxruntime-web/wasm";
import { readCard } from "../card.js";
import { decodePicture } from "../decode.js";
import { fetchCode, fetchFile, readSite, type SiteJson } from "../files.js";
import { MODEL_JSON, MOST_WASM, START, WASM, counter, promised } from "../model.js";
import { floats, openSession } from "../network.js";
import { checkNetwork } from "../onnx.js";
import { toSquare } from "../resize.js";
import { asCannotRun } from "../runs_here.js";
import type { Picture } from "../types.js";
import { CROPS } from "./crops.js";
import { CannotTeach } from "./errors.js";
import type { Matrix, Products } from "./linear.js";
import { findHead, productsNetwork, withOutput, type HeadPlace } from "./onnx_write.js";
import { perceptualHash } from "./phash.js";
import { familyOf, makeShifted } from "./shifts.js";
import { VIEWS, type Body, type Features, type TeachOptions } from "./types.js";

/** The site that the body is of, as far as another site is made from it. */
export interface Source {
  folder: URL;
  site: SiteJson;
  onnx: Uint8Array;
  place: HeadPlace;
}

/** Which views of a picture are wanted: the cropped ones, and so many shifted ones. */
export interface Wanted {
  cropped: boolean;
  shifted: number;
}

/** Of so many pictures it is kept what the network saw: 0.15 MB each. */
const MOST_SQUARES = 400;

/** Pictures to features. One at a time. */
export class BodyNetwork {
  /** What the network saw of the last pictures whose views may be wanted next, which need no decoding then. */
  private readonly squares = new Map<string, Uint8Array>();

  private constructor(
    readonly body: Body,
    readonly source: Source,
    private readonly network: InferenceSession,
    private readonly multiplier: InferenceSession,
  ) {}

  /** @throws CannotTeach: the site's network cannot be taught. @throws BrokenModel @throws CannotRun */
  static async open(folder: URL, { threads = 1, progress }: TeachOptions): Promise<BodyNetwork> {
    const site = await readSite(folder);
    if (site.network !== "model.onnx") {
      throw new CannotTeach("body", "The network of this site is made of 8-bit numbers, which cannot be taught.");
    }
    const path = `model/${site.network}.gz`;
    const code = new URL(".", import.meta.url);
    const arrived = counter([MODEL_JSON, path, WASM], site, progress);
    const card = readCard(await fetchFile(folder, site, MODEL_JSON, undefined, arrived));
    // Another site speaks of its own code.
    const promisedCode = code.href === folder.href ? site.files[WASM]?.unpacked_sha256 : undefined;
    const [onnx, wasm] = await Promise.all([
      fetchFile(folder, site, path, promised(card, site.network), arrived),
      fetchCode({ url: new URL(WASM, code), name: "network runtime", most: MOST_WASM, arrived, promised: promisedCode }),
    ]);
    checkNetwork(onnx, site.network);
    const place = findHead(onnx);
    const files = { wasm, script: new URL(START, code) };
    const network = await openSession({ ...files, onnx: withOutput(onnx, place.pooled), file: site.network }, threads);
    const multiplier = await openSession({ ...files, onnx: productsNetwork(), file: "products" }, threads);
    const { arch, size, resize } = card;
    const body = { arch, size, resize, width: place.width, revision: site.revision, contents: site.contents ?? "" };
    return new BodyNetwork(body, { folder, site, onnx, place }, network, multiplier);
  }

  /** Compute what of the features of a picture is wanted and not `there`. @throws BadPicture */
  async measure(picture: Picture, sha256: string, wanted: Wanted, there?: Features): Promise<Features> {
    const { size, resize, width } = this.body;
    const seen = this.squares.get(sha256);
    if (there && seen && !wanted.cropped) {
      return { ...there, ...(await this.measureShifted(seen, sha256, wanted.shifted)) };
    }
    const decoded = await decodePicture(picture);
    try {
      const { pixels } = decoded;
      const square = toSquare(pixels, size, resize);
      if (!wanted.shifted && this.squares.size < MOST_SQUARES) this.squares.set(sha256, square);
      const found: Features = there
        ? { ...there }
        : {
            body: this.body.contents,
            phash: perceptualHash(pixels),
            plain: await this.run(square),
            ...{ cropped: new Float32Array(0), shifted: new Float32Array(0), shows: [], views: VIEWS },
          };
      if (wanted.cropped && !found.cropped.length) {
        const cropped = new Float32Array(CROPS.length * width);
        for (const [number, crop] of CROPS.entries()) {
          cropped.set(await this.run(toSquare(crop(pixels), size, resize)), number * width);
        }
        found.cropped = cropped;
      }
      if (wanted.shifted) Object.assign(found, await this.measureShifted(square, sha256, wanted.shifted));
      return found;
    } finally {
      decoded.close();
    }
  }

  /** Free what it saw of pictures: no views of them are wanted next. */
  forget(): void {
    this.squares.clear();
  }

  private async measureShifted(
    square: Uint8Array,
    sha256: string,
    count: number,
  ): Promise<Pick<Features, "shifted" | "shows" | "views">> {
    const { size, width } = this.body;
    const shows = Array.from({ length: count }, (_, number) => familyOf(number, sha256));
    const shifted = new Float32Array(count * width);
    for (const [number, family] of shows.entries()) {
      shifted.set(await this.run(makeShifted(square, size, family, sha256)), number * width);
    }
    return { shifted, shows, views: VIEWS };
  }

  /** The pooled features of any picture. @throws BadPicture */
  async featuresOf(picture: Picture): Promise<Float32Array> {
    const decoded = await decodePicture(picture);
    try {
      return await this.run(toSquare(decoded.pixels, this.body.size, this.body.resize));
    } finally {
      decoded.close();
    }
  }

  /** The runtime's own product of matrices is several times faster than a loop. */
  readonly products: Products = async (one, other) => {
    const tensor = ({ rows, width, values }: Matrix): Tensor => new Tensor("float32", values, [rows, width]);
    try {
      const { products } = await this.multiplier.run({ one: tensor(one), other: tensor(other) });
      return floats(products);
    } catch (error) {
      throw asCannotRun(error);
    }
  };

  private async run(square: Uint8Array): Promise<Float32Array> {
    const { size } = this.body;
    const { pooled } = this.source.place;
    try {
      const found = await this.network.run({ pixels: new Tensor("uint8", square, [1, size, size, 3]) }, [pooled]);
      return floats(found[pooled]).slice();
    } catch (error) {
      throw asCannotRun(error);
    }
  }
}
