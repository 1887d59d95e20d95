"""Windows bitmaps as browsers show them.

Pillow refuses some layouts, mixes up grey palettes, and takes an alpha that is zero everywhere for transparency.

Source: which header sizes and masks are valid is as in Chromium's `bmp_image_reader.cc`, when alpha counts and what
skipped pixels are as Chromium 156 was seen to draw them. One thing differs on purpose: an alpha of zero everywhere is
ignored, for nobody means an invisible picture. Profiles and calibrated colours are not applied, as everywhere else.
"""

import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from spotter.image_files import damaged

_PLAIN, _RLE8, _RLE4, _FIELDS, _RLE24, _ALPHA_FIELDS = 0, 1, 2, 3, 4, 6
_LONGEST_SIDE = 65_535
# Pixels at a time: what a large picture needs beside its own pixels stays small.
_BAND = 1 << 20


@dataclass(frozen=True)
class BmpHeader:
    """What the header of a bitmap says. `masks` are those of red, green, blue and alpha; 0 is none."""

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    masks: tuple[int, int, int, int]
    palette: np.ndarray
    start: int


def read_header(data: bytes) -> BmpHeader:
    """Read a bitmap's header, masks and palette.

    Raises:
        BadPicture: it is cut short, or of a kind that browsers do not show either.
        struct.error: the file ends within the header.
    """
    offset, size = struct.unpack_from("<II", data, 10)
    end = 14 + size
    is_first_os2, is_windows = size == 12, size in (40, 52, 56, 108, 124)
    is_second_os2 = not is_windows and 16 <= size <= 64 and (size % 4 == 0 or size in (42, 46))
    if not (is_first_os2 or is_windows or is_second_os2) or end > len(data) or 0 < offset < end:
        raise damaged()
    compression = colors = 0
    top_down = False
    if is_first_os2:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        top_down, height = height < 0, abs(height)
        compression = struct.unpack_from("<I", data, 30)[0] if size >= 20 else 0
        colors = struct.unpack_from("<I", data, 46)[0] if size >= 36 else 0
    if not _is_valid(width, height, bits, compression, is_windows):
        raise damaged()
    masks, start = (0, 0, 0, 0), end
    palette = np.zeros((256, 3), np.uint8)
    if bits >= 16:
        masks, start = _read_masks(data, size, bits, compression)
    else:
        most = 1 << bits
        colors = min(colors, most) or most
        width_of_entry = 3 if is_first_os2 else 4
        start = end + colors * width_of_entry
        colors = min(colors, (len(data) - end) // width_of_entry)
        entries = np.frombuffer(data, np.uint8, colors * width_of_entry, end).reshape(colors, width_of_entry)
        palette[:colors] = entries[:, 2::-1]
    bits = {_RLE8: 8, _RLE4: 4}.get(compression, bits)
    return BmpHeader(width, height, top_down, bits, compression, masks, palette, offset or start)


def decode(data: bytes, header: BmpHeader) -> Image.Image:
    """Decode the pixels.

    Returns:
        A picture of mode "RGB", or "RGBA" where some of it is transparent.

    Raises:
        BadPicture: pixels are missing, or a run of them leaves the picture.
    """
    if header.compression in (_RLE8, _RLE4, _RLE24):
        return _decode_runs(data, header)
    stride = (header.width * header.bits + 31) // 32 * 4
    needed = stride * (header.height - 1) + (header.width * header.bits + 7) // 8
    if header.start + needed > len(data):
        raise damaged()
    rows = np.zeros((header.height, stride), np.uint8)
    rows.reshape(-1)[: min(rows.size, len(data) - header.start)] = np.frombuffer(
        data, np.uint8, min(rows.size, len(data) - header.start), header.start
    )
    if not header.top_down:
        rows = rows[::-1]
    pixels = np.empty((header.height, header.width, 4 if header.masks[3] else 3), np.uint8)
    step = max(1, _BAND // header.width)
    for top in range(0, header.height, step):
        band = np.ascontiguousarray(rows[top : top + step])
        pixels[top : top + step] = _decode_rows(band, header)
    # Many programs write an alpha mask and zeros: nobody means an invisible picture.
    if header.masks[3] and not pixels[:, :, 3].any():
        pixels = np.ascontiguousarray(pixels[:, :, :3])
    return Image.fromarray(pixels)


def _is_valid(width: int, height: int, bits: int, compression: int, is_windows: bool) -> bool:
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
        return False
    if bits not in ((1, 2, 4, 8, 16, 24, 32) if is_windows else (1, 4, 8, 16, 24, 32)):
        return False
    return {
        _PLAIN: True,
        _RLE8: bits <= 8,
        _RLE4: bits <= 4,
        _FIELDS: is_windows and bits in (16, 32),
        _RLE24: bits == 24,
        _ALPHA_FIELDS: is_windows and bits in (16, 32),
    }.get(compression, False)


def _read_masks(data: bytes, size: int, bits: int, compression: int) -> tuple[tuple[int, int, int, int], int]:
    # The masks of red, green, blue and alpha, and where the header ends with them.
    end, alpha = 14 + size, 0
    if size >= (56 if compression in (_FIELDS, _ALPHA_FIELDS) else 108):
        (alpha,) = struct.unpack_from("<I", data, 14 + 52)
    if compression not in (_FIELDS, _ALPHA_FIELDS):
        colors = (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF)
    elif size >= 52:
        colors = struct.unpack_from("<III", data, 14 + 40)
    else:
        colors = struct.unpack_from("<III", data, end)
        end += 12
        if compression == _ALPHA_FIELDS:
            (alpha,) = struct.unpack_from("<I", data, end)
            end += 4
    masks = [mask & ((1 << bits) - 1) for mask in (*colors, alpha)]
    seen = 0
    for mask in masks:
        # Each in one piece, and none over another.
        if mask & seen or (mask and (mask // (mask & -mask)) & (mask // (mask & -mask) + 1)):
            raise damaged()
        seen |= mask
    return (masks[0], masks[1], masks[2], masks[3]), end


def _decode_rows(rows: np.ndarray, header: BmpHeader) -> np.ndarray:
    bits, width = header.bits, header.width
    if bits < 16:
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        spread = (rows[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
        return header.palette[spread.reshape(len(rows), -1)[:, :width]]
    if bits == 24:
        return rows[:, : width * 3].reshape(len(rows), width, 3)[:, :, ::-1]
    values = rows.view("<u2" if bits == 16 else "<u4")[:, :width].astype(np.uint32)
    masks = header.masks if header.masks[3] else header.masks[:3]
    return np.stack([_channel(values, mask) for mask in masks], axis=2)


def _channel(values: np.ndarray, mask: int) -> np.ndarray:
    if not mask:
        return np.zeros(values.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    count = mask.bit_length() - lowest
    found = (values & np.uint32(mask)) >> np.uint32(lowest)
    if count >= 8:
        return (found >> np.uint32(count - 8)).astype(np.uint8)
    most = (1 << count) - 1
    return np.array([round(each * 255 / most) for each in range(most + 1)], np.uint8)[found]


def _decode_runs(data: bytes, header: BmpHeader) -> Image.Image:
    # Rows in the order of the file. What no run draws is black.
    width, height, bits = header.width, header.height, header.bits
    colors = np.zeros((height, width, 3), np.uint8)
    at, x, y, end = header.start, 0, 0, len(data)
    while True:
        if at + 2 > end:
            # A file without its end mark is whole when its last row is.
            if y >= height or (y == height - 1 and x == width):
                break
            raise damaged()
        count, code = data[at], data[at + 1]
        at += 2
        if (count, code) == (0, 1):
            break
        if y >= height:
            raise damaged()
        if count:
            run = data[at - 1 : at + 2] if bits == 24 else bytes([code])
            at += 2 if bits == 24 else 0
            if bits == 24 and len(run) < 3:
                raise damaged()
            values = _unpack(run, bits, count)
            last = min(x + count, width)
        elif code == 0:
            x, y = 0, y + 1
            continue
        elif code == 2:
            if at + 2 > end:
                raise damaged()
            x, y = x + data[at], y + data[at + 1]
            at += 2
            if x > width or y >= height:
                raise damaged()
            continue
        else:
            length = (code * bits + 7) // 8
            if at + length > end or x + code > width:
                raise damaged()
            values = _unpack(data[at : at + length], bits, code)
            at += length + length % 2
            last = x + code
        colors[y, x:last] = values[: last - x, ::-1] if bits == 24 else header.palette[values[: last - x, 0]]
        x = last
    return Image.fromarray(np.ascontiguousarray(colors if header.top_down else colors[::-1]))


def _unpack(run: bytes, bits: int, count: int) -> np.ndarray:
    # `count` values of a run, repeated as often as needed: shape (count, 3) with 24 bits, otherwise (count, 1).
    if bits == 24:
        values = np.frombuffer(run, np.uint8).reshape(-1, 3)
    elif bits == 8:
        values = np.frombuffer(run, np.uint8)[:, None]
    else:
        packed = np.frombuffer(run, np.uint8)
        values = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1, 1)
    return np.resize(values, (count, values.shape[1]))
