"""Looks into an ONNX file before it is run: nothing outside the file, no operators that a classifier has no use for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from spotter.errors import BrokenModel

DOMAINS = {"", "ai.onnx", "com.microsoft"}
# They run for as long as the file likes.
REFUSED = {"Loop", "Scan", "SequenceMap"}

# Field number -> kind of message, from onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): what leads
# to nodes and tensors. Reading these few fields needs less than the onnx package, which serving does without.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_OPERATOR, _DOMAIN = 4, 7
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DEPTH = 32


@dataclass
class _Found:
    operators: set[tuple[str, str]] = field(default_factory=set)
    outside: bool = False


def check_network(onnx: bytes) -> None:
    """Refuse a network that would read other files or run without end.

    Raises:
        BrokenModel: it would, or the bytes are no ONNX file.
    """
    found = _Found()
    try:
        _walk(memoryview(onnx), "model", found, 0)
    except (ValueError, IndexError) as error:
        raise BrokenModel("The model's model.onnx is no ONNX file.") from error
    if not found.operators:
        raise BrokenModel("The model's model.onnx is no ONNX file.")
    if found.outside:
        raise BrokenModel("The model's model.onnx wants to read other files of this machine; it is not one of ours.")
    odd = {name for domain, name in found.operators if domain not in DOMAINS or name in REFUSED}
    if odd:
        raise BrokenModel(f"The model's model.onnx holds the operator {min(odd)!r}, which no classifier of ours needs.")


def _walk(message: memoryview, kind: str, found: _Found, depth: int) -> None:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    operator = domain = ""
    for number, value in _fields(message):
        if kind == "tensor":
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
