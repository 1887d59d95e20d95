#!/usr/bin/env bash
# Pillow 12.3.0 compares the 16-bit transparent colour of an RGB PNG with pixels it has cut to 8 bits: the wrong ones vanish.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

import PIL
from PIL import Image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(key: tuple[int, int, int], *pixels: tuple[int, int, int]) -> bytes:
    """A PNG of one row of 16-bit RGB in which the colour `key` is transparent (tRNS)."""
    header = struct.pack(">IIBBBBB", len(pixels), 1, 16, 2, 0, 0, 0)
    row = b"\0" + b"".join(struct.pack(">3H", *pixel) for pixel in pixels)
    chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">3H", *key)), (b"IDAT", zlib.compress(row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def alphas(key: tuple[int, int, int], *pixels: tuple[int, int, int]) -> list[int]:
    picture = Image.open(io.BytesIO(png(key, *pixels))).convert("RGBA")
    return list(picture.getchannel("A").tobytes())


print("Pillow", PIL.__version__)
bright, dark, same_high_byte = (0x1200, 0x3400, 0x5600), (0x12, 0x34, 0x56), (0x12FF, 0x34FF, 0x56FF)
first = alphas(bright, bright, same_high_byte)
print(f"key {bright}: the pixel of that colour has alpha {first[0]}, another {first[1]}; the file says 0, 255")
second = alphas(dark, dark, bright)
print(f"key {dark}: the pixel of that colour has alpha {second[0]}, the pixel {bright} {second[1]}; the file says 0, 255")
assert first == [255, 255], first
assert second == [255, 0], second
PYTHON
