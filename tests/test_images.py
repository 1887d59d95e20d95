import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from spotter.config import PictureConfig
from spotter.errors import BadPicture
from spotter.images import encode_jpeg, fit_within, load_picture, to_square
from tests.helpers.drawing import draw, encode, turned

PICTURE = draw("disc", 1)


def reason_of(content: bytes, config: PictureConfig | None = None) -> str:
    with pytest.raises(BadPicture) as caught:
        load_picture(content, config)
    assert str(caught.value).endswith(".")
    return caught.value.reason


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_loads_to_the_same_pixels(orientation: int) -> None:
    loaded = load_picture(turned(PICTURE, orientation))
    assert np.array_equal(np.asarray(loaded), np.asarray(PICTURE))


@pytest.mark.parametrize("source", ["bytes", "path", "str", "pil"])
def test_sources_give_the_same_picture(source: str, tmp_path) -> None:
    content = turned(PICTURE, 6)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    value = {"bytes": content, "path": path, "str": str(path), "pil": Image.open(path)}[source]
    assert np.array_equal(np.asarray(load_picture(value)), np.asarray(PICTURE))


@pytest.mark.parametrize(
    ("mode", "format_"),
    [
        ("L", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "GIF"),
        ("1", "PNG"),
        ("CMYK", "JPEG"),
        ("RGB", "WEBP"),
        ("RGB", "BMP"),
    ],
)
def test_modes_become_rgb(mode: str, format_: str) -> None:
    loaded = load_picture(encode(PICTURE.convert(mode), format_))
    assert (loaded.mode, loaded.size, loaded.info) == ("RGB", PICTURE.size, {})


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert load_picture(encode(clear, "PNG")).getpixel((3, 3)) == (255, 255, 255)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30] * 256)
    assert load_picture(encode(palette, "PNG", transparency=0)).getpixel((3, 3)) == (255, 255, 255)


def test_sixteen_bit_greys_keep_their_shades() -> None:
    ramp = (np.arange(256, dtype=np.uint16)[None].repeat(4, 0) * 257).astype(np.uint16)
    loaded = load_picture(encode(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(np.asarray(loaded)[0, :, 0], np.arange(256))


def test_only_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_picture(content).getpixel((4, 4)) == (254, 0, 0) or load_picture(content).getpixel((4, 4)) == (
        255,
        0,
        0,
    )


def test_a_multi_picture_jpeg_gives_its_first_picture() -> None:
    content = encode(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", (3000, 2000))])
    assert load_picture(content).size == PICTURE.size


def test_metadata_is_gone() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    loaded = load_picture(encode(PICTURE, exif=exif, comment=b"secret note"))
    again = encode_jpeg(loaded, 95)
    assert b"secret" not in again
    assert not Image.open(io.BytesIO(again)).getexif()


def test_bad_bytes_have_reasons() -> None:
    jpeg, png = encode(PICTURE), encode(PICTURE, "PNG")
    broken_crc = bytearray(png)
    broken_crc[len(png) // 2] ^= 0xFF
    assert reason_of(b"") == "empty"
    assert reason_of(b"<html><img src=x></html>") == "not-a-picture"
    assert reason_of(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>") == "not-a-picture"
    assert reason_of(jpeg[: len(jpeg) // 2]) == "corrupt"
    assert reason_of(bytes(broken_crc)) == "corrupt"
    assert reason_of(encode(Image.new("RGB", (1, 1)), "PNG")) == "too-small"
    assert reason_of(encode(PICTURE, "TIFF")) == "not-a-picture"
    assert reason_of(encode(PICTURE, "EPS")) == "not-a-picture"


def test_a_pixel_bomb_is_refused_from_its_header() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def bomb(side: int) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")

    assert reason_of(bomb(10_000)) == "too-large"
    assert reason_of(bomb(30_000)) == "too-large"
    assert reason_of(encode(PICTURE), PictureConfig(max_pixels=1000)) == "too-large"


@pytest.mark.parametrize(
    "size", [(400, 267), (267, 400), (224, 224), (97, 61), (1600, 1200), (300, 301), (1000, 224), (2201, 1801)]
)
@pytest.mark.parametrize("resize", ["crop", "squish", "pad"])
def test_a_square_is_what_fastai_makes(resize: str, size: tuple[int, int]) -> None:
    from fastai.vision.augment import Resize
    from fastai.vision.core import PILImage

    picture = draw("cross", 3, (200, 200)).resize(size)
    picture.paste(
        Image.frombytes("RGB", (60, 60), random.Random(1).randbytes(10800)), (size[0] // 2 - 30, size[1] // 2 - 30)
    )
    expected = Resize(224, method=resize, pad_mode="zeros")(PILImage.create(np.asarray(picture)), split_idx=1)
    assert np.array_equal(to_square(picture, 224, resize), np.asarray(expected))


def test_fit_within_shrinks_and_never_enlarges() -> None:
    assert fit_within(PICTURE, 90).size == (90, 70)
    assert fit_within(PICTURE, 500) is PICTURE
