import { expect, test } from "vitest";
import { csvOf, plainCell } from "../src/page/csv.js";
import { isSystemPath, shownName } from "../src/page/names.js";
import { costFigure, general, percent, shortest, whole } from "../src/page/numbers.js";
import { readPrior } from "../src/page/prior.js";
import type { Answer } from "../src/types.js";

test("numbers are written as Python writes them", () => {
  expect([62.5, 63.5, 0.5, 1.5, 97.4999, 99.5, 0].map(whole)).toEqual(["62", "64", "0", "2", "97", "100", "0"]);
  const general2 = [5.1e-5, 0.125, 0.135, 2, 12.34, 99.5, 100, 0.00012, 1e-10, 0.75].map((value) => general(value, 2));
  expect(general2).toEqual(["5.1e-05", "0.12", "0.14", "2", "12", "1e+02", "1e+02", "0.00012", "1e-10", "0.75"]);
  const costs = [0, 5.1e-5, 0.0099, 0.01, 0.125, 2, 12.34, 99.5, 1234, 1e9].map(costFigure);
  expect(costs).toEqual(["0", "< 0.01", "< 0.01", "0.01", "0.12", "2", "12", "100", "1200", "1000000000"]);
  const numbers = [1, 0.1, 1e-5, 0.00012, 123456789, 1e16, Math.fround(0.1), 1234.5, 0];
  expect(numbers.map(shortest)).toEqual([
    ...["1.0", "0.1", "1e-05", "0.00012", "123456789.0", "1e+16", "0.10000000149011612", "1234.5", "0.0"],
  ]);
});

test("nothing is quite certain", () => {
  expect([0.974, 0.999, 1, 0.004, 0].map(percent)).toEqual(["97 %", "> 99 %", "> 99 %", "< 1 %", "< 1 %"]);
});

test("no cell of a table is a formula", () => {
  const cells = { "=1+1": "'=1+1", " =1": "' =1", "a;=b": "a;'=b", "＝1": "'＝1", '"=1': `'"=1`, "-": "'-", "a=b": "a=b" };
  for (const [text, plain] of Object.entries(cells)) expect(plainCell(text)).toBe(plain);
  for (const sign of ["=", "+", "-", "@", "＝", "＋", "－", "＠"]) expect(plainCell(`${sign}x`)).toBe(`'${sign}x`);
  expect(plainCell("two\nlines\u202e")).toBe("two lines ");
});

test("no class has the column of something else", () => {
  const labels = ["label", "error", "id", "label (class)", "set", "looked_at", "01", "10", "2", "constructor", "__proto__"];
  const head = csvOf([], labels, ["set"]).trim().split(",");
  expect(head.slice(3, -5)).toEqual([
    ...["label (class) (class)", "error (class)", "id", "label (class)", "set (class)", "looked_at (class)"],
    ...["01", "10", "2", "constructor", "__proto__"],
  ]);
});

test("a table has a column for each class, and for what the model advises", () => {
  const answer: Answer = {
    ...{ label: "a", closest: "a", probabilities: { a: 0.75, "b, c": 0.25 }, familiarity: 1, familiar: true, threshold: 0.5 },
    ...{ decision: "ask", expected_cost: 2, set: ["a", "b, c"], prior: { a: 0.5, "b, c": 0.5 } },
    looked_at: [0, 0.25, 0.5, 1],
  };
  const rows = [{ name: "=x.png", answer }, { name: "y.png", error: "Empty." }];
  expect(csvOf(rows, ["a", "b, c"], ["decision", "expected_cost", "set", "prior", "looked_at"])).toBe(
    "\ufefffile,label,closest,a,\"b, c\",familiarity,familiar,threshold,decision,expected_cost,set,prior,looked_at,error\r\n" +
      "'=x.png,a,a,0.75,0.25,1.0,True,0.5,ask,2.0,\"a|b, c\",\"{\"\"a\"\": 0.5, \"\"b, c\"\": 0.5}\",0.0|0.25|0.5|1.0,\r\n" +
      "y.png,,,,,,,,,,,,,Empty.\r\n",
  );
});

test("names are short, in one line, and without the folders above", () => {
  expect(shownName("a/b/c.png")).toBe("b/c.png");
  expect(shownName("..\\..\\etc\\x\n.png")).toBe("etc/x .png");
  expect(shownName("/")).toBe("?");
  expect(shownName(`${"x".repeat(300)}.png`)).toHaveLength(97);
});

test("what a system keeps beside pictures is none of them", () => {
  for (const path of ["__MACOSX/a.png", "a/.DS_Store", "Thumbs.db", "x/@eaDir/y.jpg", "System Volume Information/a"]) {
    expect(isSystemPath(path)).toBe(true);
  }
  for (const path of ["a/b.png", "./a.png", "../a.png", "thumbs.png"]) expect(isSystemPath(path)).toBe(false);
});

test("a prior names labels, and adds up to 1", () => {
  const labels = ["grizzly", "black", "a:b", "c, d"];
  expect(readPrior("grizzly:0.8,black:0.2", labels)).toEqual({ grizzly: 0.8, black: 0.2, "a:b": 0, "c, d": 0 });
  expect(readPrior("c, d:.25,a:b:0.75", labels)).toEqual({ grizzly: 0, black: 0, "a:b": 0.75, "c, d": 0.25 });
  for (const wrong of ["", "grizzly", "grizzly:1,grizzly:0", "cat:1", "grizzly:0.5", "grizzly:x", "grizzly:-1,black:2", "grizzly:"]) {
    expect(readPrior(wrong, labels)).toBeUndefined();
  }
});
