import { expect, test } from "vitest";
import { checkNetwork } from "../src/onnx.js";

const field = (number: number, body: number[]): number[] => [number * 8 + 2, body.length, ...body];
const text = (letters: string): number[] => Array.from(new TextEncoder().encode(letters));
const node = (operator: string, domain = "", ...more: number[][]): number[] =>
  field(1, [...field(4, text(operator)), ...field(7, text(domain)), ...more.flat()]);
const graph = (...fields: number[][]): number[] => field(7, fields.flat());
const floats = (...values: number[]): number[] => [...new Uint8Array(Float32Array.from(values).buffer)];
const weights = (type: number, ...values: number[]): number[] =>
  field(5, [2 * 8, type, ...field(9, floats(...values))]);

function check(...bytes: number[][]): void {
  checkNetwork(Uint8Array.from(bytes.flat()), "model.onnx");
}

test("a network of known operators and finite weights passes", () => {
  check(graph(node("Conv"), node("Relu", "ai.onnx"), weights(1, 0, 1, -2)));
});

test("the end of a range and a mask may be infinite", () => {
  check(graph(node("Clip"), weights(1, Infinity)));
  check(graph(node("Where"), weights(1, 0, -Infinity, 0)));
  check(graph(node("Gather"), weights(7, NaN, NaN)));
});

test.each<[string, number[][], RegExp]>([
  ["nothing", [], /not an ONNX file/],
  ["text", [text("hello, world")], /not an ONNX file/],
  ["no nodes", [graph(weights(1, 0))], /not an ONNX file/],
  ["a loop", [graph(node("Loop"))], /operator 'Loop'/],
  ["an operator of nobody", [graph(node("Conv", "evil"))], /'Conv' of 'evil'/],
  ["a loop in a branch", [graph(node("If", "", field(5, field(6, node("Loop")))))], /operator 'Loop'/],
  ["another file", [graph(node("Conv"), field(5, field(13, text("x"))))], /other files/],
  ["weights elsewhere", [graph(node("Conv"), field(5, [14 * 8, 1]))], /other files/],
  ["a function", [graph(node("Conv")), [0xca, 0x01, 0]], /a function/],
  ["NaN", [graph(node("Conv"), weights(1, 0, NaN))], /not numbers/],
  ["infinite weights", [graph(node("Conv"), weights(1, 3, -Infinity))], /not numbers/],
  ["a field cut short", [[7 * 8 + 2, 100, 1]], /not an ONNX file/],
])("%s is refused", (_, bytes, message) => {
  expect(() => {
    check(...bytes);
  }).toThrow(message);
});

test("messages nested without end are refused", () => {
  let deep = node("Conv");
  for (let level = 0; level < 40; level++) deep = long(1, long(5, long(6, deep)));
  expect(() => {
    check(long(7, deep));
  }).toThrow(/not an ONNX file/);
});

function long(number: number, body: number[]): number[] {
  return [number * 8 + 2, (body.length & 127) | 128, (body.length >> 7) | 128, body.length >> 14, ...body];
}
