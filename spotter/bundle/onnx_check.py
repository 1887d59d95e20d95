"""Checks an ONNX file before it is run: nothing outside the file, and no operator that a classifier has no use for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from spotter.errors import BrokenModel

DOMAINS = {"", "ai.onnx"}
# What computes with numbers, of any length that the shapes say. Not: loops, which run for as long as the file likes;
# chance, text, sequences and coded pictures.
_NAMES = """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
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
Xor
"""
OPERATORS = frozenset(_NAMES.split())
# Of all messages together; a large network has some 100,000.
MOST_FIELDS = 1_000_000

# Field number -> kind of message, from onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): what leads
# to nodes and tensors. Reading these few fields needs less than the onnx package, which serving does without.
_INSIDE = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {},
}
# What our networks do without: training, functions, and tensors that unfold to any size.
_UNWANTED = {
    "model": {20: "a training step", 25: "a function"},
    "graph": {15: "a sparse tensor"},
    "attribute": {22: "a sparse tensor", 23: "a sparse tensor"},
}
_OPERATOR, _DOMAIN = 4, 7
_DATA_TYPE, _FLOATS, _RAW_DATA, _DOUBLES = 2, 4, 9, 10
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
# The number of a type in onnx.proto -> how its raw data is read.
_RAW_TYPES: dict[int | memoryview, str] = {1: "<f4", 10: "<f2", 11: "<f8"}
_DEPTH = 32


@dataclass
class _Found:
    operators: set[tuple[str, str]] = field(default_factory=set)
    unwanted: set[str] = field(default_factory=set)
    outside: bool = False
    not_numbers: bool = False
    fields: int = 0


def check_network(onnx: bytes, file: str = "model.onnx") -> None:
    """Refuse a network that would read other files, run without end, or hold what is no number.

    Args:
        file: what it is called, in messages.

    Raises:
        BrokenModel: it would, or the bytes are no ONNX file.
    """
    found = _Found()
    try:
        _walk(memoryview(onnx), "model", found, 0)
    except (ValueError, IndexError) as error:
        raise BrokenModel(f"The model's {file} is not an ONNX file.") from error
    if not found.operators:
        raise BrokenModel(f"The model's {file} is not an ONNX file.")
    if found.outside:
        raise BrokenModel(f"The model's {file} tries to read other files of this machine; Spotter did not write it.")
    odd = {repr(name[:60]) for domain, name in found.operators if domain in DOMAINS and name not in OPERATORS}
    odd |= {f"{name[:60]!r} of {domain[:60]!r}" for domain, name in found.operators if domain not in DOMAINS}
    if odd:
        raise BrokenModel(f"The model's {file} holds the operator {min(odd)}, which no classifier of ours needs.")
    if found.unwanted:
        raise BrokenModel(f"The model's {file} holds {min(found.unwanted)}, which no classifier of ours needs.")
    if found.not_numbers:
        raise BrokenModel(f"The model's {file} holds weights that are not numbers.")


def _walk(message: memoryview, kind: str, found: _Found, depth: int) -> None:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    operator = domain = ""
    for number, value in _fields(message):
        found.fields += 1
        if found.fields > MOST_FIELDS:
            raise ValueError("too many fields")
        if number in _UNWANTED.get(kind, {}):
            found.unwanted.add(_UNWANTED[kind][number])
        elif kind == "tensor":
            found.outside |= number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
        elif isinstance(value, memoryview):
            if number in _INSIDE[kind]:
                _walk(value, _INSIDE[kind][number], found, depth + 1)
            elif kind == "node" and number == _OPERATOR:
                operator = bytes(value).decode()
            elif kind == "node" and number == _DOMAIN:
                domain = bytes(value).decode()
    if kind == "node":
        found.operators.add((domain, operator))
    elif kind == "tensor":
        found.not_numbers |= not all(map(_are_numbers, _floats(message)))


def _floats(tensor: memoryview) -> Iterator[np.ndarray]:
    """The floating point values of a tensor, in parts."""
    # The last one counts.
    raw_type = dict(_fields(tensor)).get(_DATA_TYPE, 0)
    types = {_RAW_DATA: _RAW_TYPES.get(raw_type), _FLOATS: "<f4", _DOUBLES: "<f8"}
    for number, value in _fields(tensor):
        type_ = types.get(number)
        # What does not divide, ONNX Runtime refuses.
        if type_ and isinstance(value, memoryview) and len(value) % np.dtype(type_).itemsize == 0:
            yield np.frombuffer(value, type_)


def _are_numbers(values: np.ndarray) -> bool:
    """Whether all are finite, but for one alone, such as the end of a range, and for masks of 0 and minus infinity."""
    if np.isfinite(values).all():
        return True
    return not np.isnan(values).any() and (len(values) == 1 or bool(np.isin(values, (0, -np.inf)).all()))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = {1: 8, 5: 4}[wire]
        else:
            raise ValueError("no such wire type")
        if at + size > len(message):
            raise ValueError("cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("number too long")
