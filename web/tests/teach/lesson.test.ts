import { expect, test } from "vitest";

import { lacksViews, lackingViews, planViews } from "../../src/teach/lesson.js";
import { MOST_SHIFTED, SHIFTS, VIEWS, type Features } from "../../src/teach/types.js";

const views = (cropped: number, shifted: number): Features => ({
  ...{ body: "b", phash: "0".repeat(16), plain: new Float32Array(2), views: VIEWS },
  ...{ cropped: new Float32Array(cropped), shifted: new Float32Array(shifted) },
  shows: new Array<string>(shifted / 2).fill("soft"),
});
const pictures = (count: number, features?: Features) =>
  Array.from({ length: count }, (_, number) => ({
    ...{ sha256: number.toString(16).padStart(64, "0"), added: "a", label: number % 2 ? "a" : "b" },
    ...(features ? { features } : {}),
  }));

test("a few pictures need both kinds of views, more only shifted ones, and many none", () => {
  expect(planViews(pictures(10))).toMatchObject({ cropped: { size: 10 }, shifted: { size: 10 } });
  expect(planViews(pictures(300))).toMatchObject({ cropped: { size: 0 }, shifted: { size: 300 } });
  expect(planViews(pictures(MOST_SHIFTED + 9)).shifted.size).toBe(MOST_SHIFTED);
  const twice = planViews(pictures(8), 2, 12, 900).shifted;
  expect([...twice.values()].sort()).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
});

test("what lacks views is told from what has them", () => {
  const plan = planViews(pictures(4));
  const [first] = pictures(1);
  expect(lackingViews(first?.sha256 ?? "", plan, views(6, 0))).toEqual({ cropped: false, shifted: SHIFTS });
  expect(lackingViews(first?.sha256 ?? "", plan, views(0, 2 * SHIFTS))).toEqual({ cropped: true, shifted: 0 });
  expect(lacksViews(pictures(4))).toBe(true);
  expect(lacksViews(pictures(4, views(6, 0)))).toBe(true);
  expect(lacksViews(pictures(4, views(6, 2)))).toBe(true);
  expect(lacksViews(pictures(4, views(6, 4)))).toBe(false);
  // Left out by somebody, or beyond the plan: none are needed.
  expect(lacksViews(pictures(4).map((each) => ({ ...each, label: null })))).toBe(false);
  expect(lacksViews(pictures(300, views(0, 2)))).toBe(false);
  // A page of before made them in another way.
  expect(lacksViews(pictures(4, { ...views(6, 4), views: "shifted-1" }))).toBe(true);
});
