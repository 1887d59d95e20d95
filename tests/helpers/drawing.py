"""Small pictures drawn for the tests."""

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

KINDS = ("disc", "cross", "stripes")


def draw(kind: str, seed: int, size: tuple[int, int] = (180, 140)) -> Image.Image:
    """Draw a disc, a cross or stripes at a random place in random colours, on a noisy ground."""
    rng = random.Random(f"{kind}-{seed}")
    ground = tuple(rng.randrange(256) for _ in range(3))
    # Light and shade, as every photo has: perceptual hashes make no sense of flat colour.
    shade = Image.frombytes("RGB", (5, 5), rng.randbytes(75)).resize(size, Image.Resampling.BICUBIC)
    picture = Image.blend(Image.new("RGB", size, ground), shade, 0.4)
    pen = ImageDraw.Draw(picture)
    ink = tuple((channel + rng.randrange(90, 160)) % 256 for channel in ground)
    side = rng.randrange(50, 90)
    x, y = rng.randrange(size[0] - side), rng.randrange(size[1] - side)
    if kind == "disc":
        pen.ellipse((x, y, x + side, y + side), fill=ink)
    elif kind == "cross":
        third = side // 3
        pen.rectangle((x + third, y, x + 2 * third, y + side), fill=ink)
        pen.rectangle((x, y + third, x + side, y + 2 * third), fill=ink)
    else:
        step = rng.randrange(8, 16)
        for left in range(0, size[0], 2 * step):
            pen.rectangle((left, 0, left + step, size[1]), fill=ink)
    noise = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
    return Image.blend(picture, noise, 0.08).filter(ImageFilter.GaussianBlur(rng.random()))


def distant() -> list[Image.Image]:
    """Drawn pictures that are small parts of plain ones, each somewhere else."""
    pictures = []
    for number, kind in enumerate(KINDS * 2):
        ground = Image.new("RGB", (400 - 20 * number, 300 + 20 * number), (120, 130 - 9 * number, 120 + 9 * number))
        side = 110 + 7 * number
        ground.paste(draw(kind, number).resize((side, side)), (40 * number, 30 * number))
        pictures.append(ground)
    return pictures


def encode(picture: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def write_folder(root: Path, kinds: tuple[str, ...] = KINDS, count: int = 16, shrink: int = 1) -> Path:
    """Write `count` pictures of each kind into `root/<kind>/`, a `shrink`th as wide and high as they are drawn."""
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for seed in range(count):
            size = [(180, 140), (140, 180), (160, 160)][seed % 3]
            picture = draw(kind, seed, size).reduce(shrink)
            (root / kind / f"{seed:03}.jpg").write_bytes(encode(picture, quality=92))
    return root


def turned(picture: Image.Image, orientation: int, format_: str = "PNG", **options: object) -> bytes:
    """Encode `picture` so that a viewer which obeys EXIF `orientation` shows it as it is."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture.transpose(undo[orientation]) if orientation in undo else picture
    return encode(stored, format_, exif=exif, **options)
