"""What the browser's decoder gives to the network: the square that `load_picture` and `to_square` make in Python."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from spotter.errors import BadPicture
from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.publish.parity import parity_pictures
from tests.conftest import Revision
from tests.helpers import hostile, translucent
from tests.helpers.bad_pictures import bad_contents
from tests.helpers.drawing import draw, turned
from tests.helpers.picture_files import any_bmp, bmp, encode, exif, noise, odd_files
from tests.helpers.site import SitePage, ToldError, told_by

# Of 255. JPEGs of four inks are rounded in another way.
TOLERANCE = 2


def expected(content: bytes, predictor: Predictor) -> np.ndarray:
    return to_square(load_picture(content), predictor.card.size, predictor.card.resize)


def seen(api: SitePage, picture: bytes | np.ndarray, predictor: Predictor) -> np.ndarray:
    size = predictor.card.size
    return np.frombuffer(api.ask("square", picture), np.uint8).reshape(size, size, 3)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def test_pictures_of_the_gate(api: SitePage, prebuilt: Revision, predictor: Predictor) -> None:
    pictures = parity_pictures(sorted(prebuilt.pictures.rglob("*.jpg")))
    found = [difference(seen(api, content, predictor), expected(content, predictor)) for content in pictures]
    assert len(found) == 72
    assert max(found) <= TOLERANCE


def test_every_format_with_odd_metadata(api: SitePage, predictor: Predictor) -> None:
    rng = random.Random(3)
    made_by_code = [made for made in odd_files(140, 11) if made.kind not in {"TIFF", "AVIF"}]
    contents = [made.content for made in made_by_code]
    contents += [any_bmp(rng) for _ in range(40)]
    wrong, shown = [], 0
    for number, content in enumerate(contents):
        # The test of pixels knows which of these browsers do not show; they are few.
        try:
            found = seen(api, content, predictor)
        except ToldError:
            continue
        shown += 1
        if difference(found, expected(content, predictor)) > TOLERANCE:
            wrong.append(number)
    assert not wrong
    assert shown > 0.9 * len(contents)


def formats() -> Iterator[tuple[str, bytes]]:
    rng = random.Random(8)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        picture = hostile.deep_grey() if mode == "I;16" else noise(rng, 90, 61).convert(mode)
        yield f"PNG {mode}", encode(picture, "PNG")
    for mode in ("RGB", "L", "CMYK"):
        yield f"JPEG {mode}", encode(noise(rng, 90, 61).convert(mode), "JPEG", quality=90)
    # An AVIF that is transparent is left out: versions of Chromium differ in it. The test of pixels has it.
    for kind, mode in (("WEBP", "RGB"), ("WEBP", "RGBA"), ("AVIF", "RGB")):
        yield f"{kind} {mode}", encode(noise(rng, 90, 61, mode), kind, quality=90)
        yield f"{kind} {mode} turned", encode(noise(rng, 90, 61, mode), kind, quality=90, exif=exif(6))
    for orientation in range(1, 9):
        yield f"JPEG turned {orientation}", turned(draw("cross", orientation), orientation)
    moving = [noise(rng, 40, 30).quantize(16) for _ in range(3)]
    yield "GIF moving", encode(moving[0], "GIF", save_all=True, append_images=moving[1:], transparency=1)
    yield "WEBP moving", encode(noise(rng, 40, 30), "WEBP", save_all=True, append_images=[noise(rng, 40, 30)])
    yield "PNG moving", encode(noise(rng, 40, 30), "PNG", save_all=True, append_images=[noise(rng, 40, 30)])
    yield "BMP with an alpha of zero", encode(Image.new("RGBA", (30, 20), (200, 100, 50, 0)), "BMP")


FORMATS = list(formats())


@pytest.mark.parametrize(("name", "content"), FORMATS, ids=[name for name, _ in FORMATS])
def test_each_format(name: str, content: bytes, api: SitePage, predictor: Predictor) -> None:
    assert difference(seen(api, content, predictor), expected(content, predictor)) <= TOLERANCE


def test_half_transparent_pictures_are_those_of_pillow(api: SitePage, predictor: Predictor) -> None:
    wrong = set()
    for name, content in (*translucent.pictures(), *translucent.deep()):
        if difference(seen(api, content, predictor), expected(content, predictor)):
            wrong.add(name)
    assert wrong == set()


def test_a_profile_of_colours_is_left_alone(api: SitePage, predictor: Predictor) -> None:
    from PIL import ImageCms

    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    for kind, profile in (("JPEG", lab.tobytes()), ("PNG", lab.tobytes())):
        content = encode(draw("disc", 4), kind, icc_profile=profile)
        assert difference(seen(api, content, predictor), expected(content, predictor)) <= TOLERANCE


def test_raw_pixels_give_the_same_bytes(api: SitePage, predictor: Predictor) -> None:
    rng = np.random.default_rng(4)
    for width, height in ((120, 80), (61, 97), (64, 64), (700, 650)):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        assert difference(seen(api, pixels, predictor), to_square(Image.fromarray(pixels), 64)) == 0
        clear = rng.integers(0, 256, (height, width, 4), np.uint8)
        on_white = load_picture(Image.fromarray(clear))
        assert difference(seen(api, clear, predictor), to_square(on_white, 64)) == 0


def refusal(content: bytes) -> tuple[str, str]:
    """What Python says of a file."""
    try:
        load_picture(content)
    except BadPicture as error:
        return "BadPicture", error.reason
    return "", ""


HOSTILE = [
    ("a bomb of pixels", hostile.pixel_bomb()),
    ("a page", b"<!doctype html>"),
    ("a zip", hostile.zipped()),
    ("one pixel", encode(Image.new("RGB", (1, 40)), "PNG")),
    ("a huge GIF", hostile.gif((60_000, 60_000), (1, 1))),
    ("a GIF of one huge picture", hostile.gif((10, 10), (60_000, 60_000))),
    ("a GIF without a picture", hostile.gif((10, 10))),
    ("a damaged header", hostile.png_damaged_at(b"IHDR", 9)),
    ("damaged pixels", hostile.png_damaged_at(b"IDAT", -1)),
    ("a huge BMP", bmp((30_000, 30_000), 24, b"")),
    *[(f"a {kind}", hostile.obscure(kind)) for kind in ("PSD", "FITS", "EPS")],
]

BAD = [*HOSTILE, *bad_contents(5)]


@pytest.mark.parametrize(("name", "content"), BAD, ids=[name for name, _ in BAD])
def test_what_python_refuses_is_refused_for_the_same_reason(name: str, content: bytes, api: SitePage) -> None:
    assert refusal(content)[0] == "BadPicture"
    assert told_by(lambda: api.ask("classify", content)) == refusal(content)


def test_a_cut_file_is_refused_whatever_its_format(api: SitePage) -> None:
    rng = random.Random(2)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"):
        whole = encode(noise(rng, 200, 150), kind)
        for share in (0.3, 0.6, 0.9):
            cut = whole[: int(len(whole) * share)]
            # Pillow takes an AVIF without all its pixels for none.
            wanted = ("BadPicture", "corrupt") if kind == "AVIF" else refusal(cut)
            assert told_by(lambda cut=cut: api.ask("classify", cut)) == wanted, (kind, share)
            assert refusal(cut)[0] == "BadPicture"


def test_raw_pixels_that_are_none_are_refused(api: SitePage) -> None:
    wrong = np.zeros((10, 10, 5), np.uint8)
    assert told_by(lambda: api.ask("classify", wrong)) == ("BadPicture", "failed")
    assert told_by(lambda: api.ask("classify", np.zeros((1, 40, 3), np.uint8))) == ("BadPicture", "too-small")
