import { expect, test } from "vitest";
import { difference } from "../src/teach/page/bursts.js";
import { SourceTrouble, link, number, text } from "../src/teach/page/found.js";
import { sortByFolder, takeEvenly } from "../src/teach/page/folders.js";
import { cleanLabel, labelProblem, looksOf } from "../src/teach/page/labels.js";
import { creativeCommons, credit, isOpen } from "../src/teach/page/licenses.js";
import { openverse } from "../src/teach/page/openverse.js";

function given(...paths: string[]): { path: string; file: File }[] {
  return paths.map((path) => ({ path, file: new File([], path) }));
}

function names(classes: Map<string, { path: string }[]>): Record<string, string[]> {
  return Object.fromEntries([...classes].map(([name, files]) => [name, files.map(({ path }) => path)]));
}

test.each([
  ["sub-folders of one", ["all/a/1", "all/a/x/2", "all/b/3"], { a: ["all/a/1", "all/a/x/2"], b: ["all/b/3"] }, []],
  ["several at once", ["a/1", "b/2"], { a: ["a/1"], b: ["b/2"] }, []],
  ["one without others in it", ["a/1", "a/2"], { a: ["a/1", "a/2"] }, []],
  ["deep ones", ["x/y/a/1", "x/y/b/2"], { a: ["x/y/a/1"], b: ["x/y/b/2"] }, []],
  ["files beside them", ["x/a/1", "x/b/2", "x/3", "4"], { a: ["x/a/1"], b: ["x/b/2"] }, ["4", "x/3"]],
  ["files alone", ["1", "2"], {}, ["1", "2"]],
  ["nothing", [], {}, []],
])("folders become classes: %s", (_, paths, classes, loose) => {
  const sorted = sortByFolder(given(...paths));
  expect(names(sorted.classes)).toEqual(classes);
  expect(sorted.loose.map(({ path }) => path)).toEqual(loose);
});

test("of too many, as many of each class are taken as of the others", () => {
  expect(takeEvenly([[1, 2, 3, 4], [5], [6, 7, 8]], 6)).toEqual([[1, 2, 3], [5], [6, 7]]);
  expect(takeEvenly([[1], []], 9)).toEqual([[1], []]);
  expect(takeEvenly([[1, 2]], 0)).toEqual([[]]);
});

test.each([
  ["grizzly", undefined],
  ["灰熊", undefined],
  ["C++", undefined],
  ["", "teach_name_empty"],
  ["!?", "teach_name_empty"],
  ["x".repeat(61), "teach_name_empty"],
  ["a<b", "teach_name_signs"],
  ["a\u0000b", "teach_name_signs"],
  ["../a", "teach_name_path"],
  ["a..b", "teach_name_path"],
  ["Not sure", "teach_name_kept"],
  ["none of\u00a0these", "teach_name_kept"],
  ["COM1", "teach_name_kept"],
])("a class may be called %j, or the page says why not", (name, problem) => {
  expect(labelProblem(cleanLabel(name))).toBe(problem);
});

test("names that people could not tell apart look the same", () => {
  expect(looksOf("Black bear")).toBe(looksOf("black_bear"));
  expect(looksOf("A/B")).toBe(looksOf("A:B"));
  expect(looksOf("C")).not.toBe(looksOf("C++"));
});

test.each([
  ["by-sa", "2.0", "", "CC-BY-SA-2.0", true],
  ["by-nc", "4.0", "", "CC-BY-NC-4.0", false],
  ["CC BY-SA 3.0 de", "", "", "CC-BY-SA-3.0-DE", true],
  ["cc0", "1.0", "", "CC0-1.0", true],
  ["pdm", "1.0", "", "PDM-1.0", true],
  ["by", "2.0", "https://creativecommons.org/licenses/by/2.0/xx/", "unknown", false],
  ["by", "", "", "unknown", false],
  ["all rights reserved", "", "", "unknown", false],
])("the licence %j %j is %s", (code, version, url, license, open) => {
  expect(creativeCommons(code, version, url)).toBe(license);
  expect(isOpen(license)).toBe(open);
});

test("a credit is the sentence that the licence asks for", () => {
  expect(credit("Bear", "Ann", "CC-BY-4.0")).toBe('"Bear" by Ann is licensed under CC BY 4.0.');
  expect(credit("", "", "PDM-1.0")).toBe("This picture is marked with Public Domain Mark 1.0.");
  expect(credit("Bear", "Ann", "unknown")).toBeUndefined();
});

test("what others send may be of any type", () => {
  expect([text(3), text(" a "), text("\ud800")]).toEqual(["", "a", "?"]);
  expect([link("//a.example/x"), link("javascript:alert(1)"), link("http://"), link(null)]).toEqual(["https://a.example/x", "", "", ""]);
  expect([number("12"), number(-1), number({}), number("1e99")]).toEqual([12, 0, 0, 0]);
  expect(() => openverse.read({ results: "none" })).toThrow(SourceTrouble);
  expect(() => openverse.read(null)).toThrow(SourceTrouble);
  expect(openverse.read({ results: [null, 3, { id: "../../x", url: "https://a.example/x" }, { id: "a" }] })).toEqual([]);
});

test("two frames differ by the mean of their colours", () => {
  const frame = (value: number): Uint8ClampedArray => new Uint8ClampedArray([value, value, value, 255, value, value, value, 255]);
  expect(difference(frame(10), frame(10))).toBe(0);
  expect(difference(frame(10), frame(14))).toBe(4);
});
