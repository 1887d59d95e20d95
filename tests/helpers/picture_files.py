"""Small picture files of every format and layout, written byte by byte, with any metadata: seeded, and fast to make."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
# Of Adam7: left, top, and the steps to the right and down.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
# Over a megabyte when it is unpacked.
LONG_TEXT = zlib.compress(b"\0" * 1_100_000, 1)
# How many bytes a value of each type of EXIF has.
EXIF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
EXIF_TAGS = (0x010F, 0x0110, 0x0132, 0x8298, 0x829A, 0x829D, 0x8769, 0x8825, 0x9003, 0x927C, 0xA005, 0x0201, 0x0100, 0)


@dataclass(frozen=True)
class Made:
    """A picture file; `clean` is the same picture without metadata, turned by nobody."""

    kind: str
    content: bytes
    clean: bytes
    orientation: int = 1


def noise(rng: random.Random, width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A few soft blotches."""
    size = 3 * 3 * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (3, 3), rng.randbytes(size)).resize((width, height), Image.Resampling.BICUBIC)


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


# EXIF, and other metadata


def exif(orientation: int, order: str = "<", further: Sequence[tuple[int, int, int, bytes]] = ()) -> bytes:
    """A TIFF block with the orientation and `further` entries: tag, type, count, and the four bytes of the value."""
    entries = [(0x0112, 3, 1, struct.pack(order + "HH", orientation, 0)), *further]
    packed = b"".join(struct.pack(order + "HHI", *each[:3]) + each[3] for each in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + packed + struct.pack(order + "I", 0)


def odd_exif(rng: random.Random, orientation: int) -> bytes:
    """EXIF that says `orientation` and much else that is odd: types, counts, offsets, rationals, links, cuts."""
    order = rng.choice("<>")
    further = []
    for _ in range(rng.randrange(5)):
        tag = rng.choice([*EXIF_TAGS, rng.randrange(0x0113, 65536)])
        kind = rng.choice([*EXIF_TYPES, 0, 14, 255, 65535])
        count = rng.choice([0, 1, 2, 3, 1000, 2**31, 2**32 - 1])
        value = rng.choice([struct.pack(order + "I", rng.choice([0, 4, 8, 26, 38, 60, 2**32 - 1])), rng.randbytes(4)])
        further.append((tag, kind, count, value))
    block = exif(orientation, order, further) + struct.pack(order + "ii", rng.choice([-1, 0, 1, 2**31 - 1]), 0)
    # Cut only behind the entry of the orientation.
    return (
        block[: rng.randrange(22, len(block) + 1)] if rng.random() < 0.3 else block + rng.randbytes(rng.randrange(20))
    )


def odd_profile(rng: random.Random) -> bytes:
    return rng.choice([b"", rng.randbytes(rng.randrange(1, 200)), b"\0\0\2\0" + rng.randbytes(140)])


def xmp(orientation: int) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


# JPEG


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def odd_jpeg(rng: random.Random) -> Made:
    mode = rng.choice(["RGB", "RGB", "L", "CMYK"])
    options = {"quality": rng.choice([30, 75, 95]), "progressive": rng.random() < 0.3, "subsampling": rng.randrange(3)}
    clean = encode(noise(rng, rng.randrange(4, 24), rng.randrange(4, 24), mode), "JPEG", **options)
    orientation = rng.randrange(1, 9)
    kinds: list[Callable[[], bytes]] = [
        lambda: segment(0xFE, rng.randbytes(rng.randrange(40))),
        lambda: segment(rng.randrange(0xE1, 0xEE), rng.randbytes(rng.randrange(40))),
        lambda: segment(0xE0, b"JFIF\0" + rng.randbytes(rng.randrange(4))),
        lambda: segment(0xE0, b"JFXX\0" + rng.randbytes(rng.randrange(9))),
        lambda: segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + rng.choice([xmp(3), rng.randbytes(30)])),
        lambda: segment(0xE2, b"ICC_PROFILE\0" + rng.randbytes(2) + odd_profile(rng)),
        lambda: segment(0xE2, b"ICC_PROFILE\0"),
        lambda: segment(0xE2, b"MPF\0" + rng.choice([odd_exif(rng, 1), rng.randbytes(20)])),
        lambda: segment(0xE2, b"FPXR\0" + rng.randbytes(9)),
        lambda: segment(0xED, b"Photoshop 3.0\0" + rng.choice([b"8BIM\3\xed\0", b"8BIM", rng.randbytes(9)])),
        lambda: segment(0xEE, b"Adobe" + rng.randbytes(rng.randrange(3))),
        lambda: segment(0xEF, rng.randbytes(9)),
        lambda: b"\xff" * rng.randrange(1, 4),
    ]
    extra = [rng.choice(kinds)() for _ in range(rng.randrange(6))]
    extra.insert(rng.randrange(len(extra) + 1), segment(0xE1, b"Exif\0\0" + odd_exif(rng, orientation)))
    return Made("JPEG", clean[:2] + b"".join(extra) + clean[2:], clean, orientation)


# PNG


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    found = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", found)


@dataclass(frozen=True)
class PngParts:
    """A PNG in parts, so that chunks can be put between them; `packed` is what is in the chunks of `pixels`."""

    header: bytes
    colors: bytes
    pixels: bytes
    packed: bytes

    @property
    def content(self) -> bytes:
        return SIGNATURE + self.header + self.colors + self.pixels + chunk(b"IEND", b"")


def png_header(width: int, height: int, depth: int, kind: int, interlaced: bool = False) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced))


def pack_rows(values: np.ndarray, depth: int) -> bytes:
    """Rows of a PNG with filter 0, from values of shape (height, width * channels)."""
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    elif depth == 8:
        rows = [row.astype(np.uint8).tobytes() for row in values]
    else:
        bits = (values[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]
    return zlib.compress(b"".join(b"\0" + row for row in rows), 1)


def pack_passes(values: np.ndarray, depth: int, channels: int) -> bytes:
    """The same in the seven passes of Adam7."""
    pixels, packed = values.reshape(len(values), -1, channels), b""
    for left, top, right, down in PASSES:
        part = pixels[top::down, left::right]
        if part.size:
            packed += zlib.decompress(pack_rows(part.reshape(len(part), -1), depth))
    return zlib.compress(packed, 1)


def png_parts(
    rng: random.Random, kind: int, depth: int, transparent: bool, interlaced: bool = False, dark: bool = False
) -> PngParts:
    """A PNG of any colour type and depth, with a transparent colour or a palette of alpha if asked; `dark`: all 0."""
    width, height = rng.randrange(2, 18), rng.randrange(2, 12)
    most = (1 << depth) - 1
    values = np.frombuffer(rng.randbytes(width * height * CHANNELS[kind] * 2), np.uint16).astype(np.int64) & most
    values = values.reshape(height, width * CHANNELS[kind]) * (not dark)
    colors = b""
    if kind == PALETTE:
        # At times fewer colours than the pixels name.
        count = most + 1 if rng.random() < 0.8 else rng.randrange(1, most + 2)
        colors = chunk(b"PLTE", rng.randbytes(count * 3))
        if transparent:
            # At times for more colours than there are, or than there can be: then browsers ignore it.
            colors += chunk(b"tRNS", rng.randbytes(rng.choice([rng.randrange(1, count + 1), count + 1, 256, 257])))
    elif transparent and kind in (GREY, RGB):
        key = values[rng.randrange(height), : CHANNELS[kind]]
        colors = chunk(b"tRNS", b"".join(struct.pack(">H", each) for each in key))
    packed = pack_passes(values, depth, CHANNELS[kind]) if interlaced else pack_rows(values, depth)
    cut = rng.randrange(len(packed))
    pixels = chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:])
    return PngParts(png_header(width, height, depth, kind, interlaced), colors, pixels, packed)


def any_png_parts(rng: random.Random) -> PngParts:
    kind = rng.choice(list(DEPTHS))
    return png_parts(rng, kind, rng.choice(DEPTHS[kind]), rng.random() < 0.5)


def side_chunk(rng: random.Random) -> bytes:
    """A chunk that makes no pixels, odd or damaged."""
    body = rng.choice([b"", b"a\0", rng.randbytes(rng.randrange(30))])
    name = rng.choice(
        [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"abCd", b"oFFs"]
    )
    return rng.choice(
        [
            lambda: chunk(name, body),
            lambda: chunk(name, body, rng.randrange(2**32)),
            lambda: chunk(b"zTXt", b"Comment\0\0" + LONG_TEXT),
            lambda: chunk(b"iTXt", b"Comment\0\1\0\0\0" + LONG_TEXT),
            lambda: chunk(b"iCCP", b"x\0" + bytes([rng.randrange(3)]) + odd_profile(rng)),
            lambda: chunk(b"eXIf", odd_exif(rng, 6), 7),
            lambda: chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 26\n" + exif(6).hex().encode()),
            lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)),
            lambda: chunk(b"sRGB", body),
        ]
    )()


def odd_png(rng: random.Random) -> Made:
    parts = any_png_parts(rng)
    before, between, after = (b"".join(side_chunk(rng) for _ in range(rng.randrange(3))) for _ in range(3))
    orientation = rng.randrange(1, 9)
    # Only before the pixels, and the first one that is whole.
    before += chunk(b"eXIf", odd_exif(rng, orientation))
    end = rng.choice([chunk(b"IEND", b""), b"", struct.pack(">I", 99) + b"tEXtcut", chunk(b"IEND", b"") + b"more"])
    content = SIGNATURE + parts.header + before + parts.colors + between + parts.pixels + after + end
    return Made("PNG", content, parts.content, orientation)


# Animated PNG


def frame_control(number: int, size: tuple[int, int], at: tuple[int, int] = (0, 0)) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *size, *at, 1, 10, 0, 0))


def packed(picture: Image.Image) -> bytes:
    values = np.asarray(picture)
    return pack_rows(values.reshape(len(values), -1), 8)


def animation(first: Image.Image | None, hidden: Image.Image, *later: tuple[Image.Image, tuple[int, int]]) -> bytes:
    """An animated PNG whose IDAT is the first frame, or, when `first` is None, a picture that nobody sees."""
    number = 0
    parts = [
        SIGNATURE,
        png_header(*hidden.size, 8, 2),
        chunk(b"acTL", struct.pack(">II", max(1, len(later) + bool(first)), 0)),
    ]
    if first is not None:
        parts.append(frame_control(number, hidden.size))
        number += 1
    parts.append(chunk(b"IDAT", packed(first or hidden)))
    for picture, at in later:
        data = packed(picture)
        parts.append(frame_control(number, picture.size, at))
        parts += [chunk(b"fdAT", struct.pack(">I", number + 1) + data[:9])]
        parts += [chunk(b"fdAT", struct.pack(">I", number + 2) + data[9:])]
        number += 3
    return b"".join([*parts, chunk(b"IEND", b"")])


# WebP


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = b"".join(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks)
    return b"RIFF" + struct.pack("<I", len(packed) + 4) + b"WEBP" + packed


def webp_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 12, []
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        found.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def webp_frame(picture: Image.Image, at: tuple[int, int], **options: object) -> tuple[bytes, bytes]:
    """A frame of an animated WebP, at a place of even numbers."""
    found = [riff(each)[12:] for each in webp_chunks(encode(picture, "WEBP", **options)) if each[0] != b"VP8X"]
    numbers = (at[0] // 2, at[1] // 2, picture.width - 1, picture.height - 1, 100)
    return b"ANMF", b"".join([*(number.to_bytes(3, "little") for number in numbers), b"\0", *found])


def odd_webp(rng: random.Random) -> Made:
    width, height = rng.randrange(4, 20), rng.randrange(4, 20)
    mode = rng.choice(["RGB", "RGBA"])
    clean = encode(noise(rng, width, height, mode), "WEBP", lossless=rng.random() < 0.5, quality=80, method=0)
    found = webp_chunks(clean)
    flags = 0x10 if mode == "RGBA" else 0
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    pixels = [each for each in found if each[0] != b"VP8X"]
    side = [
        (b"EXIF", rng.choice([b"", b"Exif\0\0"]) + odd_exif(rng, rng.randrange(1, 9))),
        (b"XMP ", rng.choice([xmp(6), rng.randbytes(9)])),
        (rng.randbytes(4), rng.randbytes(rng.randrange(9))),
    ]
    side = [each for each in side if rng.random() < 0.6 and each[0] not in (b"ALPH", b"ANMF")]
    profile = [(b"ICCP", odd_profile(rng))] if rng.random() < 0.4 else []
    # At times announced and not there, or there and not announced.
    flags |= rng.choice([0, 0x08, 0x04, 0x20, 0x2C])
    content = riff((b"VP8X", bytes([flags, 0, 0, 0]) + size), *profile, *pixels, *side)
    if side and rng.random() < 0.3:
        content = content[: -rng.randrange(1, 4)]
    return Made("WEBP", content, clean)


# GIF


def odd_gif(rng: random.Random) -> Made:
    picture = noise(rng, rng.randrange(4, 20), rng.randrange(4, 20)).quantize(rng.choice([2, 7, 16, 200]))
    options = {"transparency": 1} if rng.random() < 0.3 else {}
    clean = encode(picture, "GIF", **options)
    at = 13 + 3 * (2 << (clean[10] & 7))
    kinds = [
        lambda: b"!\xfe" + _blocks(rng.randbytes(rng.randrange(300))),
        lambda: b"!\xff\x0bNETSCAPE2.0" + _blocks(rng.randbytes(rng.randrange(4))),
        lambda: b"!\xff" + _blocks(rng.randbytes(rng.randrange(30))),
        lambda: b"!\x01" + _blocks(rng.randbytes(12)),
        lambda: b"!\xff\0!\xfe\0",
    ]
    extra = b"".join(rng.choice(kinds)() for _ in range(rng.randrange(4)))
    end = rng.choice([b"", b"!\xfe\x05ab", b"!", b"\0\0"])
    return Made("GIF", clean[:at] + extra + clean[at:-1] + rng.choice([b";", b""]) + end, clean)


def _blocks(body: bytes) -> bytes:
    parts = [body[at : at + 255] for at in range(0, len(body), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


# BMP


def bmp(
    size: tuple[int, int],
    bits: int,
    body: bytes,
    *,
    compression: int = 0,
    header: int = 40,
    masks: Sequence[int] = (),
    palette: bytes = b"",
    colors: int = 0,
    top_down: bool = False,
    tail: bytes = b"",
) -> bytes:
    width, height = size
    start = struct.pack(
        *("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression),
        *(len(body), 2835, 2835, colors, 0),
    )
    start += b"".join(struct.pack("<I", mask) for mask in masks)
    # The masks stand in the longer headers, behind the shortest one.
    start = (start + tail).ljust(header, b"\0") if header >= 40 else start[:header]
    offset = 14 + len(start) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + start + palette + body


def old_bmp(size: tuple[int, int], bits: int, body: bytes, palette: bytes = b"") -> bytes:
    """A bitmap of OS/2 1."""
    head = struct.pack("<IHHHH", 12, *size, 1, bits)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + len(palette)) + head + palette + body


MASKS = [
    (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
    (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
    (32, (0xF00, 0xF0, 0xF, 0)),
    (16, (0xF800, 0x7E0, 0x1F, 0)),
    (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    (16, (0xF00, 0xF0, 0xF, 0xF000)),
    (16, (0x7, 0x38, 0x3C0, 0)),
]


def any_bmp(rng: random.Random) -> bytes:
    """A bitmap of any layout that browsers show, some alpha not zero."""
    width, height = rng.randrange(2, 20), rng.randrange(2, 12)
    kind = rng.choice(["palette", "palette", "plain", "masks", "runs", "old", "second"])
    header, top_down = rng.choice([40, 52, 56, 108, 124]), rng.random() < 0.3

    def rows(bits: int) -> bytes:
        return rng.randbytes((width * bits + 31) // 32 * 4 * height)

    if kind == "masks":
        bits, masks = rng.choice(MASKS)
        given = masks[:3] if header in (40, 52) else masks
        return bmp((width, height), bits, rows(bits), compression=3, header=header, masks=given, top_down=top_down)
    if kind == "plain":
        return bmp((width, height), bits := rng.choice([16, 24, 32]), rows(bits), header=header, top_down=top_down)
    if kind == "second":
        # OS/2 2, of any length.
        header, bits = rng.choice([16, 20, 36, 42, 46, 48, 60, 64]), rng.choice([1, 4, 8, 16, 24, 32])
        palette = rng.randbytes(4 << bits) if bits < 16 else b""
        return bmp((width, height), bits, rows(bits), header=header, palette=palette, top_down=top_down)
    if kind == "old":
        bits = rng.choice([1, 4, 8, 24])
        return old_bmp((width, height), bits, rows(bits), rng.randbytes(3 << bits) if bits < 24 else b"")
    bits = rng.choice([4, 8]) if kind == "runs" else rng.choice([1, 2, 4, 8])
    count = rng.choice([1 << bits, rng.randrange(1, (1 << bits) + 1)])
    # Greys in order, which some readers take for greys without a palette.
    palette = b"".join(bytes([each] * 3) + b"\0" for each in range(count))
    palette = palette if rng.random() < 0.3 else rng.randbytes(4 * count)
    if kind == "palette":
        return bmp((width, height), bits, rows(bits), header=header, palette=palette, colors=count, top_down=top_down)
    body = b"".join(_runs(rng, width, bits) for _ in range(height)) + b"\0\1"
    return bmp((width, height), bits, body, compression=1 if bits == 8 else 2, palette=palette, colors=count)


def _runs(rng: random.Random, width: int, bits: int) -> bytes:
    done, written = 0, b""
    while done < width:
        count = rng.randrange(1, width - done + 1)
        if count >= 3 and rng.random() < 0.4:
            length = (count * bits + 7) // 8
            written += bytes([0, count]) + rng.randbytes(length) + b"\0" * (length % 2)
        else:
            written += bytes([count]) + rng.randbytes(1)
        done += count
    return written + b"\0\0"


def odd_bmp(rng: random.Random) -> Made:
    clean = any_bmp(rng)
    # What a bitmap says of its own length, of dots per metre, and what follows it, makes no pixels.
    content = bytearray(clean)
    content[2:10] = rng.randbytes(8)
    if struct.unpack_from("<I", clean, 14)[0] >= 40:
        content[34:46] = rng.randbytes(12)
    return Made("BMP", bytes(content) + rng.randbytes(rng.randrange(9)), clean)


# AVIF


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


_avif_cache: dict[tuple[int, str, int], tuple[bytes, bytes]] = {}
AVIF_DRAWN = 3
# A tag that Pillow keeps, so that the file has an item of EXIF, whose bytes can be changed afterwards.
_MARK = b"S" * 120


def odd_avif(rng: random.Random) -> Made:
    """Encoding an AVIF is slow, so that a few are drawn once; their EXIF is odd each time."""
    key = (rng.randrange(AVIF_DRAWN), rng.choice(["RGB", "RGBA", "L"]), rng.randrange(1, 9))
    if key not in _avif_cache:
        drawn = noise(random.Random(repr(key)), 16 + 2 * key[0], 20, key[1])
        mark = (0x010E, 2, len(_MARK), struct.pack("<I", 8 + 2 + 24 + 4))
        turned = encode(drawn, "AVIF", quality=80, speed=10, exif=exif(key[2], further=[mark]) + _MARK, xmp=xmp(3))
        _avif_cache[key] = turned, encode(drawn, "AVIF", quality=80, speed=10)
    turned, clean = _avif_cache[key]
    at = turned.index(_MARK)
    block = odd_exif(rng, rng.randrange(1, 9))[:140].ljust(140, b"\0")
    start = turned.rindex(b"II*\0", 0, at)
    content = turned[:start] + block + turned[start + 140 :]
    return Made("AVIF", content + rng.choice([b"", box(b"free", rng.randbytes(9))]), clean, key[2])


# TIFF, which is no format of ours


def odd_tiff(rng: random.Random) -> Made:
    clean = encode(noise(rng, 9, 7), "TIFF")
    content = bytearray(clean)
    for _ in range(rng.randrange(4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return Made("TIFF", bytes(content), clean)


ODD = (odd_jpeg, odd_png, odd_webp, odd_gif, odd_bmp, odd_avif, odd_tiff)


def odd_files(count: int, seed: int) -> Iterator[Made]:
    """`count` pictures with whole pixels and odd metadata, all kinds in turn."""
    for number in range(count):
        yield ODD[number % len(ODD)](random.Random(f"{seed}-{number}"))
