"""What of a picture's file makes its pixels: all else is left out before anything is decoded.

Metadata (EXIF, XMP, colour profiles, comments, unknown chunks) can be odd, huge or damaged, and decoders stumble over
it. A picture whose pixels are whole must not be refused for that. All that is read of it is the EXIF orientation.
What counts, where and in which order, is what Chromium 156 was seen to do: a visitor and the model see the same.
"""

import struct
import zlib
from dataclasses import dataclass

from spotter.errors import BadPicture

Size = tuple[int, int]

ORIENTATION = 0x0112
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_GREY, _RGB, _PALETTE = 0, 2, 3
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Of Adam7: left, top, and the steps to the right and down.
_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
# Bytes at a time.
_INFLATED = 1 << 20
_WEBP_PIXELS = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"}
# In the flags of VP8X: there is transparency, there is an animation. The others announce metadata.
_WEBP_FLAGS = 0x10 | 0x02
_AVIF_BOXES = {b"meta", b"moov", b"trak", b"iinf", b"infe"}
_AVIF_BRANDS = {b"avif", b"avis"}
# Said of any picture in such a container, so also of an AVIF.
_CONTAINER_BRANDS = {b"mif1", b"msf1"}
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class PictureFile:
    """The part of a file that makes its pixels.

    Attributes:
        format: Pillow's name of the format; empty when it is none that we know.
        data: a file of that format, with the first picture alone where the format allows to tell.
        orientation: by EXIF, 1 to 8; 1 when there is none that browsers obey.
        transparent: the one colour of a PNG of 16 bits that is transparent: one number for grey, three for RGB.
        canvas: (width, height) in pixels when the picture in `data` is only a part of it. The rest is transparent.
        corner: (left, top) of the picture in `data` on the canvas.
        end_is_ours: a JPEG has no end mark, and got one. Whether its pixels are whole, decoding must tell.
    """

    format: str
    data: bytes
    orientation: int = 1
    transparent: tuple[int, ...] | None = None
    canvas: Size | None = None
    corner: tuple[int, int] = (0, 0)
    end_is_ours: bool = False


def read_file(data: bytes) -> PictureFile:
    """Find the format of an encoded picture by its first bytes, and leave out what makes no pixels.

    Raises:
        BadPicture: it begins like a picture, but there is none in it, or its pixels are damaged or cut short.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(data)
    if data.startswith(_PNG):
        return _read_png(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp(data)
    if data.startswith(b"BM"):
        return PictureFile("BMP", data)
    if data[4:8] == b"ftyp" and (brand := _avif_brand(data)):
        return PictureFile("AVIF", _hide_metadata_items(data[:8] + brand + data[12:]))
    return PictureFile("", data)


def read_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block (a TIFF file), read alone: 1 to 8, and 1 for whatever is not as it should be."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 10:
        return 1
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", exif, at)
        # A SHORT, and one of them.
        if (tag, kind, number) == (ORIENTATION, 3, 1) and 1 <= value <= 8:
            return value
    return 1


def damaged(message: str = "The picture is damaged or cut short and cannot be decoded.") -> BadPicture:
    """What to raise for a picture whose pixels are not whole."""
    return BadPicture("corrupt", message)


def _nothing_in_it(name: str) -> BadPicture:
    return BadPicture("not-a-picture", f"The file begins like a {name}, but there is no picture in it.")


def _read_jpeg(data: bytes) -> PictureFile:
    # Up to the first scan. JFIF and Adobe say in which colours the pixels are; other APPn and comments are left out.
    kept, at, exif = [data[:2]], 2, None
    while True:
        # Decoders skip junk between the segments, too.
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) and data[at] == 0xFF:
            at += 1
        if at < 0 or at + 3 > len(data):
            raise _nothing_in_it("JPEG")
        marker = data[at]
        at += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if marker in (0xD8, 0xD9) or length < 2 or at + length > len(data):
            raise _nothing_in_it("JPEG")
        if marker == 0xDA:
            has_end = data.find(_JPEG_END, at) >= 0
            # The last byte may be half a mark.
            kept += [data[at - 2 :]] if has_end else [data[at - 2 :].rstrip(b"\xff"), _JPEG_END]
            return PictureFile("JPEG", b"".join(kept), read_orientation(exif or b""), end_is_ours=not has_end)
        if marker == 0xE1 and exif is None and body.startswith(b"Exif\0"):
            exif = body[6:]
        if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            kept.append(b"\xff\xe0\0\x10" + body[:14])
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            kept.append(b"\xff\xee\0\x0e" + body[:12])
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[at - 2 : at + length])
        at += length


class _Png:
    """The chunks of a PNG that make the pixels which a browser shows first."""

    def __init__(self) -> None:
        self.header = b""
        self.palette: bytes | None = None
        self.alpha: bytes | None = None
        self.exif: bytes | None = None
        self.pixels: list[bytes] = []
        self.pixels_ended = False
        self.is_animated = False
        # Of the animation's first frame, when the pixels of IDAT are no part of it.
        self.frame: bytes | None = None
        self.frame_pixels: list[bytes] = []
        self.default_is_frame = False

    def take(self, name: bytes, body: bytes, is_whole: bool) -> bool:
        """Keep a chunk if it is needed; whether to go on."""
        if name == b"IEND" or (name == b"fcTL" and self.frame_pixels):
            return False
        self.pixels_ended = self.pixels_ended or bool(self.pixels and name != b"IDAT")
        if self.pixels_ended:
            if self.is_animated and not self.default_is_frame:
                self._take_frame(name, body, is_whole)
        elif name == b"IDAT":
            self.pixels.append(_checked(body, is_whole))
        elif name == b"PLTE" and self.header[9] == _PALETTE and self.palette is None:
            self.palette = _checked(body, is_whole)[: min(len(body) // 3, 256) * 3]
        elif is_whole:
            self._take_further(name, body)
        return True

    def _take_further(self, name: bytes, body: bytes) -> None:
        if name == b"tRNS" and self.alpha is None and (self.palette or self.header[9] != _PALETTE):
            least = {_GREY: 2, _RGB: 6}.get(self.header[9], 1)
            most = 256 if self.header[9] == _PALETTE else len(body)
            self.alpha = body if least <= len(body) <= most else None
        elif name == b"eXIf" and self.exif is None:
            self.exif = body
        elif name == b"acTL" and len(body) == 8 and body[:4] != b"\0\0\0\0":
            self.is_animated = True
        elif name == b"fcTL":
            self.default_is_frame = True

    def _take_frame(self, name: bytes, body: bytes, is_whole: bool) -> None:
        number = body[:4]
        if name == b"fcTL" and len(body) == 26 and is_whole and self.frame is None:
            if number != b"\0\0\0\0":
                raise damaged()
            self.frame = body
        elif name == b"fdAT" and self.frame is not None:
            if number != struct.pack(">I", len(self.frame_pixels) + 1):
                raise damaged()
            self.frame_pixels.append(_checked(body, is_whole)[4:])

    def read(self) -> PictureFile:
        depth, kind = self.header[8:10]
        size, pixels, corner = self.header[:8], self.pixels, (0, 0)
        canvas = None
        if self.is_animated and not self.default_is_frame:
            if self.frame is None:
                raise damaged()
            size, pixels = self.frame[4:12], self.frame_pixels
            canvas, part = struct.unpack(">II", self.header[:8]), struct.unpack(">II", size)
            corner = struct.unpack(">II", self.frame[12:20])
            if any(at + side > whole for at, side, whole in zip(corner, part, canvas, strict=True)):
                raise damaged()
        if not pixels:
            raise damaged()
        chunks, transparent = [_chunk(b"IHDR", size + self.header[8:])], None
        if kind == _PALETTE:
            if not self.palette:
                raise damaged()
            # A pixel that names a colour past the palette's end has the last one.
            chunks.append(_chunk(b"PLTE", _fill(self.palette, 3)))
            if self.alpha is not None:
                alpha = self.alpha[: len(self.palette) // 3].ljust(len(self.palette) // 3, b"\xff")
                chunks.append(_chunk(b"tRNS", _fill(alpha, 1)))
        elif kind in (_GREY, _RGB) and self.alpha is not None:
            color = struct.unpack(">H" if kind == _GREY else ">HHH", self.alpha[: 2 if kind == _GREY else 6])
            if depth == 16:
                transparent = color
            else:
                # Of the two bytes the lower one counts. Greys of few bits are spread over 0..255 when decoded, and
                # Pillow compares the colour with those.
                most = (1 << depth) - 1
                color = tuple(channel & 0xFF for channel in color)
                if max(color) <= most:
                    spread = [channel * 255 // most for channel in color]
                    chunks.append(_chunk(b"tRNS", struct.pack(f">{len(color)}H", *spread)))
        chunks += [_chunk(b"IDAT", each) for each in pixels]
        return PictureFile(
            "PNG",
            b"".join([_PNG, *chunks, _PNG_END]),
            read_orientation(self.exif or b""),
            transparent,
            canvas,
            corner,
        )


def _read_png(data: bytes) -> PictureFile:
    png, at = _Png(), len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body, end = data[at + 4 : at + 8], data[at + 8 : at + 8 + length], at + 12 + length
        is_whole = end <= len(data) and zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(data[end - 4 : end], "big")
        if not png.header:
            if name != b"IHDR" or length != 13 or not is_whole:
                raise _nothing_in_it("PNG")
            png.header = body
        elif not png.take(name, body, is_whole):
            break
        at = end
    if not png.header:
        raise _nothing_in_it("PNG")
    return png.read()


def has_all_rows(png: bytes) -> bool:
    """Whether there are as many pixels in a PNG that `read_file` gave as its header promises."""
    width, height, depth, kind, interlaced = struct.unpack_from(">IIBBxxB", png, 16)
    passes = _PASSES if interlaced else [(0, 0, 1, 1)]
    bits = depth * _CHANNELS[kind]
    missing = 0
    for left, top, right, down in passes:
        columns, rows = (width - left + right - 1) // right, (height - top + down - 1) // down
        # A byte before each row names its filter.
        missing += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    unpacked, at = zlib.decompressobj(), 33
    while at + 8 <= len(png) and missing > 0:
        (length,) = struct.unpack_from(">I", png, at)
        packed = png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        while packed and missing > 0:
            missing -= len(unpacked.decompress(packed, _INFLATED))
            packed = unpacked.unconsumed_tail
        at += 12 + length
    return missing <= len(unpacked.flush())


def _checked(body: bytes, is_whole: bool) -> bytes:
    if not is_whole:
        raise damaged("The picture is damaged: its checksums are wrong.")
    return body


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def _fill(entries: bytes, width: int) -> bytes:
    # 256 entries, the last one repeated.
    return entries + entries[-width:] * (256 - len(entries) // width)


def _read_gif(data: bytes) -> PictureFile:
    # The first picture, with the last graphic control block before it; comments and extensions are left out.
    if len(data) < 13:
        raise _nothing_in_it("GIF")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colors(flags)
    palette, control = data[13:at], b""
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x21:
            body, end = _blocks(data, at + 2)
            if data[at + 1 : at + 2] == b"\xf9" and len(body) >= 4:
                control = b"!\xf9\x04" + body[:4] + b"\0"
            at = end
        elif data[at] == 0x2C and at + 10 <= len(data):
            left, top, *size = struct.unpack_from("<HHHH", data, at + 1)
            local = data[at + 9]
            start = at + 10 + _colors(local)
            if not (palette or local & 0x80):
                # Without any palette all is black.
                flags, palette = 0x87, bytes(3 * 256)
            picture = b"".join(
                [
                    *[b"GIF89a", struct.pack("<HHBBB", *size, flags, 0, 0), palette, control],
                    *[struct.pack("<BHHHHB", 0x2C, 0, 0, *size, local), data[at + 10 :]],
                ]
            )
            if start >= len(data):
                break
            canvas = max(width, left + size[0]), max(height, top + size[1])
            return PictureFile("GIF", picture, canvas=canvas, corner=(left, top))
        else:
            at += 1
    raise _nothing_in_it("GIF")


def _colors(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> tuple[bytes, int]:
    # The first block of an extension, and where the extension ends.
    first, start = b"", at
    while at < len(data) and data[at]:
        if at == start:
            first = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    return first, at + 1


def _read_webp(data: bytes) -> PictureFile:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    at, kept = 12, []
    while at + 8 <= end:
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : min(at + 8 + length, end)]
        if name in _WEBP_PIXELS:
            if len(body) < length:
                raise damaged()
            if name == b"VP8X" and body:
                # What the first picture of an animation leaves open is transparent, whether that is said or not.
                flags = body[0] & _WEBP_FLAGS
                body = bytes([flags | 0x10 if flags & 0x02 else flags]) + body[1:]
            kept.append(name + struct.pack("<I", length) + body + b"\0" * (length % 2))
            # What follows a still picture belongs to nothing.
            if name in (b"VP8 ", b"VP8L"):
                break
        at += 8 + length + length % 2
    if not kept:
        raise _nothing_in_it("WebP")
    body = b"WEBP" + b"".join(kept)
    # Orientation in EXIF: browsers show a WebP as it is stored.
    return PictureFile("WEBP", b"RIFF" + struct.pack("<I", len(body)) + body)


def _avif_brand(data: bytes) -> bytes:
    # The brand by which decoders know an AVIF, which may stand first or further behind; empty when it is none.
    brands = [data[at : at + 4] for at in (8, *range(16, min(int.from_bytes(data[:4], "big"), len(data)), 4))]
    if brands[0] in _AVIF_BRANDS | _CONTAINER_BRANDS:
        return brands[0]
    return next((brand for brand in brands if brand in _AVIF_BRANDS), b"")


def _hide_metadata_items(data: bytes) -> bytes:
    # The items of EXIF and XMP get a type that decoders pass over. Their places in the file stay as they are.
    # Turning is told by the container (`irot`, `imir`), as browsers have it.
    hidden = bytearray(data)

    def walk(at: int, end: int) -> None:
        while at + 8 <= end:
            length, name = struct.unpack_from(">I4s", data, at)
            start = at + 8
            if length == 1 and at + 16 <= end:
                (length,) = struct.unpack_from(">Q", data, at + 8)
                start = at + 16
            last = end if length == 0 else min(at + length, end)
            if last <= start:
                return
            if name == b"infe":
                place = start + {2: 8, 3: 10}.get(data[start], 0)
                if data[start] in (2, 3) and data[place : place + 4] in (b"Exif", b"mime") and place + 4 <= last:
                    hidden[place : place + 4] = b"skip"
            elif name in _AVIF_BOXES:
                inner = {b"meta": 4, b"iinf": 6 if data[start] == 0 else 8}.get(name, 0)
                walk(start + inner, last)
            at = last

    walk(0, len(data))
    return bytes(hidden)
