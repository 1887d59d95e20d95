"""A visitor and the model see the same: what a real Chromium draws on white, beside the pixels of `load_picture`."""

import base64
import io
import random
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from spotter.images import load_picture
from tests.helpers.picture_files import (
    DEPTHS,
    SIGNATURE,
    animation,
    any_bmp,
    any_png_parts,
    chunk,
    encode,
    exif,
    noise,
    odd_gif,
    odd_jpeg,
    odd_png,
    odd_webp,
    png_parts,
    riff,
    webp_frame,
)

# Of 255. Browsers round differently when they lay a picture on white.
TOLERANCE = 2
DRAW = """async contents => {
    const draw = async content => {
        const image = new Image();
        image.src = `data:image/png;base64,${content}`;
        try { await image.decode(); } catch { return null; }
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.fillStyle = "white";
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.width, canvas.height, btoa(String.fromCharCode(...data))];
    };
    return Promise.all(contents.map(draw));
}"""


@pytest.fixture(scope="module")
def draw(browser: Browser) -> Iterator[object]:
    page = browser.new_page()

    def drawn(contents: list[bytes]) -> list[np.ndarray | None]:
        answers = page.evaluate(DRAW, [base64.b64encode(content).decode() for content in contents])
        return [
            answer and np.frombuffer(base64.b64decode(answer[2]), np.uint8).reshape(answer[1], answer[0], 4)[:, :, :3]
            for answer in answers
        ]

    yield drawn
    page.close()


def png_files(rng: random.Random) -> Iterator[bytes]:
    for kind, depths in DEPTHS.items():
        for depth in depths:
            for transparent in (False, True):
                yield from (png_parts(rng, kind, depth, transparent, number % 2 > 0).content for number in range(6))
    # Profiles are left out: a browser applies the whole ones.
    yield from (made.content for made in (odd_png(rng) for _ in range(150)) if b"iCCP" not in made.content)
    for block in (exif(orientation, order) for orientation in range(10) for order in "<>"):
        parts = any_png_parts(rng)
        yield SIGNATURE + parts.header + chunk(b"eXIf", block) + parts.colors + parts.pixels + chunk(b"IEND", b"")
    for _ in range(10):
        first, second, part = noise(rng, 12, 8), noise(rng, 12, 8), noise(rng, 5, 4)
        yield animation(first, first, (second, (0, 0)))
        yield animation(None, first, (second, (0, 0)), (part, (3, 2)))
        yield animation(None, first, (part, (rng.randrange(8), rng.randrange(5))))


def bmp_files(rng: random.Random) -> Iterator[bytes]:
    yield from (any_bmp(rng) for _ in range(400))
    yield from (encode(noise(rng, 11, 7).convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA"))


def webp_files(rng: random.Random) -> Iterator[bytes]:
    for mode in ("RGB", "RGBA"):
        for lossless in (False, True):
            for orientation in range(1, 9):
                picture, later = noise(rng, 13, 9, mode), noise(rng, 13, 9, mode)
                yield encode(picture, "WEBP", lossless=lossless, exif=exif(orientation))
                yield encode(picture, "WEBP", lossless=lossless, save_all=True, append_images=[later])
    for number in range(16):
        # The first frame covers a part of the canvas, whether transparency is announced or not.
        at, size = (2 * rng.randrange(4), 2 * rng.randrange(4)), bytes([19, 0, 0, 15, 0, 0])
        head = (b"VP8X", bytes([(0x02, 0x12)[number % 2], 0, 0, 0]) + size)
        yield riff(head, (b"ANIM", rng.randbytes(6)), webp_frame(noise(rng, 13, 9), at, lossless=number < 8))
    for made in (odd_webp(rng) for _ in range(100)):
        if b"ICCP" not in made.content and len(made.content) == int.from_bytes(made.content[4:8], "little") + 8:
            yield made.content


def avif_files(rng: random.Random) -> Iterator[bytes]:
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        for extent in ("full", "limited"):
            for quality in (60, 100):
                options = {"subsampling": subsampling, "range": extent, "quality": quality, "speed": 10}
                yield encode(noise(rng, 24, 17), "AVIF", **options)
                yield encode(noise(rng, 24, 17, "RGBA"), "AVIF", **options)
    for orientation in range(1, 9):
        yield encode(noise(rng, 24, 17), "AVIF", speed=10, exif=exif(orientation))
    for brand in (b"mif1", b"miaf", b"MA1B", b"heic"):
        content = encode(noise(rng, 24, 17), "AVIF", speed=10)
        yield content[:8] + brand + content[12:]


def gif_files(rng: random.Random) -> Iterator[bytes]:
    yield from (odd_gif(rng).clean for _ in range(60))
    for colors in (2, 16, 200):
        # Without its palette.
        content = encode(noise(rng, 12, 9).quantize(colors), "GIF")
        yield content[:10] + b"\0" + content[11:13] + content[13 + 3 * (2 << (content[10] & 7)) :]
    for _ in range(10):
        pictures = [noise(rng, 12, 9).quantize(9) for _ in range(3)]
        yield encode(pictures[0], "GIF", save_all=True, append_images=pictures[1:], transparency=2)


def jpeg_files(rng: random.Random) -> Iterator[bytes]:
    yield from (made.content for made in (odd_jpeg(rng) for _ in range(150)) if b"ICC_PROFILE" not in made.content)
    yield encode(noise(rng, 20, 20), "JPEG", keep_rgb=True)


MAKERS = {
    "PNG": png_files,
    "BMP": bmp_files,
    "WEBP": webp_files,
    "AVIF": avif_files,
    "GIF": gif_files,
    "JPEG": jpeg_files,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_browser_and_the_model_see_the_same_pixels(kind: str, draw) -> None:
    contents = list(MAKERS[kind](random.Random(kind)))
    wrong, shown = [], 0
    for number, (content, seen) in enumerate(zip(contents, draw(contents), strict=True)):
        if seen is None:
            continue
        shown += 1
        ours = np.asarray(load_picture(content))
        difference = np.abs(ours.astype(int) - seen).max() if ours.shape == seen.shape else ours.shape
        if ours.shape != seen.shape or difference > TOLERANCE:
            wrong.append((number, seen.shape, difference))
    assert not wrong
    assert shown > 0.9 * len(contents) > 25


def test_what_a_browser_shows_otherwise_is_known(draw) -> None:
    # Each of these stands in docs/concepts.md. When one of them agrees one day, the line there goes.
    rng = random.Random(1)
    picture, size = noise(rng, 16, 12), (16, 12)
    plain = encode(picture, "PNG")
    gamma = plain[:33] + chunk(b"gAMA", (100_000).to_bytes(4, "big")) + plain[33:]
    wide = plain[:33] + chunk(b"cICP", bytes([12, 13, 0, 1])) + plain[33:]
    moving = encode(picture, "AVIF", quality=100, save_all=True, append_images=[noise(rng, *size)])
    for content in (gamma, wide, moving):
        (seen,) = draw([content])
        assert np.abs(np.asarray(load_picture(content)).astype(int) - seen).max() > TOLERANCE
    with Image.open(io.BytesIO(plain)) as stored:
        assert np.array_equal(np.asarray(load_picture(gamma)), np.asarray(stored))
