"""How files as large as a network travel: packed, as few servers of files do that by themselves."""

import gzip
import json
import zlib
from typing import Any

import numpy as np

from spotter.bundle.format import ONNX, REFERENCE, hash_of

PACKED = ".gz"
# Files of four-byte numbers. Sorted by their place in a number, the bytes that are 0 lie together, and cost nothing.
OF_NUMBERS = frozenset({ONNX, REFERENCE})
WIDTH = 4
# Embeddings are whole multiples of 1/8192 (`spotter/train/thinning.py`), and these are numbers of two bytes.
STEPS = 8192
# zlib's name for gzip's own header.
_GZIP = 31


def pack(content: bytes, name: str) -> tuple[bytes, dict[str, Any]]:
    """Pack a file of a model; the same content gives the same bytes.

    Returns:
        The packed file, and what `site.json` says of it: `by_place` or `steps`, or neither; and what is packed.
    """
    if name == REFERENCE and (sorted_ := sort_steps(content)):
        return _pack_numbers(sorted_), {"steps": STEPS, **describe_unpacked(sorted_)}
    if name in OF_NUMBERS:
        sorted_ = sort_by_place(content)
        return _pack_numbers(sorted_), {"by_place": True, **describe_unpacked(sorted_)}
    return gzip.compress(content, 9, mtime=0), describe_unpacked(content)


def describe_unpacked(content: bytes) -> dict[str, Any]:
    """What `site.json` says of what is in a packed file."""
    return {"unpacked": len(content), "unpacked_sha256": hash_of(content)}


def unpack(packed: bytes, told: dict[str, Any]) -> bytes:
    """What `pack` packed, and told.

    Raises:
        OSError, EOFError, ValueError, zlib.error: it is damaged.
    """
    content = gzip.decompress(packed)
    if told.get("steps"):
        return merge_steps(content, told["steps"])
    return merge_places(content) if told.get("by_place") else content


def sort_by_place(content: bytes) -> bytes:
    """The bytes 0, 4, 8 ..., then 1, 5, 9 ..., 2, 6, 10 ..., and 3, 7, 11 ..."""
    return b"".join(content[place::WIDTH] for place in range(WIDTH))


def merge_places(content: bytes) -> bytes:
    """What `sort_by_place` sorted."""
    merged, start = bytearray(len(content)), 0
    for place in range(WIDTH):
        count = len(range(place, len(content), WIDTH))
        merged[place::WIDTH] = content[start : start + count]
        start += count
    return bytes(merged)


def sort_steps(content: bytes) -> bytes | None:
    """A safetensors file with one matrix of whole multiples of 1/`STEPS`: its header as it is, then these whole
    numbers, column by column, first their low bytes and then their high ones. None where it holds anything else."""
    try:
        start, shape = _matrix(content)
        values = np.frombuffer(content, "<f4", offset=start).reshape(shape)
    except (ValueError, LookupError, TypeError):
        return None
    limit = np.iinfo(np.int16)
    # Written so that NaN fails too.
    if not values.size or not (limit.min <= values.min() * STEPS and values.max() * STEPS <= limit.max):
        return None
    whole = (values * STEPS).astype("<i2")
    columns = whole.T.tobytes()
    found = content[:start] + columns[0::2] + columns[1::2]
    # Not every number is a multiple, and a zero may have a sign.
    return found if merge_steps(found, STEPS) == content else None


def merge_steps(content: bytes, steps: int) -> bytes:
    """What `sort_steps` sorted.

    Raises:
        ValueError: it is nothing of that kind.
    """
    start, (rows, columns) = _matrix(content)
    count = rows * columns
    bytes_ = np.frombuffer(content, np.uint8, offset=start).reshape(2, count)
    whole = (bytes_[0] | bytes_[1].astype(np.uint16) << 8).astype("<u2").view("<i2").reshape(columns, rows)
    return content[:start] + (whole.T / np.float32(steps)).astype("<f4").tobytes()


def _matrix(content: bytes) -> tuple[int, tuple[int, int]]:
    """Where the numbers of a safetensors file begin, and the shape of its only tensor."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = dict(json.loads(content[8:start]))
    header.pop("__metadata__", None)
    (tensor,) = header.values()
    rows, columns = tensor["shape"]
    if tensor["dtype"] != "F32":
        raise ValueError("no floats of four bytes")
    return start, (rows, columns)


def _pack_numbers(content: bytes) -> bytes:
    # Such bytes hardly repeat each other; this strategy does not spend bits on what only seems to.
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP, strategy=zlib.Z_FILTERED)
    return packer.compress(content) + packer.flush()
