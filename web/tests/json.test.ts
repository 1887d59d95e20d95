import { expect, test } from "vitest";
import { parseJson } from "../src/json.js";

const read = (text: string): unknown => parseJson(new TextEncoder().encode(text));

test.each(['{"a": 1, "a": 2}', '{"b": [{"a": {}, "c": "x", "a": 1}]}', '{"a": 1, "\\u0061": 1}', '{"": 1, "": 1}'])(
  "%s names something twice",
  (text) => {
    expect(() => read(text)).toThrow("twice");
  },
);

test.each([
  '{"a": {"a": {"a": "a"}}, "b": ["a", "a", {"a": 1}, {"a": 1}]}',
  '{"a": "\\"b\\": 1, \\"b\\": {", "b": ":", "c": "\\\\"}',
  '["a", 1, null, true, -1.5e3]',
  '"{"',
])("%s does not", (text) => {
  expect(read(text)).toEqual(JSON.parse(text));
});

test.each(["", "{", '{"a": 1,}', "nope"])("%j is no JSON", (text) => {
  expect(() => read(text)).toThrow(SyntaxError);
});

test("bytes that are no text are refused", () => {
  expect(() => parseJson(Uint8Array.from([0x22, 0xff, 0x22]))).toThrow(TypeError);
});
