/** Near duplicates, found by perceptual hashes and confirmed by features: as `spotter/data/duplicates.py`. */

const NEAR_BITS = 8;
const NEAR_COSINE = 0.7;
/** Cropped or brightened copies: their hashes differ more, so the network has to be surer. */
const FAR_BITS = 16;
const FAR_COSINE = 0.85;
/** A page with a few pictures shows one animal from several sides; one with more is a gallery. */
const MOST_OF_ONE_PAGE = 10;
/** Mirroring a picture turns the sign of its odd horizontal frequencies round. */
const MIRROR = 0x55555555;

/** What grouping needs of a picture. */
export interface Hashed {
  /** 16 hexadecimal digits. */
  phash: string;
  page: string;
  target: number;
}

export interface Grouped {
  /** The number of each picture's group: 0 for the first picture's, and so on. */
  groups: number[];
  /** Near duplicates in two classes, the most alike first. */
  twins: { first: number; second: number; cosine: number }[];
}

/** @param cosine of the features of two pictures. */
export function groupDuplicates(pictures: Hashed[], cosine: (first: number, second: number) => number): Grouped {
  const families = new Families(pictures.length);
  for (const [first, second] of pairsOfOnePage(pictures)) families.join(first, second);
  const twins: Grouped["twins"] = [];
  const hashes = pictures.map(({ phash }) => halves(phash));
  hashes.forEach((own, first) => {
    for (let second = first + 1; second < hashes.length; second++) {
      const bits = bitsApart(own, hashes[second] ?? [0, 0]);
      if (bits > FAR_BITS) continue;
      const crosses = pictures[first]?.target !== pictures[second]?.target;
      if (!crosses && families.of(first) === families.of(second)) continue;
      const likeness = cosine(first, second);
      if (likeness < (bits <= NEAR_BITS ? NEAR_COSINE : FAR_COSINE)) continue;
      families.join(first, second);
      if (crosses) twins.push({ first, second, cosine: likeness });
    }
  });
  return { groups: families.numbers(), twins: twins.sort((one, other) => other.cosine - one.cosine) };
}

/** How many of 64 bits differ, mirrored or not. */
export function bitsApart([high, low]: [number, number], [otherHigh, otherLow]: [number, number]): number {
  const [a, b] = [high ^ otherHigh, low ^ otherLow];
  return Math.min(countBits(a) + countBits(b), countBits(a ^ MIRROR) + countBits(b ^ MIRROR));
}

export function halves(phash: string): [number, number] {
  return [parseInt(phash.slice(0, 8), 16) | 0, parseInt(phash.slice(8), 16) | 0];
}

function countBits(value: number): number {
  let bits = value - ((value >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function pairsOfOnePage(pictures: Hashed[]): [number, number][] {
  const pages = new Map<string, number[]>();
  pictures.forEach(({ page }, row) => {
    if (page) pages.set(page, [...(pages.get(page) ?? []), row]);
  });
  return [...pages.values()]
    .filter((rows) => rows.length <= MOST_OF_ONE_PAGE)
    .flatMap((rows) => rows.slice(1).map((row, at): [number, number] => [rows[at] ?? 0, row]));
}

/** Which of `count` pictures belong together. */
class Families {
  private readonly parents: number[];

  constructor(count: number) {
    this.parents = Array.from({ length: count }, (_, row) => row);
  }

  of(row: number): number {
    let root = row;
    while (this.parents[root] !== root) root = this.parents[root] ?? root;
    this.parents[row] = root;
    return root;
  }

  join(first: number, second: number): void {
    this.parents[this.of(second)] = this.of(first);
  }

  numbers(): number[] {
    const numbers = new Map<number, number>();
    return this.parents.map((_, row) => {
      const root = this.of(row);
      const number = numbers.get(root) ?? numbers.size;
      numbers.set(root, number);
      return number;
    });
  }
}
