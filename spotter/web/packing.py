"""How files as large as a network travel: packed, as few servers of files do that by themselves."""

import gzip

from spotter.bundle.format import ONNX, REFERENCE

PACKED = ".gz"
# Files of four-byte numbers. Sorted by their place in a number, the bytes that are 0 lie together, and cost nothing.
OF_NUMBERS = frozenset({ONNX, REFERENCE})
WIDTH = 4


def pack(content: bytes, by_place: bool) -> bytes:
    """Pack a file; the same content gives the same bytes. `by_place`: see `sort_by_place`."""
    return gzip.compress(sort_by_place(content) if by_place else content, 9, mtime=0)


def unpack(packed: bytes, by_place: bool) -> bytes:
    """What `pack` packed.

    Raises:
        OSError, EOFError, zlib.error: it is damaged.
    """
    content = gzip.decompress(packed)
    return merge_places(content) if by_place else content


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
