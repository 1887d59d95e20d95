import { expect, test } from "vitest";
import { readCard } from "../src/card.js";

const GOOD = {
  ...{ format: 1, name: "n", title: "t", labels: ["a", "b"], arch: "x", size: 224, resize: "crop", temperature: 1 },
  ...{ threshold: 0.5, neighbours: 3, summary: "s", examples: { a: "example-1.jpg" }, versions: {}, made: {} },
  ...{ preprocessing: {}, int8: null, certainty: 0.3, views: 2, shares: [0.5, 0.5], prior: [0.1, 0.9] },
  costs: {
    labels: ["a", "b"],
    values: [
      [0, 1, 2],
      [5, 0, 2],
    ],
  },
  sets: { coverage: 0.95, least: [0.5, 0.6], by_class: true },
  second_look: { window: 0.4, margin: 0.02 },
  sha256: { "model.onnx": "0", "example-1.jpg": "1" },
};

function read(content: unknown): ReturnType<typeof readCard> {
  return readCard(new TextEncoder().encode(JSON.stringify(content)));
}

test("a card that names something twice is refused, as in Python", () => {
  const text = JSON.stringify(GOOD).replace('"threshold":0.5', '"threshold":0.5,"threshold":0');
  expect(() => readCard(new TextEncoder().encode(text))).toThrow("cannot be read");
});

test("a card of now and one of the first version are read", () => {
  expect(read(GOOD)).toMatchObject({ labels: ["a", "b"], prior: [0.1, 0.9], sets: { least: [0.5, 0.6] } });
  expect(read(GOOD).second_look).toEqual({ window: 0.4, margin: 0.02 });
  expect(read({ ...GOOD, second_look: null }).second_look).toBeUndefined();
  const { resize, certainty, views, shares, prior, costs, sets, int8, second_look, ...first } = GOOD;
  expect(read(first)).toMatchObject({ resize, certainty: 0, views: 0, shares: [], prior: [] });
  expect([certainty, views, shares, prior, costs, sets, int8, second_look]).toHaveLength(8);
  expect(read({ ...GOOD, title: "  " }).title).toBe("n");
});

test.each<[string, object, RegExp]>([
  ["another format", { format: 2 }, /format 2/],
  ["a second look at everything", { second_look: { window: 1, margin: 0 } }, /impossible/],
  ["a second look at nothing", { second_look: { window: 0, margin: 0 } }, /impossible/],
  ["a second look without a margin", { second_look: { window: 0.4 } }, /margin is missing/],
  ["a second look that is a number", { second_look: 0.4 }, /is not a table/],
  ["a format that is no number", { format: true }, /format true/],
  ["no hashes", { sha256: null }, /no hashes/],
  ["a file outside", { sha256: { "../x": "0" } }, /outside the model/],
  ["a hash that is none", { sha256: { x: 3 } }, /missing or damaged/],
  ["no labels", { labels: "ab" }, /missing or damaged/],
  ["an empty label", { labels: ["a", " "] }, /missing or damaged/],
  ["labels alike", { labels: ["a", "a"] }, /impossible/],
  ["one label", { labels: ["a"] }, /impossible/],
  ["a huge square", { size: 2049 }, /impossible/],
  ["half a pixel", { size: 1.5 }, /missing or damaged/],
  ["another resize", { resize: "zoom" }, /impossible/],
  ["a threshold above 1", { threshold: 1.01 }, /impossible/],
  ["no neighbours", { neighbours: 0 }, /impossible/],
  ["a temperature of 0", { temperature: 0 }, /impossible/],
  ["a missing summary", { summary: undefined }, /summary is missing/],
  ["an example elsewhere", { examples: { a: "../a.jpg" } }, /example/],
  ["an example that is no picture", { examples: { a: "a.html" } }, /example/],
  ["shares of 2", { shares: [1, 1] }, /impossible/],
  ["a share of 0", { shares: [0, 1] }, /impossible/],
  ["a prior without shares", { shares: [] }, /impossible/],
  ["a prior of other labels", { prior: [0.5, 0.25, 0.25] }, /impossible/],
  ["sets of other labels", { sets: { coverage: 0.9, least: [1], by_class: true } }, /impossible/],
  ["sets of no labels", { sets: { coverage: 0.9, least: [], by_class: true } }, /impossible/],
  ["a coverage of 1", { sets: { coverage: 1, least: [1, 1], by_class: true } }, /impossible/],
  ["costs of other labels", { costs: { ...GOOD.costs, labels: ["a", "c"] } }, /impossible/],
  [
    "a right answer that costs",
    {
      costs: {
        ...GOOD.costs,
        values: [
          [1, 1, 2],
          [5, 0, 2],
        ],
      },
    },
    /impossible/,
  ],
  [
    "asking at two prices",
    {
      costs: {
        ...GOOD.costs,
        values: [
          [0, 1, 2],
          [5, 0, 3],
        ],
      },
    },
    /impossible/,
  ],
  [
    "a negative cost",
    {
      costs: {
        ...GOOD.costs,
        values: [
          [0, -1, 2],
          [5, 0, 2],
        ],
      },
    },
    /impossible/,
  ],
])("a card with %s is refused", (_, change, message) => {
  expect(() => read({ ...GOOD, ...change })).toThrow(message);
});

test.each(["[]", "null", "{", "3"])("%s is no card", (text) => {
  expect(() => readCard(new TextEncoder().encode(text))).toThrow(/model/);
});
