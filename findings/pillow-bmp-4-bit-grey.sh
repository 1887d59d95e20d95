#!/usr/bin/env bash
# Pillow 12.3.0 takes a 4-bit BMP for an 8-bit one when its palette is the greys 0, 1, 2 ...: other pixels, no error.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0
"$place/venv/bin/python" - <<'PYTHON'
import io
import struct

import PIL
from PIL import Image


def bitmap(palette: list[int]) -> bytes:
    """A BMP of 4 x 1 pixels with the numbers 0, 1, 2 and 15, four bits each, and a palette of greys."""
    colors = b"".join(bytes([grey, grey, grey, 0]) for grey in palette)
    start = 14 + 40 + len(colors)
    pixels = bytes([0x01, 0x2F, 0, 0])
    header = struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, 4, 0, len(pixels), 2835, 2835, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colors + pixels


print("Pillow", PIL.__version__)
found = {}
for name, palette in {"greys 0, 17, 34 ... 255": range(0, 256, 17), "greys 0, 1, 2 ... 15": range(16)}.items():
    picture = Image.open(io.BytesIO(bitmap(list(palette))))
    found[name] = (picture.mode, list(picture.convert("L").tobytes()))
    expected = [palette[number] for number in (0, 1, 2, 15)]
    print(f"{name}: mode {picture.mode}, pixels {found[name][1]}; the file says {expected}")
assert found["greys 0, 17, 34 ... 255"] == ("P", [0, 17, 34, 255]), found
assert found["greys 0, 1, 2 ... 15"] == ("L", [1, 47, 0, 0]), found
print("The packed bytes 0x01 and 0x2F became the pixels 1 and 47, and the rest of the row is padding.")
PYTHON
