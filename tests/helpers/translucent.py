"""Pictures that are half transparent, of every kind: each channel of each pixel meets another alpha."""

import random
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.helpers.picture_files import (
    GREY_ALPHA,
    PALETTE,
    RGB_ALPHA,
    SIGNATURE,
    bmp,
    chunk,
    encode,
    exif,
    noise,
    pack_passes,
    pack_rows,
    png_header,
)

# As the small network reads them: then the square of a picture is the picture.
SIDE = 64


def drawn(side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Random colours, RGBA; the alphas are all there are, one after the other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 4), np.uint8)
    pixels[:, :, 3] = np.arange(side * side).reshape(side, side) % 256
    return pixels


def pictures() -> Iterator[tuple[str, bytes]]:
    pixels = drawn()
    picture, rng = Image.fromarray(pixels), np.random.default_rng(1)
    yield "PNG RGBA", encode(picture, "PNG")
    yield "PNG LA", encode(picture.convert("LA"), "PNG")
    for orientation in (2, 3, 6, 8):
        yield f"PNG turned {orientation}", encode(picture, "PNG", exif=exif(orientation))
    yield "PNG in passes", png(RGB_ALPHA, pack_passes(pixels.reshape(SIDE, -1), 8, 4), interlaced=True)
    colors = chunk(b"PLTE", rng.bytes(768)) + chunk(b"tRNS", rng.bytes(256))
    yield "PNG P", png(PALETTE, pack_rows(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 256, 8), colors)
    key = np.asarray(picture.convert("RGB"))[3, 3].tolist()
    yield "PNG with a transparent colour", encode(picture.convert("RGB"), "PNG", transparency=tuple(key))
    yield "WEBP without loss", encode(picture, "WEBP", lossless=True, exact=True)
    yield "WEBP without loss, clean", encode(picture, "WEBP", lossless=True)
    yield "WEBP with loss", encode(picture, "WEBP", quality=80)
    yield "WEBP with EXIF", encode(picture, "WEBP", lossless=True, exif=exif(6))
    moving = [picture, Image.fromarray(drawn(seed=2))]
    yield "WEBP moving", encode(moving[0], "WEBP", save_all=True, append_images=moving[1:], lossless=True)
    yield "GIF", encode(picture.convert("RGB").quantize(64), "GIF", transparency=3)
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    yield "BMP", bmp((SIDE, SIDE), 32, pixels.tobytes(), compression=3, header=124, masks=masks)
    yield "PNG of photo size", encode(noise(random.Random(4), 900, 700, "RGBA"), "PNG")


def deep() -> Iterator[tuple[str, bytes]]:
    """Of 16 bits, which Firefox rounds to 8; Chromium and Python cut them."""
    for name, kind, channels in (("RGBA", RGB_ALPHA, 4), ("LA", GREY_ALPHA, 2)):
        values = np.random.default_rng(3).integers(0, 65536, (SIDE, SIDE * channels))
        yield f"PNG {name} of 16 bits", png(kind, pack_rows(values, 16), depth=16)


def png(kind: int, pixels: bytes, colors: bytes = b"", depth: int = 8, *, interlaced: bool = False) -> bytes:
    header = png_header(SIDE, SIDE, depth, kind, interlaced)
    return SIGNATURE + header + colors + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
