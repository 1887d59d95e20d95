/**
 * Checks an ONNX file before it is run, as `spotter/bundle/onnx_check.py`: nothing outside the file, no operator that a
 * classifier has no use for, such as loops, and no weights that are not numbers.
 */

import { BrokenModel } from "./errors.js";

const OPERATORS = new Set(
  `Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat
Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum DeformConv DepthToSpace
DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU
Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool
MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv
QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round Scatter
ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
Split Sqrt Squeeze Sub Sum SwiGLU Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where
Xor`.split(/\s+/),
);
const DOMAINS = ["", "ai.onnx"];
/** Of all messages together; a large network has some 100,000. */
const MOST_FIELDS = 1_000_000;
const DEEPEST = 32;

type Kind = "model" | "graph" | "node" | "attribute" | "tensor";

/** Field number -> kind of message, from onnx.proto: what leads to nodes and tensors. */
const INSIDE: Record<Kind, Record<number, Kind>> = {
  model: { 7: "graph" },
  graph: { 1: "node", 5: "tensor" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph" },
  tensor: {},
};
/** What our networks do without: training, functions, and tensors that unfold to any size. */
const UNWANTED: Partial<Record<Kind, Record<number, string>>> = {
  model: { 20: "a training step", 25: "a function" },
  graph: { 15: "a sparse tensor" },
  attribute: { 22: "a sparse tensor", 23: "a sparse tensor" },
};
const OPERATOR = 4;
const DOMAIN = 7;
const [DATA_TYPE, FLOATS, RAW_DATA, DOUBLES, EXTERNAL_DATA, DATA_LOCATION] = [2, 4, 9, 10, 13, 14];
/** The number of a type in onnx.proto -> bytes of a value in its raw data. */
const RAW_WIDTHS: Record<number, number> = { 1: 4, 10: 2, 11: 8 };

interface Found {
  operators: [domain: string, name: string][];
  unwanted: string[];
  outside: boolean;
  notNumbers: boolean;
  fields: number;
}

/**
 * Refuse a network that would read other files, run without end, or hold what is no number.
 *
 * @throws BrokenModel: it would, or the bytes are no ONNX file.
 */
export function checkNetwork(onnx: Uint8Array, file: string): void {
  const found: Found = { operators: [], unwanted: [], outside: false, notNumbers: false, fields: 0 };
  try {
    walk(onnx, "model", found, 0);
  } catch (error) {
    throw new BrokenModel(`The model's ${file} is not an ONNX file.`, { cause: error });
  }
  if (!found.operators.length) throw new BrokenModel(`The model's ${file} is not an ONNX file.`);
  if (found.outside) throw new BrokenModel(`The model's ${file} tries to read other files; Spotter did not write it.`);
  const odd = found.operators.find(([domain, name]) => !DOMAINS.includes(domain) || !OPERATORS.has(name));
  if (odd) {
    const [domain, name] = odd.map((each) => each.slice(0, 60));
    const what = domain ? `'${name ?? ""}' of '${domain}'` : `'${name ?? ""}'`;
    throw new BrokenModel(`The model's ${file} holds the operator ${what}, which no classifier of ours needs.`);
  }
  const unwanted = found.unwanted[0];
  if (unwanted) throw new BrokenModel(`The model's ${file} holds ${unwanted}, which no classifier of ours needs.`);
  if (found.notNumbers) throw new BrokenModel(`The model's ${file} holds weights that are not numbers.`);
}

function walk(message: Uint8Array, kind: Kind, found: Found, depth: number): void {
  if (depth > DEEPEST) throw new RangeError("nested too deeply");
  const named: Record<number, string> = {};
  for (const [field, value] of fields(message)) {
    found.fields++;
    if (found.fields > MOST_FIELDS) throw new RangeError("too many fields");
    const unwanted = UNWANTED[kind]?.[field];
    const inner = INSIDE[kind][field];
    if (unwanted) found.unwanted.push(unwanted);
    else if (kind === "tensor") found.outside ||= field === EXTERNAL_DATA || (field === DATA_LOCATION && value !== 0);
    else if (typeof value === "number") continue;
    else if (inner) walk(value, inner, found, depth + 1);
    else if (kind === "node" && (field === OPERATOR || field === DOMAIN)) {
      named[field] = new TextDecoder("utf-8", { fatal: true }).decode(value);
    }
  }
  if (kind === "node") found.operators.push([named[DOMAIN] ?? "", named[OPERATOR] ?? ""]);
  if (kind === "tensor") found.notNumbers ||= !areNumbers(message);
}

/** Whether all floating point values are finite, but for one alone and for masks of 0 and minus infinity. */
function areNumbers(tensor: Uint8Array): boolean {
  // The last one counts.
  const type = [...fields(tensor)].filter(([field]) => field === DATA_TYPE).at(-1)?.[1] ?? 0;
  const rawWidth = typeof type === "number" ? RAW_WIDTHS[type] : undefined;
  const widths: Record<number, number | undefined> = { [RAW_DATA]: rawWidth, [FLOATS]: 4, [DOUBLES]: 8 };
  for (const [field, value] of fields(tensor)) {
    const width = widths[field];
    // What does not divide, ONNX Runtime refuses.
    if (width && typeof value !== "number" && value.length % width === 0 && !valuesAreNumbers(value, width)) {
      return false;
    }
  }
  return true;
}

function valuesAreNumbers(bytes: Uint8Array, width: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Most are, and telling the kind of each would take ten times as long.
  if (width === 4 && areFinite(view)) return true;
  const count = bytes.length / width;
  let odd = 0;
  let finite = 0;
  for (let at = 0; at < count; at++) {
    const kind = width === 2 ? kindOfHalf(view.getUint16(at * 2, true)) : kindOf(view, at * width, width);
    if (kind === "nan") return false;
    if (kind === "infinity") odd = 2;
    if (kind === "minus infinity") odd = Math.max(odd, 1);
    if (kind === "other") finite++;
  }
  return odd === 0 || count === 1 || (odd === 1 && finite === 0);
}

function areFinite(view: DataView): boolean {
  for (let at = 0; at < view.byteLength; at += 4) {
    if ((view.getUint32(at, true) & 0x7f800000) === 0x7f800000) return false;
  }
  return true;
}

type ValueKind = "nan" | "infinity" | "minus infinity" | "zero" | "other";

function kindOf(view: DataView, at: number, width: number): ValueKind {
  const value = width === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true);
  if (Number.isNaN(value)) return "nan";
  if (value === Infinity) return "infinity";
  return value === -Infinity ? "minus infinity" : value === 0 ? "zero" : "other";
}

function kindOfHalf(bits: number): ValueKind {
  if ((bits & 0x7c00) === 0x7c00) return bits & 0x3ff ? "nan" : bits & 0x8000 ? "minus infinity" : "infinity";
  return bits & 0x7fff ? "other" : "zero";
}

/** The fields of a message in protobuf's wire format. */
export function* fields(message: Uint8Array): Generator<[number, number | Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at];
      if (byte === undefined) throw new RangeError("cut short");
      at++;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError("number too long");
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    const field = Math.floor(tag / 8);
    if (wire === 0) {
      yield [field, varint()];
      continue;
    }
    if (wire !== 1 && wire !== 2 && wire !== 5) throw new RangeError("no such wire type");
    const size = wire === 2 ? varint() : wire === 1 ? 8 : 4;
    if (at + size > message.length) throw new RangeError("cut short");
    yield [field, message.subarray(at, at + size)];
    at += size;
  }
}
