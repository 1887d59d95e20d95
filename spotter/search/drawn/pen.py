"""The canvas, the pen and what it draws with: colours, lit fur and smooth outlines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Drawn twice as large and halved afterwards: Pillow's own edges are jagged.
OVERSAMPLING = 2
# At least the longest side of a picture.
TEXTURE_SIDE = 512
BALL_SIDE = 128

INK: Colour = (24, 20, 20)
WHITE: Colour = (250, 248, 242)
TAN: Colour = (196, 150, 104)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def vary(rng: Random, colour: Colour, spread: int = 12) -> Colour:
    shift = rng.randint(-spread, spread)
    red, green, blue = (min(255, max(0, c + shift + rng.randint(-spread // 2, spread // 2))) for c in colour)
    return red, green, blue


@dataclass(frozen=True)
class Coat:
    """A colour with its shadow and its light, and how hairy its outline is (in units of the pen)."""

    base: Colour
    dark: Colour
    light: Colour
    fuzz: float = 0.0
    plush: bool = False

    def shaded(self, share: float) -> "Coat":
        """The same coat further from the light."""
        dark, base, light = (mix(colour, INK, share) for colour in (self.dark, self.base, self.light))
        return Coat(base, dark, light, self.fuzz, self.plush)


def make_coat(base: Colour, fuzz: float = 0.0, plush: bool = False, light: Colour | None = None) -> Coat:
    return Coat(base, mix(base, INK, 0.6), light or mix(base, WHITE, 0.35), fuzz, plush)


@cache
def _ramp(coat: Coat) -> np.ndarray:
    steps = np.arange(256)
    channels = [
        np.interp(steps, (20, 130, 235), values) for values in zip(coat.dark, coat.base, coat.light, strict=True)
    ]
    return np.stack(channels, axis=1).astype(np.uint8)


@cache
def white_noise() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((TEXTURE_SIDE, TEXTURE_SIDE), dtype=np.float32)


@cache
def _texture(plush: bool) -> Image.Image:
    """Grey fur: leaning streaks for hair, small curls for plush."""
    noise = white_noise()
    for axis, length in enumerate((2, 2) if plush else (7, 1)):
        noise = np.sum([np.roll(noise, step, axis=axis) for step in range(-length, length + 1)], axis=0)
    grey = Image.fromarray(np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8))
    lean = (1, -0.27, TEXTURE_SIDE * 0.27, 0, 1, 0)
    tile = Image.fromarray(np.tile(np.asarray(grey), (1, 2)))
    return grey if plush else tile.transform(grey.size, Image.Transform.AFFINE, lean, Image.Resampling.BILINEAR)


@cache
def _ball() -> Image.Image:
    """Grey light on a ball, from above and a little from the left."""
    y, x = np.mgrid[0:BALL_SIDE, 0:BALL_SIDE] / (BALL_SIDE - 1)
    distance = np.hypot((x - 0.42) / 0.75, (y - 0.22) / 0.85)
    return Image.fromarray(np.clip(235 - 190 * distance**1.3, 0, 255).astype(np.uint8))


def palette(text: str) -> tuple[Colour, ...]:
    return tuple((int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in text.split())


def points_of(text: str) -> list[Point]:
    pairs = (word.split(",") for word in text.split())
    return [(float(x), float(y)) for x, y in pairs]


@cache
def _spline_weights(steps: int) -> np.ndarray:
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    return np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2


def _closed_curve(points: np.ndarray, steps: int = 10) -> np.ndarray:
    corners = points[(np.arange(len(points))[:, None] + (-1, 0, 1, 2)) % len(points)]
    return np.einsum("sk,nkd->nsd", _spline_weights(steps), corners).reshape(-1, 2)


class Stage:
    """The canvas, its sizes and the picture's own random numbers."""

    def __init__(self, rng: Random, width: int, height: int) -> None:
        self.rng = rng
        self.width, self.height = width, height
        self.canvas = Image.new("RGB", (width, height))
        self.draw = ImageDraw.Draw(self.canvas)

    def gradient(self, top: Colour, bottom: Colour, start: float = 0.0, stop: float = 1.0) -> None:
        """Fill the rows between two shares of the height with a vertical gradient."""
        first, last = round(start * self.height), round(stop * self.height)
        if last > first:
            column = Image.fromarray(np.linspace(top, bottom, last - first)[:, None].astype(np.uint8))
            self.canvas.paste(column.resize((self.width, last - first), Image.Resampling.NEAREST), (0, first))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, round_by: float = 0.0) -> None:
        """Fill a rectangle given in shares of the canvas."""
        corners = (left * self.width, top * self.height, right * self.width, bottom * self.height)
        self.draw.rounded_rectangle(corners, round_by * self.width, colour)

    def specks(self, count: int, start: float, sizes: tuple[float, float], colours: Sequence[Colour]) -> None:
        """Scatter flat ovals below a share of the height."""
        for _ in range(count):
            x, y = self.rng.random() * self.width, self.rng.uniform(start, 1) * self.height
            size = self.rng.uniform(*sizes)
            self.draw.ellipse((x, y, x + size, y + size * 0.75), fill=self.rng.choice(colours))

    def soften(self, factor: int) -> None:
        """Put everything drawn so far out of focus."""
        blurred = self.canvas.reduce(factor).filter(ImageFilter.BoxBlur(1))
        self.canvas.paste(blurred.resize(self.canvas.size, Image.Resampling.BILINEAR))


class Pen:
    """Draws in its own units: `matrix` (2 x 3) takes a point (x to the right, y down) to pixels."""

    def __init__(self, stage: Stage, matrix: np.ndarray) -> None:
        self.stage, self.matrix = stage, matrix
        self.scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def moved(self, x: float, y: float, scale: float = 1.0, tilt: float = 0.0) -> "Pen":
        """A pen whose origin is at (x, y), with larger units, turned by `tilt` degrees."""
        cos, sin = math.cos(math.radians(tilt)) * scale, math.sin(math.radians(tilt)) * scale
        linear = self.matrix[:, :2] @ np.array([[cos, -sin], [sin, cos]])
        return Pen(self.stage, np.column_stack([linear, self.at([(x, y)])[0]]))

    def at(self, points: Sequence[Point] | np.ndarray) -> np.ndarray:
        """The pixels of some points."""
        return np.asarray(points, dtype=float) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def blob(self, points: Sequence[Point] | np.ndarray, coat: Coat) -> None:
        """Fill the smooth closed curve through `points` with a lit, hairy coat."""
        outline = _closed_curve(self.at(points))
        if coat.fuzz:
            outline = self._hairy(outline, coat.fuzz * self.scale)
        low, high = outline.min(axis=0), outline.max(axis=0)
        corners = np.clip([np.floor(low), np.ceil(high)], 0, self.stage.canvas.size)
        # Fur is made at the final size; only outlines gain from oversampling.
        start, stop = np.floor(corners[0] / OVERSAMPLING), np.ceil(corners[1] / OVERSAMPLING)
        width, height = (stop - start).astype(int).tolist()
        if width < 1 or height < 1:
            return
        box = ((start * OVERSAMPLING - low) / (high - low), (stop * OVERSAMPLING - low) / (high - low))
        fur = Image.fromarray(np.take(_ramp(coat), self._light(box, (width, height), coat.plush), axis=0))
        size = (width * OVERSAMPLING, height * OVERSAMPLING)
        left, top = (start * OVERSAMPLING).astype(int).tolist()
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon((outline - (left, top)).ravel().tolist(), fill=255)
        self.stage.canvas.paste(fur.resize(size, Image.Resampling.NEAREST), (left, top), mask)

    def oval(self, x: float, y: float, rx: float, ry: float, coat: Coat, tilt: float = 0.0) -> None:
        """Fill an ellipse with a lit, hairy coat."""
        turn = math.radians(tilt)
        angles = np.linspace(0, 2 * math.pi, 10, endpoint=False)
        across, along = rx * np.cos(angles), ry * np.sin(angles)
        xs, ys = across * math.cos(turn) - along * math.sin(turn), across * math.sin(turn) + along * math.cos(turn)
        self.blob(np.column_stack([x + xs, y + ys]), coat)

    def limb(self, points: Sequence[Point], widths: Sequence[float], coat: Coat) -> None:
        """Fill a tube along `points`, `widths` being its radius at each."""
        spine = np.asarray(points, dtype=float)
        along = np.gradient(spine, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        normal = np.column_stack([-along[:, 1], along[:, 0]]) * np.asarray(widths)[:, None]
        ends = spine[0] - along[0] * widths[0] * 0.8, spine[-1] + along[-1] * widths[-1] * 0.8
        self.blob(np.vstack([ends[0], spine + normal, ends[1], (spine - normal)[::-1]]), coat)

    def dot(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill a flat, upright ellipse."""
        (left, top), reach = self.at([(x, y)])[0], self.scale
        box = (left - rx * reach, top - ry * reach, left + rx * reach, top + ry * reach)
        self.stage.draw.ellipse(box, fill=colour)

    def line(self, points: Sequence[Point] | np.ndarray, width: float, colour: Colour) -> None:
        """Draw a line through `points`."""
        pixels = [tuple(point) for point in self.at(points).tolist()]
        self.stage.draw.line(pixels, colour, max(2, round(width * self.scale)), joint="curve")

    def _hairy(self, outline: np.ndarray, reach: float) -> np.ndarray:
        following = np.roll(outline, -1, axis=0)
        gaps = np.linalg.norm(following - outline, axis=1)
        count = int(min(600, max(40, gaps.sum() / 5)))
        ends = np.concatenate([[0], np.cumsum(gaps)])
        places = np.linspace(0, ends[-1], count, endpoint=False)
        closed = np.vstack([outline, outline[:1]])
        dense = np.column_stack([np.interp(places, ends, closed[:, axis]) for axis in (0, 1)])
        along = np.roll(dense, -1, axis=0) - np.roll(dense, 1, axis=0)
        normal = np.column_stack([along[:, 1], -along[:, 0]]) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
        if np.dot(outline[:, 0], following[:, 1]) < np.dot(outline[:, 1], following[:, 0]):
            normal = -normal
        hair = np.array([self.stage.rng.random() for _ in range(count)]) * reach
        hair[::2] *= -0.3
        return dense + normal * hair[:, None]

    def _light(self, box: Sequence[np.ndarray], size: tuple[int, int], plush: bool) -> np.ndarray:
        """Grey light with fur on a part (`box`, in shares) of a ball as large as the whole shape."""
        (left, top), (right, bottom) = (np.clip(corner, 0, 1) * BALL_SIDE for corner in box)
        part = (min(left, BALL_SIDE - 1), min(top, BALL_SIDE - 1), max(right, 1), max(bottom, 1))
        ball = _ball().resize(size, Image.Resampling.BILINEAR, box=part)
        x, y = (self.stage.rng.randint(0, TEXTURE_SIDE - side) for side in size)
        return np.asarray(Image.blend(ball, _texture(plush).crop((x, y, x + size[0], y + size[1])), 0.4))
