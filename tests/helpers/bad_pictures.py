"""Files that are no picture, or no longer one, in as many ways as people have them; seeded, and small."""

import gzip
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.helpers.drawing import draw
from tests.helpers.picture_files import SIGNATURE, chunk, encode, odd_files, odd_tiff, png_header

# A name as an old zip leaves it behind: no UTF-8.
LATIN = os.fsdecode(b"caf\xe9")


def bad_contents(seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of files from which there is nothing to learn."""
    rng = random.Random(seed)
    jpeg, png = encode(draw("disc", seed + 500), "JPEG"), encode(draw("cross", seed + 500), "PNG")
    yield "empty.jpg", b""
    yield "cut.jpg", jpeg[: len(jpeg) // 3]
    yield "cut.png", png[:-400]
    yield "one byte.png", png[:1]
    yield "header alone.jpg", jpeg[:20]
    yield "words.jpg", b"hello"
    yield "page.jpg", b"<!doctype html><title>404</title>"
    yield "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "packed.jpg", gzip.compress(jpeg)
    yield "tiff.jpg", odd_tiff(rng).content
    yield "phone.heic", struct.pack(">I4s4s", 24, b"ftyp", b"heic") + bytes(200)
    yield "dot.png", encode(Image.new("RGB", (1, 1)), "PNG")
    yield "wide.png", SIGNATURE + chunk(b"IHDR", png_header(60_000, 60_000, 8, 2)) + chunk(b"IDAT", b"x" * 30)
    yield "wrong sum.png", png[:60] + bytes([png[60] ^ 1]) + png[61:]
    yield f"{LATIN}.jpg", jpeg[: len(jpeg) // 2]
    yield "two\nlines.png", b""
    yield "=cmd|'x'!A1.png", b"x"
    for number, made in enumerate(odd_files(6, seed)):
        yield f"begun {number}.{made.kind.lower()}", made.content[:30]


def spoil(folder: Path, seed: int = 0) -> list[Path]:
    """Write all of them into a folder, with what is no file at all: a folder and links that look like pictures."""
    paths = []
    for name, content in bad_contents(seed):
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    (folder / "folder.jpg").mkdir()
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "round.jpg").symlink_to(folder / "round.jpg")
    return paths
