"""Distribution shifts for the stress test: what cameras, weather and distance do to a picture, at two strengths each.

Names and order of strength follow the field's benchmark of common corruptions (ImageNet-C: Hendrycks and Dietterich,
Benchmarking neural network robustness to common corruptions and perturbations, ICLR 2019), where it has the kind. As
there, a shift is made of the square that the network sees. The views that a model learns from are others, in
`spotter.train.views`.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps, ImageStat

from spotter.train.views import Square, ViewKind, as_picture, pixel_values, recompress

STRENGTHS = (1, 2)
# The strengths are meant for squares of so many pixels a side, and grow with them.
SIDE = 224

# How much light the dark leaves, and how much of a picture fog hides, at each strength.
LIGHT, FOG = (0.4, 0.15), (0.45, 0.7)

Change = Callable[[Image.Image, np.random.Generator, int], Image.Image]


@dataclass(frozen=True)
class Shift:
    """One way in which real pictures differ from collected ones.

    `collect` says which pictures to collect when this one hurts. `family` is the kind of view that a model learns from
    which is most like it (see `spotter.train.views`); "" if none is. `keeps` is the share of all differences between
    pixels that it leaves at each strength, before it adds noise of its own.
    """

    name: str
    title: str
    collect: str
    family: str
    change: Change
    keeps: tuple[float, float] = (1.0, 1.0)

    def show(self, square: np.ndarray, strength: int, key: str) -> np.ndarray | None:
        """What `apply` gives; None if nothing of the picture is to be seen on it, whatever noise or text is."""
        if is_blank(square, self.keeps[strength - 1]):
            return None
        pixels = self.apply(square, strength, key)
        return None if is_blank(pixels) else pixels

    def apply(self, square: np.ndarray, strength: int, key: str) -> np.ndarray:
        """Shift what a network sees: uint8 (size, size, 3), and the same again.

        Args:
            strength: 1 (moderate) or 2 (strong).
            key: the same one (such as the SHA-256 of the picture) gives the same pixels again.
        """
        seed = zlib.crc32(f"{self.name}/{strength}/{key}".encode())
        picture = self.change(Image.fromarray(square), np.random.default_rng(seed), strength)
        return np.asarray(picture, dtype=np.uint8)


def _grey(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    return ImageEnhance.Color(picture).enhance((0.3, 0.0)[strength - 1])


def _dark(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    light, electrons = LIGHT[strength - 1], (60, 25)[strength - 1]
    values = pixel_values(picture) * light
    # What a sensor counts varies as the root of it, and reading it adds the same noise everywhere.
    return as_picture(values + _noise(rng, values.shape) * np.sqrt(values / electrons + 0.02**2))


def _infrared(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    fall, noise = ((0.6, 0.03), (0.9, 0.07))[strength - 1]
    values = pixel_values(ImageOps.autocontrast(picture.convert("L"), cutoff=1))
    rows, columns = np.ogrid[-1 : 1 : values.shape[0] * 1j, -1 : 1 : values.shape[1] * 1j]
    flash = 1.15 - fall * np.minimum(rows**2 + columns**2, 1.2)
    return as_picture(values * flash[..., None] + noise * _noise(rng, values.shape))


def _fog(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    share = FOG[strength - 1]
    values, cloud = pixel_values(picture), np.zeros(picture.size[::-1])
    for cells in (2, 4, 8):
        small = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        cloud += np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC)) / cells
    veil = (share + 0.25 * (cloud / cloud.max() - 0.5))[..., None]
    return as_picture(values * (1 - veil) + 0.82 * veil)


def _defocus(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    radius = _pixels(picture, (2.5, 5)[strength - 1])
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return _convolve(picture, rows**2 + columns**2 <= (radius + 0.5) ** 2)


def _motion(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    length, angle = 2 * _pixels(picture, (4, 8)[strength - 1]) + 1, rng.uniform(0, np.pi)
    kernel = np.zeros((length, length))
    for step in np.linspace(-1, 1, 4 * length) * (length // 2):
        kernel[round(length // 2 + step * np.sin(angle)), round(length // 2 + step * np.cos(angle))] = 1
    return _convolve(picture, kernel)


def _pixelate(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    side = (64, 40)[strength - 1]
    small = picture.resize((side, side), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def _jpeg(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    return recompress(picture, "JPEG", (12, 5)[strength - 1])


def _occlusion(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    share, side = (0.35, 0.5)[strength - 1], int(rng.integers(4))
    width, height = picture.size
    # As leaves or a wall in front: something of the picture's own colours, without shape.
    cover = picture.resize((6, 6), Image.Resampling.BOX).rotate(90 * int(rng.integers(1, 4)))
    values = pixel_values(cover.resize(picture.size, Image.Resampling.NEAREST)) * 0.6
    cover = as_picture(values + 0.05 * _noise(rng, values.shape))
    box = (
        (0, 0, width, round(height * share)),
        (0, round(height * (1 - share)), width, height),
        (0, 0, round(width * share), height),
        (round(width * (1 - share)), 0, width, height),
    )[side]
    covered = picture.copy()
    covered.paste(cover.crop(box), box[:2])
    return covered


def _far(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    times = (2, 4)[strength - 1]
    width, height = picture.size
    small = picture.resize((max(1, width // times), max(1, height // times)), Image.Resampling.BOX)
    # Surroundings of the picture's own colours.
    ground = small.resize((5, 5), Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)
    ground = as_picture(pixel_values(ground) + 0.03 * _noise(rng, (height, width, 1)))
    ground.paste(small, (int(rng.integers(width - small.width + 1)), int(rng.integers(height - small.height + 1))))
    return ground


def _tilt(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    if strength == 2:
        return picture.transpose((Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)[int(rng.integers(2))])
    angle = float(rng.uniform(20, 40) * rng.choice((-1, 1)))
    return picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=_mean_colour(picture))


def _drawing(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    if strength == 1:
        # A print: few colours, in dots.
        smooth = ImageOps.posterize(picture.filter(ImageFilter.MedianFilter(3)), 2)
        dots = np.indices(smooth.size[::-1]).sum(axis=0) % 3 == 0
        return as_picture(pixel_values(smooth) * np.where(dots, 0.85, 1.05)[..., None])
    # A pencil drawing: a picture divided by its blurred self.
    grey = picture.convert("L")
    smooth = grey.filter(ImageFilter.GaussianBlur(4))
    return as_picture(np.minimum(pixel_values(grey) / np.maximum(pixel_values(smooth), 0.02), 1) ** 2)


def _text(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    marked = picture.copy()
    draw, height = ImageDraw.Draw(marked), max(8, round(picture.height * (0.07, 0.13)[strength - 1]))
    font = ImageFont.load_default(max(6, height * 0.7))
    day, hour, warmth = int(rng.integers(1, 29)), int(rng.integers(24)), int(rng.integers(-9, 30))
    line = f" CAM{int(rng.integers(1, 20)):02}  2026-06-{day:02}  {hour:02}:47:10  {warmth}°C"
    edges = [picture.height - height] if strength == 1 else [picture.height - height, 0]
    for top in edges:
        draw.rectangle((0, top, picture.width, top + height), fill=(0, 0, 0))
        draw.text((0, top), line, fill=(255, 255, 255), font=font)
    return marked


def _cast(picture: Image.Image, rng: np.random.Generator, strength: int) -> Image.Image:
    most = (0.2, 0.4)[strength - 1]
    gains = 1 + most * np.array([(1, 0, -1), (-1, 0, 1), (-1, 1, -1), (1, -1, 1)])[int(rng.integers(4))]
    return as_picture(pixel_values(picture) * gains)


SHIFTS: dict[str, Shift] = {
    shift.name: shift
    for shift in (
        Shift("grey", "grey", "pictures without colour", "night", _grey),
        Shift("dark", "dark and noisy", "pictures taken at dusk and at night", "night", _dark, LIGHT),
        Shift("infrared", "infra-red flash", "pictures of a night camera", "night", _infrared),
        Shift(
            "fog",
            "fog, low contrast",
            "pictures in fog and rain, and through glass",
            "washed",
            _fog,
            (1 - FOG[0], 1 - FOG[1]),
        ),
        Shift("defocus", "out of focus", "pictures that are out of focus", "soft", _defocus),
        Shift("motion", "motion blur", "pictures of fast movement", "soft", _motion),
        Shift("low-resolution", "low resolution", "small pictures, and cut-outs of large ones", "soft", _pixelate),
        Shift("jpeg", "heavy JPEG compression", "pictures as messengers send them", "washed", _jpeg),
        Shift("hidden", "partly hidden", "pictures with something in front", "", _occlusion),
        Shift("far", "small and far away", "pictures taken from far away", "distant", _far),
        Shift("tilted", "tilted, upside down", "pictures at odd angles", "turned", _tilt),
        Shift("drawn", "drawn or printed", "drawings and prints", "", _drawing),
        Shift("text", "strips of text", "pictures with a strip of date and time", "", _text),
        Shift("cast", "colour cast", "pictures in coloured light", "washed", _cast),
    )
}


# All that the stress test makes of a picture: (name of the shift, strength).
GRID = tuple((name, strength) for name in SHIFTS for strength in STRENGTHS)
# A square whose pixels differ less than this (standard deviation, of 255) shows nothing any more.
LEAST_SPREAD = 1.0


def make_view(picture: Image.Image, square: Square, number: int, key: str) -> np.ndarray | None:
    """The shift of a number of `GRID` as a view of a picture; None if nothing is left to be seen."""
    name, strength = GRID[number]
    return SHIFTS[name].show(square(picture), strength, key)


def is_blank(pixels: np.ndarray, left: float = 1.0) -> bool:
    """Whether nothing is to be seen on a square, uint8 (size, size, 3), of whose differences this share is left: it is
    of one colour."""
    # From its histogram, ten times as fast as numpy from the pixels.
    return left * max(ImageStat.Stat(Image.fromarray(pixels)).stddev) < LEAST_SPREAD


# Views to judge by, never to learn from. The name changes with what a shift does.
STRESS = ViewKind("stress-2", make_view, lambda number, key: "/".join(map(str, GRID[number])), of_square=True)


def _convolve(picture: Image.Image, kernel: np.ndarray) -> Image.Image:
    """The mean of the pixels under a kernel of 0 and 1, the edges of the picture continued outwards."""
    values, reach = pixel_values(picture), kernel.shape[0] // 2
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), "edge")
    height, width = values.shape[:2]
    total = np.zeros_like(values)
    rows, columns = np.nonzero(kernel)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        total += padded[row : row + height, column : column + width]
    return as_picture(total / len(rows))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _pixels(picture: Image.Image, count: float) -> int:
    return max(1, round(count * picture.width / SIDE))


def _mean_colour(picture: Image.Image) -> tuple[int, int, int]:
    red, green, blue = np.asarray(picture.resize((1, 1), Image.Resampling.BOX))[0, 0].tolist()
    return red, green, blue
