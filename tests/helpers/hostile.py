"""Hostile and odd picture files."""

import functools
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tests.helpers.drawing import draw, encode

PICTURE = draw("disc", 77)
MB = 1_000_000


@functools.cache
def jpeg(kind: str = "disc", seed: int = 77) -> bytes:
    return encode(draw(kind, seed), quality=92)


@contextmanager
def memory_below(bytes_more: int) -> Iterator[None]:
    """Fail when the process's peak memory rises by more than `bytes_more` in the block."""

    def kilobytes(name: str) -> int:
        return int(re.search(rf"^{name}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1])

    # Sets the peak back to what is in use now.
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    yield
    assert (kilobytes("VmHWM") - before) * 1024 < bytes_more


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@functools.cache
def pixel_bomb(side: int = 30_000) -> bytes:
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    rows = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def gif(screen: tuple[int, int], *frames: tuple[int, int]) -> bytes:
    content = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\xff\xff\xff\0\0\0"
    for size in frames:
        content += b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x4c\x01\0"
    return content + b";"


def obscure(format_: str) -> bytes:
    if format_ in {"EPS", "BLP", "XBM"}:
        return encode(PICTURE.convert({"EPS": "RGB", "BLP": "P", "XBM": "1"}[format_]), format_)
    if format_ == "PSD":
        return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3) + bytes(12) + bytes(2 + 192)
    if format_ == "FITS":
        cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2"]
        cards += ["NAXIS1  =                    8", "NAXIS2  =                    8", "END"]
        return "".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(2880)
    if format_ == "WMF":
        placeable = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhHIH", 0, 0, 64, 64, 72, 0, 0)
        return placeable + b"\x01\0\t\0" + bytes(60)
    return b"\x89HDF\r\n\x1a\n" + bytes(200)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("canary.txt", "canary canary")
    return buffer.getvalue()


def with_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "canary" + "x" * 5 * MB)
    return encode(PICTURE, "PNG", pnginfo=text)


def png_damaged_at(kind: bytes, offset: int) -> bytes:
    """A PNG with a flipped byte, counted from a chunk's start; negative: from the end of its checksum."""
    content = bytearray(encode(PICTURE, "PNG"))
    start = content.index(kind) - 4
    length = int.from_bytes(content[start : start + 4])
    content[start + (offset if offset >= 0 else 12 + length + offset)] ^= 0xFF
    return bytes(content)


def with_alpha(hidden: tuple[int, int, int]) -> Image.Image:
    """A picture whose upper half is transparent, over a colour that must not be seen."""
    picture = PICTURE.convert("RGBA")
    picture.paste((*hidden, 0), (0, 0, picture.width, picture.height // 2))
    return picture


def on_white() -> Image.Image:
    picture = PICTURE.copy()
    picture.paste((255, 255, 255), (0, 0, picture.width, picture.height // 2))
    return picture


def moving(format_: str, **options: object) -> bytes:
    return encode(PICTURE, format_, save_all=True, append_images=[draw("cross", 2), draw("cross", 3)], **options)


def deep_grey() -> Image.Image:
    return Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257)


def clear_palette() -> bytes:
    layers = np.where(np.arange(PICTURE.height)[:, None] < PICTURE.height // 2, 0, 1).astype(np.uint8)
    picture = Image.fromarray(np.repeat(layers, PICTURE.width, axis=1), "L").convert("P")
    picture.putpalette([10, 20, 30, 200, 40, 40])
    return encode(picture, "PNG", transparency=0)


def half_red() -> Image.Image:
    picture = Image.new("RGB", PICTURE.size, (200, 40, 40))
    picture.paste((255, 255, 255), (0, 0, picture.width, picture.height // 2))
    return picture


MODES: dict[str, tuple[Callable[[], bytes], Callable[[], Image.Image], float]] = {
    "CMYK with Adobe's marker": (lambda: encode(PICTURE.convert("CMYK"), quality=95), lambda: PICTURE, 5),
    "I;16": (lambda: encode(deep_grey(), "PNG"), lambda: PICTURE.convert("L").convert("RGB"), 4),
    "LA": (lambda: encode(with_alpha((0, 0, 0)).convert("LA"), "PNG"), lambda: on_white().convert("L"), 4),
    "RGBA over white": (lambda: encode(with_alpha((255, 255, 255)), "PNG"), on_white, 4),
    "RGBA over black": (lambda: encode(with_alpha((0, 0, 0)), "PNG"), on_white, 4),
    "P with transparency": (clear_palette, half_red, 4),
    "1 bit": (lambda: encode(PICTURE.convert("1"), "PNG"), lambda: PICTURE.convert("1"), 8),
    "animated GIF": (lambda: moving("GIF"), lambda: PICTURE, 12),
    "animated WebP": (lambda: moving("WEBP", lossless=True), lambda: PICTURE, 4),
    "APNG": (lambda: moving("PNG"), lambda: PICTURE, 4),
}


def tell_tale() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "canary camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0), 28: b"canary place"})
    exif.get_ifd(0x8769).update({0x927C: b"canary maker note", 0x9286: b"canary comment"})
    head, tiff = exif.tobytes()[:6], bytearray(exif.tobytes()[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack(f"{order}I", tiff[4:8])[0]
    following = first + 2 + 12 * struct.unpack(f"{order}H", tiff[first : first + 2])[0]
    thumbnail = encode(PICTURE.resize((32, 24)), comment=b"canary thumbnail")
    tiff[following : following + 4] = struct.pack(f"{order}I", len(tiff))
    entries = ((0x0201, len(tiff) + 30), (0x0202, len(thumbnail)))
    tiff += struct.pack(f"{order}H", 2) + b"".join(struct.pack(f"{order}HHII", tag, 4, 1, at) for tag, at in entries)
    tiff += bytes(4) + thumbnail
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">canary xmp 52.52 N</x:xmpmeta>'
    return encode(PICTURE, exif=head + bytes(tiff), xmp=xmp, comment=b"canary in the comment")
