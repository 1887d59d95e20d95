/**
 * Changes ONNX files: finds the head of a network that Spotter exported, adds an output, puts another head in its
 * place. An ONNX file is a protobuf message; field numbers are those of onnx.proto.
 */

import { fields } from "../onnx.js";
import { CannotTeach } from "./errors.js";

const MODEL = { graph: 7, opset: 8, irVersion: 1 };
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 };
const NODE = { input: 1, output: 2, operator: 4, attribute: 5 };
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 };
const VALUE = { name: 1, type: 2 };
const DIM = { value: 1, param: 2 };
const FLOAT = 1;

type Value = number | Uint8Array;
type Field = [number: number, value: Value];

/** Where the head lies: the names of its tensors. */
export interface HeadPlace {
  /** Pooled features: what it reads. */
  pooled: string;
  weight: string;
  bias: string;
  /** Of the map of evidence, where there is one. */
  evidence: string | undefined;
  width: number;
}

/** A head to be put in: `weight` (classes * width), `bias` (classes). */
export interface NewHead {
  weight: Float32Array;
  bias: Float32Array;
}

/** @throws CannotTeach: the network does not end in pooled features, one linear layer and a softmax. */
export function findHead(onnx: Uint8Array): HeadPlace {
  const graph = graphOf(onnx);
  const nodes = all(graph, GRAPH.node).map(readNode);
  const producer = (name: string | undefined): Node | undefined => nodes.find(({ outputs }) => outputs[0] === name);
  const softmax = producer("probabilities");
  const gemm = producer(softmax?.inputs[0]);
  const flatten = producer(gemm?.inputs[0]);
  const pool = producer(flatten?.inputs[0]);
  const [pooled, weight, bias] = gemm?.inputs ?? [];
  const ends = [softmax, gemm, flatten, pool].map((node) => node?.operator).join(" ");
  if (ends !== "Softmax Gemm Flatten GlobalAveragePool" || !pooled || !weight || !bias) throw cannot();
  const shape = dimsOf(graph, weight);
  const [classes, width] = shape ?? [];
  if (shape?.length !== 2 || !classes || !width || dimsOf(graph, bias)?.join() !== String(classes)) throw cannot();
  const map = producer("activation");
  const evidence = map?.inputs[1];
  if (map && (map.operator !== "Conv" || !evidence || dimsOf(graph, evidence)?.join() !== `${classes},${width},1,1`)) {
    throw cannot();
  }
  return { pooled, weight, bias, evidence, width };
}

/** The same network that gives another of its tensors too: protobuf joins the fields of both graphs. */
export function withOutput(onnx: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  return concat([onnx, write([[MODEL.graph, write([[GRAPH.output, write([[VALUE.name, text(name)]])]])]])]);
}

/** The same network with another head, which may have another number of classes. */
export function replaceHead(onnx: Uint8Array, place: HeadPlace, { weight, bias }: NewHead): Uint8Array<ArrayBuffer> {
  const classes = bias.length;
  const replaced = new Map<string, Uint8Array>([
    [place.weight, tensor(place.weight, [classes, place.width], weight)],
    [place.bias, tensor(place.bias, [classes], bias)],
    ...(place.evidence === undefined
      ? []
      : [[place.evidence, tensor(place.evidence, [classes, place.width, 1, 1], weight)] as const]),
  ]);
  const graph = graphOf(onnx).map(([field, value]): Field => {
    if (typeof value === "number") return [field, value];
    if (field === GRAPH.initializer) return [field, replaced.get(nameOf(value, TENSOR.name)) ?? value];
    const isSized = field === GRAPH.output && ["probabilities", "activation"].includes(nameOf(value, VALUE.name));
    return [field, isSized ? withClasses(value, classes) : value];
  });
  const others = [...fields(onnx)].filter(([field]) => field !== MODEL.graph);
  return write([...others, [MODEL.graph, write(graph)]]);
}

/** A network that multiplies each row of `one` (count, width) with each of `other` (more, width): `products`. */
export function productsNetwork(): Uint8Array<ArrayBuffer> {
  const attribute = write([
    [1, text("transB")],
    [3, 1],
    [20, 2],
  ]);
  const node = write([
    [NODE.input, text("one")],
    [NODE.input, text("other")],
    [NODE.output, text("products")],
    [NODE.operator, text("Gemm")],
    [NODE.attribute, attribute],
  ]);
  const value = (name: string, dims: string[]): Uint8Array => {
    const shape = write(dims.map((dim): Field => [1, write([[DIM.param, text(dim)]])]));
    return write([
      [VALUE.name, text(name)],
      [
        VALUE.type,
        write([
          [
            1,
            write([
              [1, FLOAT],
              [2, shape],
            ]),
          ],
        ]),
      ],
    ]);
  };
  const graph = write([
    [GRAPH.node, node],
    [GRAPH.name, text("products")],
    [GRAPH.input, value("one", ["count", "width"])],
    [GRAPH.input, value("other", ["more", "width"])],
    [GRAPH.output, value("products", ["count", "more"])],
  ]);
  return write([
    [MODEL.irVersion, 8],
    [MODEL.graph, graph],
    [MODEL.opset, write([[2, 17]])],
  ]);
}

interface Node {
  operator: string;
  inputs: string[];
  outputs: string[];
}

function readNode(message: Uint8Array): Node {
  const found = [...fields(message)];
  const texts = (field: number): string[] => all(found, field).map(decode);
  return { operator: texts(NODE.operator)[0] ?? "", inputs: texts(NODE.input), outputs: texts(NODE.output) };
}

function graphOf(onnx: Uint8Array): Field[] {
  return all([...fields(onnx)], MODEL.graph).flatMap((graph) => [...fields(graph)]);
}

/** The messages of a field. */
function all(message: Field[], field: number): Uint8Array[] {
  return message.flatMap(([number, value]) => (number === field && typeof value !== "number" ? [value] : []));
}

function dimsOf(graph: Field[], name: string): number[] | undefined {
  const found = all(graph, GRAPH.initializer).find((each) => nameOf(each, TENSOR.name) === name);
  if (!found) return undefined;
  return [...fields(found)].flatMap(([field, value]) =>
    field === TENSOR.dims && typeof value === "number" ? [value] : [],
  );
}

function nameOf(message: Uint8Array, field: number): string {
  const [name] = all([...fields(message)], field);
  return name ? decode(name) : "";
}

/** The description of an output with another number of classes, its second dimension. */
function withClasses(value: Uint8Array, classes: number): Uint8Array {
  const inside = (message: Uint8Array, path: number[]): Uint8Array => {
    const [field, ...rest] = path;
    return write(
      [...fields(message)].map(([number, part]): Field => {
        if (number !== field || typeof part === "number") return [number, part];
        return [number, rest.length ? inside(part, rest) : withSecond(part)];
      }),
    );
  };
  const withSecond = (shape: Uint8Array): Uint8Array =>
    write([...fields(shape)].map(([field, dim], at): Field => [field, at === 1 ? write([[DIM.value, classes]]) : dim]));
  return inside(value, [VALUE.type, 1, 2]);
}

function tensor(name: string, dims: number[], values: Float32Array): Uint8Array {
  const raw = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, at) => {
    raw.setFloat32(at * 4, value, true);
  });
  return write([
    ...dims.map((dim): Field => [TENSOR.dims, dim]),
    [TENSOR.type, FLOAT],
    [TENSOR.name, text(name)],
    [TENSOR.raw, new Uint8Array(raw.buffer)],
  ]);
}

/** A message in protobuf's wire format: numbers as varints, the rest with their lengths. */
function write(message: Field[]): Uint8Array<ArrayBuffer> {
  return concat(
    message.flatMap(([field, value]) =>
      typeof value === "number"
        ? [varint(field * 8), varint(value)]
        : [varint(field * 8 + 2), varint(value.length), value],
    ),
  );
}

function varint(value: number): Uint8Array {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Uint8Array.from([...bytes, rest]);
}

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function decode(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

function cannot(): CannotTeach {
  return new CannotTeach("body", "The network of this site cannot be taught: it does not end in one linear layer.");
}
