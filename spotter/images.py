"""Decodes pictures to upright 8-bit RGB, in the same way for training and for the app."""

import io
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageFile

from spotter.config import PictureConfig
from spotter.errors import BadPicture, SpotterError
from spotter.image_bmp import decode as decode_bitmap
from spotter.image_bmp import read_header
from spotter.image_files import PictureFile, damaged, has_all_rows, read_file, read_orientation

_log = logging.getLogger(__name__)

# Starts no thread before it is used.
_resizers = ThreadPoolExecutor(2, thread_name_prefix="resize")

EncodedSource = bytes | bytearray | memoryview | str | os.PathLike[str]
PictureSource = EncodedSource | Image.Image

FAILED = "Something went wrong on this side; the picture was not classified."
BACKGROUND = (255, 255, 255)
# A picture that is gone, where one has to be shown.
GREY = (225, 225, 225)
HEADER_BYTES = 1_000_000
PARALLEL_SIDE = 600
# Rows at a time that are laid on white.
BAND = 256
# Largest longer side, in pixels, of a visitor's picture that is kept.
KEPT_SIDE, KEPT_QUALITY = 1024, 92
# Codes of a JPEG's scan that paint something, wherever it goes on: at once, or at any of the eight restart marks.
_FILLING = b"".join(b"\x5a\xa5\x3c" * 12 + bytes([0xFF, 0xD0 + number % 8]) for number in range(16))
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


def load_picture(source: PictureSource, config: PictureConfig | None = None) -> Image.Image:
    """Decode a picture to mode RGB as a browser shows it on a white page: upright, the first frame only.

    Args:
        source: encoded bytes, a file's path, or a PIL picture.
        config: limits; the defaults of `PictureConfig` when None.

    Returns:
        A new PIL picture of mode "RGB" without metadata; size (width, height) in pixels.

    Raises:
        BadPicture: empty, not one of the accepted formats, too many pixels, too small, truncated or corrupt, or its
            file cannot be read. Nothing else: whatever a decoder raises is this picture's reason.
    """
    config = config or PictureConfig()
    with own_reason(damaged, config):
        if isinstance(source, Image.Image):
            _check_size(source.size, config)
            return _turn(_flatten(source), _orientation_of(source))
        return _decode(read_encoded(source, config), config)


@contextmanager
def own_reason(
    otherwise: Callable[[], BadPicture] | None = None, config: PictureConfig | None = None
) -> Iterator[None]:
    """Whatever is raised inside, where one picture is worked on, is the reason why that picture is left out.

    This is the one place that catches everything. Decoders raise what they like (struct.error, AttributeError,
    OverflowError ...), and tomorrow something else; and one picture must never end a run over many. Expected failures
    that are not about the picture (any other `SpotterError`, such as a full disk) pass.

    Args:
        otherwise: makes the reason of what nobody expected. None: it is "failed", and the log says in a line what
            was raised, and where.

    Raises:
        BadPicture: anything went wrong.
    """
    try:
        yield
    except SpotterError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(config or PictureConfig()) from error
    except MemoryError as error:
        raise BadPicture("too-large", "There is not enough memory to decode the picture.") from error
    except Exception as error:
        if otherwise:
            raise otherwise() from error
        at = traceback.extract_tb(error.__traceback__)[-1]
        _log.warning("a picture is left out: %r, in %s, line %s", error, at.filename, at.lineno)
        raise BadPicture("failed", FAILED) from error


def load_stored(path: Path) -> Image.Image:
    """Decode a picture of a set for a report or a sheet; a grey one, and a line in the log, where it is gone by now."""
    try:
        return load_picture(path)
    except BadPicture as error:
        _log.warning("%s: %s", path, error)
        return Image.new("RGB", (96, 96), GREY)


def count_pixels(source: PictureSource) -> int:
    """How many pixels a picture has by its header; 0 when it cannot be told."""
    config = PictureConfig()
    try:
        with own_reason(damaged, config):
            if isinstance(source, Image.Image):
                return source.width * source.height
            file = _accept(read_encoded(source, config), config)
            if file.format == "BMP":
                header = read_header(file.data)
                return header.width * header.height
            with _open(file, config) as picture:
                width, height = file.canvas or picture.size
                return width * height
    except BadPicture:
        return 0


def fit_within(picture: Image.Image, side: int) -> Image.Image:
    """Shrink `picture` so that its longest side is at most `side` pixels; never enlarge."""
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def frame(picture: tuple[int, int], size: int, resize: str) -> tuple[int, int, int, int]:
    """Where a network that reads squares of `size` pixels looks at a picture of (width, height) pixels.

    Source: `fastai.vision.augment.Resize` at inference, integer arithmetic and all.

    Args:
        resize: "crop" cuts the largest centred square, "squish" takes the whole picture, "pad" the smallest square
            around it.

    Returns:
        (left, top, right, bottom) in pixels of the picture; outside of it with "pad".
    """
    width, height = picture
    if resize == "squish":
        return 0, 0, width, height
    # The same floating-point steps as fastai: int(m * size) may be one pixel less than the side.
    scale = (max if resize == "pad" else min)(width / size, height / size)
    side = int(scale * size)
    left, top = int(0.5 * (width - side)), int(0.5 * (height - side))
    return left, top, left + side, top + side


def to_square(picture: Image.Image, size: int, resize: str = "crop") -> np.ndarray:
    """Cut out the part that the network sees and scale it to `size` pixels a side, as fastai's `Resize` does at
    inference.

    Both sides see identical pixels. Padding is black. For `resize` see `frame`.

    Returns:
        uint8 array of shape (size, size, 3).
    """
    box = left, top, right, bottom = frame(picture.size, size, resize)
    side = right - left
    # crop, not resize(box=...): the latter lets pixels from outside the box bleed into the edges.
    if resize != "crop" or side < PARALLEL_SIDE or side % 2 or size % 2:
        return np.asarray(picture.crop(box).resize((size, size), Image.Resampling.BILINEAR))
    # Big pictures in two halves on two cores. Each brings some rows of the other along: at the seam the bleeding
    # makes them fit exactly.
    half, more = side // 2, 2 * int(side / size) + 4

    def upper() -> Image.Image:
        rows = picture.crop((left, top, right, top + half + more))
        return rows.resize((size, size // 2), Image.Resampling.BILINEAR, box=(0, 0, side, half))

    def lower() -> Image.Image:
        rows = picture.crop((left, top + half - more, right, bottom))
        return rows.resize((size, size // 2), Image.Resampling.BILINEAR, box=(0, more, side, more + half))

    halves = [_resizers.submit(part) for part in (upper, lower)]
    return np.concatenate([np.asarray(part.result()) for part in halves])


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Encode an RGB picture as a JPEG without metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def encode_to_keep(picture: Image.Image) -> bytes:
    """Encode a decoded picture that a visitor allows us to keep, without metadata and at most `KEPT_SIDE` pixels
    long."""
    return encode_jpeg(fit_within(picture.convert("RGB"), KEPT_SIDE), KEPT_QUALITY)


def read_encoded(source: EncodedSource, config: PictureConfig | None = None) -> bytes:
    """The bytes of an encoded picture, read from its file if a path is given.

    Raises:
        BadPicture: its file cannot be read or is empty, it is larger than any picture of the largest size, or `source`
            is something else.
    """
    config = config or PictureConfig()
    # Four bytes a pixel, and something for the header: a film among the pictures must not fill the memory.
    most = 4 * config.max_pixels + HEADER_BYTES
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if not isinstance(source, bytes | str | os.PathLike):
        kind = type(source).__name__
        raise BadPicture("not-a-picture", f"A picture is its bytes, its file's path or a PIL picture, not {kind}.")
    try:
        if not isinstance(source, bytes):
            with Path(source).open("rb") as file:
                source = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise BadPicture("no-file", "The picture's file cannot be read.") from error
    if not source:
        raise BadPicture("empty", "The picture is empty (0 bytes).")
    if len(source) > most:
        raise _too_large(config)
    return source


def _accept(data: bytes, config: PictureConfig) -> PictureFile:
    try:
        file = read_file(data)
    except BadPicture as error:
        if error.reason != "not-a-picture":
            raise
        raise _not_a_picture(config) from error
    if file.format not in config.formats:
        raise _not_a_picture(config)
    return file


def _open(file: PictureFile, config: PictureConfig) -> Image.Image:
    # Pillow warns about, and then refuses, big pictures by a process-wide limit; ours is explicit and checked
    # from the header, before any pixel is decoded.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(io.BytesIO(file.data), formats=[file.format])
        except (Image.DecompressionBombError, MemoryError):
            raise
        except Exception as error:
            raise _not_a_picture(config) from error


def _decode(data: bytes, config: PictureConfig) -> Image.Image:
    file = _accept(data, config)
    if file.format == "BMP":
        header = read_header(file.data)
        _check_size((header.width, header.height), config)
        return _flatten(decode_bitmap(file.data, header))
    with _open(file, config) as picture:
        _check_size(file.canvas or picture.size, config)
        if file.canvas:
            # A GIF's picture may be larger than it says.
            _check_size(picture.size, config)
        orientation = file.orientation
        if file.format == "AVIF":
            # Pillow writes the turn that the container tells as EXIF.
            orientation = _orientation_in(picture.info)
            picture = _stretch_alpha(picture)
        if file.end_is_ours:
            _check_scan(picture, file, config)
        elif file.format == "PNG":
            _check_rows(picture, file)
        flat = _lay_deep_on_white(picture, file, config) if file.transparent else _flatten(picture)
    if file.canvas and (file.canvas != flat.size or file.corner != (0, 0)):
        canvas = Image.new("RGB", file.canvas, BACKGROUND)
        canvas.paste(flat, file.corner)
        flat = canvas
    return _turn(flat, orientation)


def _check_scan(picture: Image.Image, file: PictureFile, config: PictureConfig) -> None:
    # A JPEG that lacks its end mark alone is whole: then what is put behind its last scan changes no pixel.
    with _open(replace(file, data=file.data[:-2] + _FILLING + file.data[-2:]), config) as filled:
        if filled.tobytes() != picture.tobytes():
            raise damaged()


def _check_rows(picture: Image.Image, file: PictureFile) -> None:
    # Pillow leaves rows that are not there at zero. Only where the last ones are is it worth counting.
    picture.load()
    last = np.asarray(picture.crop((0, picture.height - 2, *picture.size))).reshape(2, -1)
    if not last.any(axis=1).all() and not has_all_rows(file.data):
        raise damaged()


def _check_size(size: tuple[int, int], config: PictureConfig) -> None:
    if size[0] * size[1] > config.max_pixels:
        raise _too_large(config)
    if min(size) < config.min_side:
        raise BadPicture("too-small", f"The picture is only {size[0]} x {size[1]} pixels.")


def _orientation_of(picture: Image.Image) -> int:
    # Of a PIL picture, which somebody else has opened. Browsers show a WebP as it is stored.
    if picture.format == "WEBP":
        return 1
    picture.load()
    return _orientation_in(picture.info)


def _orientation_in(info: dict[Any, Any]) -> int:
    exif = info.get("exif")
    return read_orientation(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else 1


def _turn(picture: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return picture if method is None else _bare(picture.transpose(method))


def _flatten(picture: Image.Image) -> Image.Image:
    picture.load()
    if picture.mode in _DEEP_MODES:
        return Image.fromarray(_to_eight_bits(np.asarray(picture), picture)).convert("RGB")
    if picture.has_transparency_data:
        # In bands: beside the picture only a few rows are in memory several times.
        flat = Image.new("RGB", picture.size, BACKGROUND)
        for top in range(0, picture.height, BAND):
            rows = (0, top, picture.width, min(top + BAND, picture.height))
            layer = picture.crop(rows).convert("RGBA")
            ground = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
            flat.paste(Image.alpha_composite(ground, layer).convert("RGB"), (0, top))
        return flat
    # A decoded RGB picture is not copied: on a large photo that would cost as much as an eighth of decoding it.
    return _bare(picture._new(picture.im) if picture.mode == "RGB" else picture.convert("RGB"))


def _stretch_alpha(picture: Image.Image) -> Image.Image:
    # Chromium takes the transparency of an AVIF, which has no range of its own in the file, for one of 16 to 235.
    if picture.mode != "RGBA":
        return picture
    table = [min(max(round((value - 16) * 255 / 219), 0), 255) for value in range(256)]
    picture.putalpha(picture.getchannel("A").point(table))
    return picture


def _lay_deep_on_white(picture: Image.Image, file: PictureFile, config: PictureConfig) -> Image.Image:
    # A PNG of 16 bits whose transparent colour has 16 bits, too. Shown are the upper eight.
    picture.load()
    upper = np.asarray(picture)
    if picture.mode == "RGB":
        # Pillow keeps only the upper bytes of RGB. Read the other way round, it keeps the lower ones.
        with cast(ImageFile.ImageFile, _open(file, config)) as again:
            again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
            again.load()
            deep = upper.astype(np.uint16) << 8 | np.asarray(again)
        hidden = (deep == np.array(file.transparent, np.uint16)).all(axis=2)
        flat = upper.copy()
    else:
        hidden = upper == np.array(file.transparent, np.uint16)
        flat = np.repeat((upper >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    flat[hidden] = BACKGROUND
    return Image.fromarray(flat)


def _bare(picture: Image.Image) -> Image.Image:
    # Pillow keeps EXIF, comments and text chunks in `info`; our pictures must have none.
    picture.info = {}
    return picture


def _to_eight_bits(values: np.ndarray, picture: Image.Image) -> np.ndarray:
    # 16-bit greys span 0..65535; Pillow's own convert("L") would clip them all to white. What somebody made in memory
    # may hold 8-bit values in a deep mode.
    if picture.mode == "F" or (picture.format != "PNG" and values.max(initial=0) <= 255):
        return np.clip(values, 0, 255).astype(np.uint8)
    return (np.clip(values, 0, 65535).astype(np.uint32) >> 8).astype(np.uint8)


def _not_a_picture(config: PictureConfig) -> BadPicture:
    return BadPicture("not-a-picture", f"This is not a picture we can read ({', '.join(config.formats)}).")


def _too_large(config: PictureConfig) -> BadPicture:
    return BadPicture("too-large", f"The picture has more than {config.max_pixels // 1_000_000} million pixels.")
