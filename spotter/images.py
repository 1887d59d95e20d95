"""The one function that turns bytes into an upright 8-bit RGB picture. Training and the app both use it."""

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spotter.config import PictureConfig
from spotter.errors import BadPicture

# Starts no thread before it is used.
_resizers = ThreadPoolExecutor(2, thread_name_prefix="resize")

PictureSource = bytes | str | Path | Image.Image

BACKGROUND = (255, 255, 255)
PARALLEL_SIDE = 600
ORIENTATION = 0x0112
# Of pictures of visitors.
KEPT_SIDE, KEPT_QUALITY = 1024, 92
_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


def load_picture(source: PictureSource, config: PictureConfig | None = None) -> Image.Image:
    """Decode a picture to mode RGB, upright by its EXIF orientation, with alpha laid on white, first frame only.

    Args:
        source: encoded bytes, a file's path, or a PIL picture.
        config: limits; the defaults of `PictureConfig` when None.

    Returns:
        A new PIL picture of mode "RGB" without metadata; size (width, height) in pixels.

    Raises:
        BadPicture: empty, not one of the accepted formats, too many pixels, too small, truncated or corrupt.
    """
    config = config or PictureConfig()
    if isinstance(source, Image.Image):
        return _to_upright_rgb(source, config)
    data = Path(source).read_bytes() if isinstance(source, str | Path) else source
    if not data:
        raise BadPicture("empty", "The picture is empty (0 bytes).")
    with _open(data, config) as picture:
        if picture.format == "PNG":
            _check_sums(data, config)
        return _to_upright_rgb(picture, config)


def count_pixels(source: PictureSource) -> int:
    """How many pixels a picture has by its header; 0 when it cannot be told."""
    if isinstance(source, Image.Image):
        return source.width * source.height
    data = Path(source).read_bytes() if isinstance(source, str | Path) else source
    try:
        with _open(data, PictureConfig()) as picture:
            return picture.width * picture.height
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
    """Scale what the network sees of a picture to `size` pixels a side: fastai's `Resize` at inference, on PIL.

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
    """Encode a decoded picture that a visitor lets us keep, without metadata and at most `KEPT_SIDE` pixels long."""
    return encode_jpeg(fit_within(picture.convert("RGB"), KEPT_SIDE), KEPT_QUALITY)


def _open(data: bytes, config: PictureConfig) -> Image.Image:
    # Pillow warns about, and then refuses, big pictures by a process-wide limit; ours is explicit and checked
    # from the header, before any pixel is decoded.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(io.BytesIO(data), formats=config.formats)
        except Image.DecompressionBombError as error:
            raise _too_large(config) from error
        except (OSError, SyntaxError, ValueError, TypeError, EOFError, MemoryError) as error:
            raise BadPicture("not-a-picture", f"This is not a picture we can read ({_accepted(config)}).") from error


def _check_sums(data: bytes, config: PictureConfig) -> None:
    # While it decodes, Pillow skips the checksums of a PNG's pixels.
    try:
        _open(data, config).verify()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise BadPicture("corrupt", "The picture is damaged: its checksums do not fit.") from error


def _to_upright_rgb(picture: Image.Image, config: PictureConfig) -> Image.Image:
    if picture.width * picture.height > config.max_pixels:
        raise _too_large(config)
    if min(picture.size) < config.min_side:
        raise BadPicture("too-small", f"The picture is only {picture.width} x {picture.height} pixels.")
    try:
        picture.load()
        # exif_transpose parses EXIF, which a file may have broken in its own ways (struct.error is a ValueError
        # for none of them, so the list is long).
        turned = picture.getexif().get(ORIENTATION, 1) != 1
        return _flatten(ImageOps.exif_transpose(picture) if turned else picture)
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, MemoryError) as error:
        raise BadPicture("corrupt", "The picture is damaged or cut short and cannot be decoded.") from error


def _flatten(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP_MODES:
        return Image.fromarray(_to_eight_bits(np.asarray(picture), picture.mode)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return _bare(Image.alpha_composite(canvas, layer).convert("RGB"))
    # A decoded RGB picture is not copied: on a large photo that would cost as much as an eighth of decoding it.
    return _bare(picture._new(picture.im) if picture.mode == "RGB" else picture.convert("RGB"))


def _bare(picture: Image.Image) -> Image.Image:
    # Pillow carries EXIF, comments and text chunks along in `info`; a picture of ours has none.
    picture.info = {}
    return picture


def _to_eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    # 16-bit greys span 0..65535; Pillow's own convert("L") would clip them all to white.
    if mode == "F" or values.max(initial=0) <= 255:
        return np.clip(values, 0, 255).astype(np.uint8)
    return (np.clip(values, 0, 65535).astype(np.uint32) >> 8).astype(np.uint8)


def _too_large(config: PictureConfig) -> BadPicture:
    return BadPicture("too-large", f"The picture has more than {config.max_pixels // 1_000_000} million pixels.")


def _accepted(config: PictureConfig) -> str:
    return ", ".join(config.formats)
