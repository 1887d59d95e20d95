"""The drawn bears of the source `sample`.

Each picture depends only on its kind and its index. What tells the kinds apart is their shape (hump, face, ears,
claws, seams); colours, poses, scenes and light overlap on purpose, so that there is something to learn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

SIZES = ((400, 300), (420, 280), (384, 288), (300, 400), (288, 384), (340, 340), (320, 320), (440, 270), (360, 300))
# Drawn twice as large and halved afterwards: Pillow's own edges are jagged.
OVERSAMPLING = 2
# At least the longest side of a picture.
TEXTURE_SIDE = 512
BALL_SIDE = 128

INK: Colour = (24, 20, 20)
WHITE: Colour = (250, 248, 242)
TAN: Colour = (196, 150, 104)


def draw_picture(kind: str, index: int) -> Image.Image:
    """Draw picture number `index` of `kind` ("grizzly", "black" or "teddy"), always the same, in mode RGB."""
    rng = Random(f"{kind}-{index}")  # noqa: S311
    size = rng.choice(SIZES)
    stage = Stage(rng, size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    outdoors = rng.random() < (0.4 if kind == "teddy" else 0.8)
    floor = rng.choice(OUTDOORS if outdoors else INDOORS)(stage)
    if rng.random() < 0.5:
        stage.soften(rng.choice((3, 4, 6)))
    pose = rng.choice(POSES[kind])
    pen = _place(stage, pose, floor)
    if pose.grounded:
        _cast_shadow(stage, pen, pose)
    pose.draw(pen, _make_look(kind, rng))
    if pose.grounded and rng.random() < 0.45:
        rng.choice(COVERS_OUTDOORS if outdoors else COVERS_INDOORS)(stage, pen, pose)
    return _expose(stage.canvas.reduce(OVERSAMPLING), rng)


# --- Colours and textures ---------------------------------------------------------------------------------------------


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _vary(rng: Random, colour: Colour, spread: int = 12) -> Colour:
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
        dark, base, light = (_mix(colour, INK, share) for colour in (self.dark, self.base, self.light))
        return Coat(base, dark, light, self.fuzz, self.plush)


def _coat(base: Colour, fuzz: float = 0.0, plush: bool = False, light: Colour | None = None) -> Coat:
    return Coat(base, _mix(base, INK, 0.6), light or _mix(base, WHITE, 0.35), fuzz, plush)


@cache
def _ramp(coat: Coat) -> np.ndarray:
    steps = np.arange(256)
    channels = [
        np.interp(steps, (20, 130, 235), values) for values in zip(coat.dark, coat.base, coat.light, strict=True)
    ]
    return np.stack(channels, axis=1).astype(np.uint8)


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((TEXTURE_SIDE, TEXTURE_SIDE), dtype=np.float32)


@cache
def _texture(plush: bool) -> Image.Image:
    """Grey fur: leaning streaks for hair, small curls for plush."""
    noise = _noise()
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


# --- The pen ----------------------------------------------------------------------------------------------------------


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


# --- Bears ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What one bear looks like; a kind chooses from its own range."""

    kind: str
    coat: Coat
    muzzle: Coat
    accent: Colour
    ornament: str = ""

    @property
    def hump(self) -> bool:
        return self.kind == "grizzly"


@dataclass(frozen=True)
class Pose:
    """How a bear is drawn: its extent in units above the origin, and whether it stands on the floor."""

    draw: Callable[[Pen, Look], None]
    width: float
    height: float
    grounded: bool = True


def _palette(text: str) -> tuple[Colour, ...]:
    return tuple((int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in text.split())


def _points(text: str) -> list[Point]:
    pairs = (word.split(",") for word in text.split())
    return [(float(x), float(y)) for x, y in pairs]


def _mirrored(text: str) -> list[Point]:
    """A whole outline from its right half, which begins and ends on the axis."""
    half = _points(text)
    return [*half, *((-x, y) for x, y in half[-2:0:-1])]


COATS = {
    "grizzly": _palette("805836 62422a 9a7048 b28a5e 4a3426 3a2c24"),
    "black": _palette("282426 1e1d21 342a26 2c282c 4c3426 7a4e2e"),
    "teddy": _palette("e6d4b2 c89458 7c5032 e4a0ae 989698 302d30 523828 aa7e56"),
}
ACCENTS = _palette("be2e32 345ca8 e2b23c 468454 965496 f0ece2")
ORNAMENTS = ("", "bow", "bow", "jumper", "scarf", "patch")

WALK_BODY = {
    "grizzly": _points(
        "-2.3,-3.9 -1.5,-4.9 -0.7,-5.15 0.2,-4.75 1.2,-4.25 2.8,-4.4 4.1,-4 4.7,-2.9 4.3,-1.7 3,-1.5 1,-1.4 -1,-1.35 "
        "-2.1,-1.8 -2.6,-2.8"
    ),
    "black": _points(
        "-2.3,-3.7 -1.4,-4.05 0,-4.05 1.4,-4.25 2.9,-4.5 4.1,-4 4.6,-2.9 4.2,-1.8 3,-1.6 1,-1.55 -1,-1.5 -2.1,-1.9 "
        "-2.6,-2.8"
    ),
}
PROFILE = {
    "grizzly": _points(
        "0.3,-1.1 -0.5,-1.3 -1.1,-1.05 -1.4,-0.5 -1.8,-0.16 -2.35,-0.16 -2.6,0.1 -2.4,0.48 -1.8,0.7 -0.9,1.05 "
        "0.2,1.4 1,1.2 1.1,-0.4"
    ),
    "black": _points(
        "0.3,-1 -0.5,-1.08 -1.1,-0.86 -1.7,-0.5 -2.3,-0.16 -2.75,0.06 -2.8,0.34 -2.4,0.6 -1.8,0.76 -0.9,1 0.2,1.3 "
        "1,1.2 1.1,-0.4"
    ),
}
PROFILE_MUZZLE = {
    "grizzly": _points("-1.65,-0.2 -2.3,-0.12 -2.5,0.12 -2.3,0.42 -1.8,0.62 -1.4,0.3"),
    "black": _points("-1.45,-0.55 -2.2,-0.18 -2.68,0.08 -2.7,0.34 -2.3,0.56 -1.7,0.68 -1.25,0.2"),
}
FACE = {
    "grizzly": _mirrored("0,-0.86 0.5,-0.8 0.92,-0.42 1.12,0.12 0.9,0.6 0.45,0.92 0,1"),
    "black": _mirrored("0,-0.9 0.42,-0.82 0.7,-0.4 0.82,0.1 0.64,0.62 0.36,0.98 0,1.08"),
}
FACE_BRIDGE = {
    # The grizzly's dish is a shaded hollow that the muzzle rises from; the black bear's muzzle runs straight up.
    "grizzly": _mirrored("0,-0.3 0.2,-0.22 0.3,0.05 0.32,0.35 0,0.5"),
    "black": _mirrored("0,-0.3 0.16,-0.2 0.3,0.2 0.4,0.55 0.28,0.88 0,0.98"),
}
MOUTH = _points("-0.24,0.04 -0.12,0.08 0,0 0.12,0.08 0.24,0.04")


def _make_look(kind: str, rng: Random) -> Look:
    accent = _vary(rng, rng.choice(ACCENTS))
    base = _vary(rng, rng.choice(COATS[kind]), 8 if kind == "black" else 12)
    if kind == "teddy":
        pad = _mix(base, WHITE if rng.random() < 0.7 else INK, 0.45)
        return Look(kind, _coat(base, 0.045, plush=True), _coat(pad, 0.02, plush=True), accent, rng.choice(ORNAMENTS))
    if kind == "grizzly":
        tips = _mix(base, (226, 200, 160), rng.uniform(0.3, 0.75))
        return Look(kind, _coat(base, 0.085, light=tips), _coat(_mix(base, TAN, rng.uniform(0, 0.65)), 0.03), accent)
    muzzle = _coat(_mix(base, TAN, rng.uniform(0.4, 1.0)), 0.03)
    chest = "blaze" if rng.random() < 0.25 else ""
    return Look(kind, _coat(base, 0.07, light=_mix(base, (150, 150, 165), 0.4)), muzzle, accent, chest)


def _walk(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    stride = rng.uniform(-0.8, 0.8)
    far = look.coat.shaded(0.45)
    _leg(pen, look, far, (-1.2, -2.6), -1.2 - stride)
    _leg(pen, look, far, (3.2, -2.6), 3.2 + stride, hind=True)
    trunk = pen.moved(0, -0.4)
    trunk.blob(WALK_BODY[look.kind], look.coat)
    if look.hump:
        _grizzle(trunk, look)
    near = look.coat.shaded(0.08)
    _leg(pen, look, near, (3.6, -3.0), 3.7 - stride, hind=True)
    _leg(pen, look, near, (-1.5, -3.0), -1.6 + stride)
    lowered = rng.choice((-6, 0, 8, 22))
    _profile(trunk.moved(-2.5, -3.3 + lowered * 0.02, 1.0, -lowered), look)


def _leg(pen: Pen, look: Look, coat: Coat, hip: Point, foot: float, hind: bool = False) -> None:
    (x, y), knee = hip, (0.35 if hind else -0.1)
    middle = ((x + foot) / 2 + knee, y / 2 - 0.1)
    pen.limb([(x, y), middle, (foot, -0.4)], (1.0 if hind else 0.8, 0.58, 0.46), coat)
    pen.oval(foot - 0.25, -0.28, 0.66, 0.32, coat)
    _claws(pen, look, foot - 0.62, -0.14, 0.34, (-0.34, 0.1))


def _claws(pen: Pen, look: Look, x: float, y: float, span: float, reach: Point) -> None:
    size, colour = (1.0, (226, 212, 184)) if look.kind == "grizzly" else (0.4, (70, 62, 58))
    for place in (-1, -0.33, 0.33, 1):
        root = (x + place * span * 0.6, y)
        pen.line([root, (root[0] + reach[0] * size, y + reach[1] * size)], 0.07, colour)


def _grizzle(pen: Pen, look: Look) -> None:
    """Pale tips of hair over the hump and the back."""
    rng, pale = pen.stage.rng, _mix(look.coat.light, WHITE, 0.25)
    for _ in range(90):
        x = rng.gauss(0.0, 1.5)
        ridge = -4.3 - 0.75 * math.exp(-(((x + 0.8) / 1.0) ** 2))
        y = ridge + 0.25 + abs(rng.gauss(0, 0.4))
        if -1.9 < x < 4.0:
            pen.line([(x, y), (x + 0.22, y + 0.16)], 0.03, _mix(look.coat.base, pale, rng.random()))


def _profile(pen: Pen, look: Look) -> None:
    """The head from the side; the origin is inside the neck."""
    tip, height = (-2.45, 0.06) if look.kind == "grizzly" else (-2.66, 0.14)
    _profile_ear(pen.moved(-0.42, -1.18), look, look.coat.shaded(0.4))
    pen.blob(PROFILE[look.kind], look.coat)
    pen.blob(PROFILE_MUZZLE[look.kind], look.muzzle)
    _profile_ear(pen.moved(0.12, -1.08), look, look.coat)
    pen.oval(tip, height, 0.22, 0.19, _coat(INK))
    pen.line([(tip + 0.05, 0.3), (tip + 0.35, 0.42), (-1.5, 0.38)], 0.05, INK)
    _eye(pen, -1.12, -0.42, 0.12)


def _profile_ear(pen: Pen, look: Look, coat: Coat) -> None:
    rx, ry = (0.36, 0.34) if look.kind == "grizzly" else (0.28, 0.5)
    pen.oval(0, -ry * 0.4, rx, ry, coat, tilt=12)
    pen.oval(-0.05, -ry * 0.35, rx * 0.5, ry * 0.55, _coat(_mix(look.coat.base, INK, 0.45)), tilt=12)


def _eye(pen: Pen, x: float, y: float, size: float) -> None:
    pen.dot(x, y, size * 1.25, size * 1.15, (58, 40, 30))
    pen.dot(x, y, size, size, (12, 10, 10))
    pen.dot(x - size * 0.3, y - size * 0.35, size * 0.32, size * 0.32, WHITE)


def _face(pen: Pen, look: Look) -> None:
    """The head of a wild bear from the front, about one unit in radius."""
    grizzly = look.kind == "grizzly"
    x, y, rx, ry, eye = (0.82, -0.68, 0.25, 0.25, 0.4) if grizzly else (0.56, -0.92, 0.22, 0.36, 0.32)
    for side in (-1, 1):
        pen.oval(side * x, y, rx, ry, look.coat, tilt=side * 16)
        pen.oval(side * x, y + 0.04, rx * 0.6, ry * 0.65, _coat(_mix(look.coat.base, INK, 0.5), 0.02), tilt=side * 16)
    pen.blob(FACE[look.kind], look.coat)
    shade = _coat(_mix(look.coat.base, INK, 0.25), 0.02, light=_mix(look.coat.base, INK, 0.1))
    pen.blob(FACE_BRIDGE[look.kind], shade if grizzly else look.muzzle)
    if grizzly:
        pen.oval(0, 0.5, 0.44, 0.38, look.muzzle)
    for side in (-1, 1):
        pen.oval(side * eye, -0.1, 0.16, 0.13, shade, tilt=side * 20)
        _eye(pen, side * eye, -0.08, 0.085)
    pen.oval(0, 0.36, 0.21, 0.15, _coat(INK, light=(120, 116, 120)))
    pen.line([(0, 0.46), (0, 0.64)], 0.035, INK)
    pen.moved(0, 0.64).line(MOUTH, 0.035, INK)


def _sit(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    if look.hump:
        pen.oval(0, -4.6, 1.9, 1.0, look.coat)
    pen.blob(_mirrored("0,-4.9 1.2,-4.5 1.75,-3.2 2.1,-1.5 1.6,-0.25 0,-0.1"), look.coat.shaded(0.15))
    _blaze(pen.moved(0, -3.6), look)
    for side in (-1, 1):
        pen.oval(side * 1.75, -0.95, 0.95, 0.92, look.coat)
        pen.oval(side * 2.0, -0.4, 0.62, 0.42, look.coat)
        _claws(pen, look, side * 2.1, -0.3, 0.5, (0, 0.34))
        paw = side * (0.75 + rng.uniform(-0.1, 0.15))
        pen.limb([(side * 1.15, -3.8), (side * 1.1, -2), (paw, -0.4)], (0.68, 0.58, 0.46), look.coat)
        pen.oval(paw, -0.28, 0.52, 0.34, look.coat)
        _claws(pen, look, paw, -0.14, 0.4, (0, 0.32))
    _face(pen.moved(rng.uniform(-0.2, 0.2), -5.2, 1.35, rng.uniform(-12, 12)), look)


def _blaze(pen: Pen, look: Look) -> None:
    if look.ornament == "blaze":
        pen.blob(_points("-0.6,0 0,0.5 0.6,0 0.15,0.9 -0.15,0.9"), _coat((220, 206, 176), 0.05))


def _stand(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    if look.hump:
        pen.oval(0, -5.9, 1.75, 0.95, look.coat)
    for side in (-1, 1):
        pen.limb([(side * 0.85, -2.4), (side * 0.95, -1.2), (side * 0.95, -0.4)], (0.95, 0.8, 0.6), look.coat)
        pen.oval(side * 1.1, -0.3, 0.72, 0.36, look.coat)
        _claws(pen, look, side * 1.2, -0.14, 0.5, (0, 0.32))
    pen.blob(_mirrored("0,-6.3 1.1,-6 1.5,-4.7 1.8,-3 1.5,-1.6 0,-1.2"), look.coat)
    _blaze(pen.moved(0, -5.2), look)
    for side in (-1, 1):
        lift = rng.choice((0.0, 0.4, 1.6))
        hand = (side * (2.0 + lift * 0.2), -3.2 - lift)
        pen.limb([(side * 1.2, -5.5), (side * 1.85, -4.5 + lift * 0.2), hand], (0.6, 0.55, 0.44), look.coat)
        _claws(pen, look, hand[0], hand[1] + 0.4, 0.45, (0, 0.36))
    _face(pen.moved(0, -6.7, 1.25, rng.uniform(-10, 10)), look)


def _face_close(pen: Pen, look: Look) -> None:
    if look.hump:
        pen.oval(0, -0.55, 2.1, 1.5, look.coat.shaded(0.2))
    pen.blob(_mirrored("0,-1.6 1.2,-1.2 2,0.4 2.4,2.4 0,2.6"), look.coat.shaded(0.1))
    _face(pen.moved(0, -1.3, 1.35, pen.stage.rng.uniform(-10, 10)), look)


def _profile_close(pen: Pen, look: Look) -> None:
    _walk(pen.moved(2.6, 3.2), look)


# --- Teddy bears ------------------------------------------------------------------------------------------------------


def _teddy_face(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    for side in (-1, 1):
        pen.oval(side * 0.8, -0.72, 0.42, 0.42, look.coat)
        pen.oval(side * 0.8, -0.68, 0.26, 0.26, look.muzzle)
    pen.oval(0, 0, 1.08, rng.uniform(0.92, 1.0), look.coat)
    pen.oval(0, 0.36, 0.46, 0.38, look.muzzle)
    thread = INK if sum(look.muzzle.base) > 240 else WHITE
    _stitches(pen, (0, -0.9), (0, -0.05), _mix(look.coat.base, thread, 0.5))
    apart, size = rng.uniform(0.34, 0.44), rng.uniform(0.1, 0.14)
    for side in (-1, 1):
        # Buttons need a rim to be seen on a dark coat.
        pen.dot(side * apart, -0.08, size * 1.25, size * 1.25, _mix(look.coat.base, WHITE, 0.3))
        pen.dot(side * apart, -0.08, size, size, INK)
        pen.dot(side * apart - size * 0.35, -0.08 - size * 0.35, size * 0.35, size * 0.35, WHITE)
    pen.blob(_points("-0.17,0.14 0,0.11 0.17,0.14 0.1,0.27 0,0.33 -0.1,0.27"), _coat(INK))
    pen.line([(0, 0.3), (0, 0.48)], 0.04, thread)
    pen.moved(0, 0.48).line(MOUTH, 0.04, thread)


def _stitches(pen: Pen, start: Point, stop: Point, colour: Colour) -> None:
    ends = np.array([start, stop])
    for share in np.linspace(0, 0.9, 7).tolist():
        dash = [(1 - s) * ends[0] + s * ends[1] for s in (share, share + 0.07)]
        pen.line(np.array(dash), 0.035, colour)


def _paw_pad(pen: Pen, x: float, y: float, size: float, look: Look) -> None:
    pen.oval(x, y + size * 0.15, size * 0.5, size * 0.42, look.muzzle)
    for place in (-0.42, 0, 0.42):
        pen.oval(x + place * size, y - size * (0.5 - abs(place) * 0.35), size * 0.16, size * 0.18, look.muzzle)


def _teddy_body(pen: Pen, look: Look, y: float, rx: float, ry: float) -> Coat:
    """The trunk with what it wears; returns the coat of the arms."""
    trunk = pen.moved(0, y)
    if look.ornament == "jumper":
        wool = _coat(look.accent, 0.03, plush=True)
        trunk.oval(0, 0, rx, ry, wool)
        for row in (-0.45, -0.1, 0.25):
            stripe = [(-rx * 0.85, row * ry), (0, row * ry + 0.18), (rx * 0.85, row * ry)]
            trunk.line(stripe, 0.12, _mix(look.accent, WHITE if sum(look.accent) < 600 else INK, 0.6))
        return wool
    trunk.oval(0, 0, rx, ry, look.coat)
    if look.ornament == "patch":
        trunk.oval(0, ry * 0.15, rx * 0.62, ry * 0.66, look.muzzle)
    _stitches(trunk, (0, -ry * 0.6), (0, ry * 0.8), _mix(look.coat.base, INK, 0.55))
    return look.coat


def _neckwear(pen: Pen, look: Look) -> None:
    cloth = _coat(look.accent)
    if look.ornament == "bow":
        for side in (-1, 1):
            pen.blob([(0, 0), (side * 0.8, -0.5), (side, 0), (side * 0.8, 0.5)], cloth)
        pen.oval(0, 0, 0.26, 0.26, cloth.shaded(0.25))
    elif look.ornament == "scarf":
        pen.limb([(0.6, 0.1), (0.75, 1.0), (0.7, 1.6)], (0.28, 0.3, 0.32), cloth.shaded(0.15))
        pen.limb([(-1.25, -0.15), (0, 0.2), (1.25, -0.15)], (0.32, 0.34, 0.32), cloth)


def _teddy_arm(pen: Pen, look: Look, sleeve: Coat, shoulder: Point, drop: float) -> None:
    x, y = shoulder
    hand = (x * 1.9, y + drop)
    pen.limb([shoulder, (x * 1.6, y + drop * 0.4), hand], (0.55, 0.58, 0.5), sleeve)
    pen.oval(*hand, 0.52, 0.52, look.coat)
    pen.oval(hand[0], hand[1] + 0.02, 0.28, 0.3, look.muzzle)


def _teddy_sit(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    sleeve = _teddy_body(pen, look, -2.1, 1.65, 1.95)
    spread = rng.uniform(1.3, 1.7)
    for side in (-1, 1):
        pen.limb([(side * 0.9, -0.9), (side * spread, -0.75)], (0.8, 0.75), look.coat.shaded(0.12))
        pen.oval(side * spread, -0.82, 0.8, 0.84, look.coat)
        _paw_pad(pen, side * spread, -0.82, 0.8, look)
        _teddy_arm(pen, look, sleeve, (side * 1.15, -3.3), rng.choice((-1.4, 0.6, 1.5, 1.6)))
    head = pen.moved(0, -5.0, 1.7, rng.uniform(-14, 14))
    _teddy_face(head, look)
    bow_on_ear = look.ornament == "bow" and rng.random() < 0.3
    _neckwear(head.moved(0.75, -0.72, 0.5, 24) if bow_on_ear else pen.moved(0, -3.2), look)


def _teddy_stand(pen: Pen, look: Look) -> None:
    rng = pen.stage.rng
    for side in (-1, 1):
        pen.limb([(side * 0.75, -1.8), (side * 0.85, -0.55)], (0.75, 0.65), look.coat.shaded(0.08))
        pen.oval(side * 0.95, -0.38, 0.78, 0.42, look.coat)
    sleeve = _teddy_body(pen, look, -2.9, 1.5, 1.75)
    for side in (-1, 1):
        _teddy_arm(pen, look, sleeve, (side * 1.15, -3.9), rng.choice((-1.3, 0.3, 1.5)))
    _teddy_face(pen.moved(0, -5.6, 1.6, rng.uniform(-12, 12)), look)
    _neckwear(pen.moved(0, -3.95), look)


def _teddy_lean(pen: Pen, look: Look) -> None:
    _teddy_sit(pen.moved(0, -0.2, 0.95, pen.stage.rng.choice((-24, -15, 15, 24))), look)


def _teddy_close(pen: Pen, look: Look) -> None:
    _teddy_body(pen, look, 2.2, 2.0, 1.9)
    _teddy_face(pen.moved(0, -1.1, 1.7, pen.stage.rng.uniform(-12, 12)), look)
    _neckwear(pen.moved(0, 0.75, 1.15), look)


WILD_POSES = (
    Pose(_walk, 10.5, 6.0),
    Pose(_walk, 10.5, 6.0),
    Pose(_sit, 5.8, 6.9),
    Pose(_stand, 5.6, 8.4),
    Pose(_face_close, 4.4, 4.6, grounded=False),
    Pose(_profile_close, 6.0, 4.2, grounded=False),
)
TEDDY_POSES = (
    Pose(_teddy_sit, 5.8, 7.2),
    Pose(_teddy_sit, 5.8, 7.2),
    Pose(_teddy_stand, 5.6, 7.6),
    Pose(_teddy_lean, 6.8, 7.2),
    Pose(_teddy_close, 4.8, 4.8, grounded=False),
)
POSES = {"grizzly": WILD_POSES, "black": WILD_POSES, "teddy": TEDDY_POSES}


def _place(stage: Stage, pose: Pose, floor: float) -> Pen:
    """A pen that puts the pose somewhere sensible, large or small, facing left or right."""
    rng = stage.rng
    room = (stage.width * 0.94 / pose.width, stage.height * 0.88 / pose.height)
    scale = min(room) * (rng.uniform(0.5, 1.0) if pose.grounded else rng.uniform(0.85, 1.1))
    slack = max(0.0, stage.width - scale * pose.width) / 2
    x = stage.width / 2 + rng.uniform(-1, 1) * min(slack, stage.width * 0.2)
    lowest = scale * pose.height + stage.height * 0.04
    y = min(stage.height * 0.97, max(lowest, stage.height * (floor + rng.uniform(0.0, 0.08))))
    if not pose.grounded:
        y = stage.height * rng.uniform(0.58, 0.68)
    return Pen(stage, np.array([[scale * rng.choice((-1, 1)), 0.0, x], [0.0, scale, y]]))


def _cast_shadow(stage: Stage, pen: Pen, pose: Pose) -> None:
    mask = Image.new("L", (stage.width // 8, stage.height // 8))
    x, y = (pen.at([(0, -0.15)])[0] / 8).tolist()
    rx, ry = pose.width * 0.46 * pen.scale / 8, 0.6 * pen.scale / 8
    x += stage.rng.uniform(-0.15, 0.15) * rx
    ImageDraw.Draw(mask).ellipse((x - rx, y - ry, x + rx, y + ry), fill=stage.rng.randint(90, 160))
    soft = mask.filter(ImageFilter.BoxBlur(3))
    if box := soft.getbbox():
        left, top, right, bottom = (8 * side for side in box)
        part = soft.crop(box).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        stage.canvas.paste(INK, (left, top, right, bottom), part)


# --- Scenes: each fills the stage and returns where the floor is, as a share of the height ----------------------------


def _meadow(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.35, 0.6)
    stage.gradient(_vary(rng, (120, 174, 220), 25), (226, 234, 232), 0, horizon + 0.1)
    _clouds(stage, horizon)
    _hills(stage, horizon, (_vary(rng, (120, 150, 150)), _vary(rng, (96, 140, 96))))
    green = _vary(rng, rng.choice(_palette("6e9642 969850 5c843e")), 16)
    stage.gradient(_mix(green, WHITE, 0.15), _mix(green, INK, 0.3), horizon, 1)
    _blades(stage, horizon, 200, green)
    stage.specks(rng.choice((0, 25, 50)), horizon + 0.05, (3, 7), ACCENTS)
    return rng.uniform(0.82, 0.92)


def _forest(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.55, 0.7)
    mist = _vary(rng, rng.choice(_palette("96aa8c 5c6e58 bebea0")), 16)
    stage.gradient(_mix(mist, (60, 90, 60), 0.5), mist, 0, horizon)
    for depth in (0.2, 0.5, 0.8):
        for _ in range(7):
            left, wide = rng.random(), rng.uniform(0.01, 0.02) * (1 + 2 * depth)
            trunk = _mix(mist, rng.choice(_palette("463428 3c3a30 6e6050")), depth)
            stage.box(left, 0, left + wide, horizon + depth * 0.08, trunk)
    soil = _vary(rng, rng.choice(_palette("604e34 54623a 785c36")))
    stage.gradient(_mix(soil, mist, 0.3), _mix(soil, INK, 0.4), horizon, 1)
    _blades(stage, horizon, 130, _mix(soil, (70, 110, 50), 0.6))
    return rng.uniform(0.84, 0.92)


def _river(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.3, 0.42)
    stage.gradient(_vary(rng, (150, 184, 208), 20), (222, 226, 220), 0, horizon)
    _firs(stage, horizon + 0.03, 12, _vary(rng, (62, 94, 72)))
    water = _vary(rng, rng.choice(_palette("588096 6e8c8c 466878")), 16)
    stage.gradient(_mix(water, WHITE, 0.3), water, horizon, 0.78)
    for _ in range(60):
        left, top = rng.random(), rng.uniform(horizon + 0.03, 0.77)
        stage.box(left, top, left + rng.uniform(0.02, 0.12), top + 0.005, _mix(water, WHITE, rng.uniform(0.2, 0.7)))
    stone = _vary(rng, (140, 134, 124))
    stage.gradient(_mix(stone, INK, 0.15), _mix(stone, INK, 0.35), 0.77, 1)
    stage.specks(70, 0.76, (8, 30), [_vary(rng, stone, 24) for _ in range(6)])
    return rng.uniform(0.86, 0.94)


def _snow(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.4, 0.58)
    stage.gradient(_vary(rng, (164, 182, 204), 22), (226, 230, 238), 0, horizon + 0.05)
    _hills(stage, horizon, ((206, 214, 228), (190, 202, 218)))
    _firs(stage, horizon + 0.05, 9, _vary(rng, (88, 108, 112)))
    stage.gradient((240, 243, 248), (204, 214, 230), horizon + 0.04, 1)
    stage.specks(rng.choice((0, 80)), 0, (3, 8), [WHITE])
    return rng.uniform(0.82, 0.92)


def _dusk(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.5, 0.62)
    stage.gradient(_vary(rng, (84, 78, 124), 20), _vary(rng, (240, 164, 104), 20), 0, horizon)
    x, y, size = rng.uniform(0.1, 0.8) * stage.width, (horizon - 0.14) * stage.height, 0.1 * stage.width
    stage.draw.ellipse((x, y, x + size, y + size), fill=(252, 224, 160))
    _hills(stage, horizon, ((150, 104, 112), (104, 78, 96)))
    ground = _vary(rng, (112, 92, 72))
    stage.gradient(ground, _mix(ground, INK, 0.5), horizon, 1)
    _blades(stage, horizon, 150, ground)
    return rng.uniform(0.82, 0.92)


def _shelf(stage: Stage) -> float:
    rng = stage.rng
    wall = _vary(rng, rng.choice(_palette("cec2ac a0b2b4 78685c d6cec8")), 16)
    stage.gradient(_mix(wall, WHITE, 0.15), _mix(wall, INK, 0.2))
    left = rng.choice((0.0, 0.55))
    while left < 1.0:
        wide, top = rng.uniform(0.03, 0.06), 0.82 - rng.uniform(0.3, 0.55)
        if rng.random() < 0.75:
            cover = _vary(rng, _mix(rng.choice(ACCENTS), wall, 0.35))
            stage.box(left, top, left + wide, 0.82, cover)
            stage.box(left, top + 0.08, left + wide, top + 0.11, _mix(cover, WHITE, 0.5))
        left += wide + 0.004
    plank = _vary(rng, rng.choice(_palette("966840 5c4230 e2ded6")))
    stage.box(0, 0.82, 1, 1, plank)
    stage.box(0, 0.95, 1, 1, _mix(plank, INK, 0.4))
    return 0.88


def _sofa(stage: Stage) -> float:
    rng = stage.rng
    wall = _vary(rng, rng.choice(_palette("dcd2be b0bec4 8c7a6e")), 16)
    stage.gradient(wall, _mix(wall, INK, 0.15))
    stage.box(0.1, 0.05, 0.3, 0.25, _mix(wall, WHITE, 0.6))
    cloth = _vary(rng, rng.choice(_palette("963e38 4a6278 808260 b09c82 5a463c")), 16)
    stage.box(-0.1, 0.3, 0.495, 0.85, cloth, 0.04)
    stage.box(0.505, 0.3, 1.1, 0.85, cloth, 0.04)
    stage.box(-0.1, 0.68, 1.1, 1.1, _mix(cloth, WHITE, 0.12), 0.04)
    side = rng.choice((0.02, 0.7))
    stage.box(side, 0.42, side + 0.28, 0.74, _vary(rng, _mix(rng.choice(ACCENTS), cloth, 0.4)), 0.03)
    return 0.86


def _room(stage: Stage) -> float:
    rng = stage.rng
    wall = _vary(rng, rng.choice(_palette("d6c8a8 baccc4 ceb4b0 787c8c")), 14)
    stage.gradient(wall, _mix(wall, INK, 0.12))
    for stripe in range(0, 20, 2):
        stage.box(stripe / 20, 0, (stripe + 1) / 20, 0.64, _mix(wall, WHITE, 0.12))
    left = rng.uniform(0.05, 0.6)
    stage.box(left, 0.08, left + 0.32, 0.5, WHITE)
    for column in (0.015, 0.165):
        stage.box(left + column, 0.1, left + column + 0.14, 0.48, _vary(rng, (160, 196, 220), 20))
    boards = _vary(rng, rng.choice(_palette("9e744c 6e4e38 bea07c")))
    stage.gradient(boards, _mix(boards, INK, 0.2), 0.64, 1)
    for row in (0.7, 0.78, 0.88):
        stage.box(0, row, 1, row + 0.004, _mix(boards, INK, 0.35))
    if rng.random() < 0.6:
        rug = _mix(_vary(rng, rng.choice(ACCENTS)), boards, 0.4)
        stage.draw.ellipse((stage.width * 0.08, stage.height * 0.74, stage.width * 0.92, stage.height * 1.05), fill=rug)
    return rng.uniform(0.84, 0.92)


def _clouds(stage: Stage, horizon: float) -> None:
    for _ in range(stage.rng.randint(0, 3)):
        x, y = stage.rng.random() * stage.width, stage.rng.uniform(0.03, horizon * 0.6) * stage.height
        for puff in range(4):
            size = stage.rng.uniform(0.03, 0.06) * stage.width
            left = x + puff * stage.width * 0.04
            stage.draw.ellipse((left - size, y - size * 0.5, left + size, y + size * 0.5), fill=(244, 244, 242))


def _hills(stage: Stage, horizon: float, colours: Sequence[Colour]) -> None:
    for step, colour in enumerate(colours):
        height, waves, phase = 0.12 - 0.05 * step, stage.rng.uniform(3, 8), stage.rng.uniform(0, 6)
        xs = np.linspace(0, 1, 40)
        ys = horizon - height * (0.55 + 0.45 * np.sin(xs * waves + phase) + 0.12 * np.sin(xs * waves * 3.7))
        ridge = np.column_stack([xs * stage.width, ys * stage.height]).ravel().tolist()
        stage.draw.polygon([*ridge, stage.width, stage.height, 0, stage.height], fill=colour)


def _firs(stage: Stage, foot: float, count: int, colour: Colour) -> None:
    for _ in range(count):
        x, base = stage.rng.random() * stage.width, foot * stage.height
        high = stage.rng.uniform(0.15, 0.34) * stage.height
        green = _vary(stage.rng, colour, 14)
        for tier in range(4):
            top, half = base - high * (0.4 + tier * 0.2), high * 0.22 * (1 - tier * 0.2)
            skirt = top + high * 0.4
            stage.draw.polygon((x, top - high * 0.12, x - half, skirt, x + half, skirt), fill=green)


def _blades(stage: Stage, horizon: float, count: int, colour: Colour) -> None:
    rng = stage.rng
    for _ in range(count):
        depth = rng.random()
        x, y = rng.random() * stage.width, (horizon + (1 - horizon) * depth) * stage.height
        tip = (x + stage.height * rng.uniform(-0.012, 0.012), y - stage.height * (0.015 + 0.05 * depth))
        tone = _mix(colour, rng.choice((WHITE, INK, (190, 190, 90))), rng.uniform(0.05, 0.35))
        stage.draw.polygon((x - 2, y, x + 3, y, *tip), fill=tone)


OUTDOORS = (_meadow, _forest, _river, _snow, _dusk)
INDOORS = (_shelf, _sofa, _room)


# --- Things in front of the bear --------------------------------------------------------------------------------------


def _grass_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    foot, high = float(pen.at([(0, 0.3)])[0][1]), pose.height * rng.uniform(0.15, 0.34) * pen.scale
    colour = _vary(rng, rng.choice(_palette("688a3e 968c54 506e3c")), 14)
    bottom = max(foot, stage.height) + high * 0.3
    for base in sorted(foot + (bottom - foot) * rng.random() ** 1.5 for _ in range(260)):
        x, tall = rng.random() * stage.width, high * rng.uniform(0.5, 1.1)
        tip = (x + rng.uniform(-0.3, 0.3) * tall, base - tall)
        tone = _mix(colour, rng.choice((WHITE, INK)), rng.uniform(0, 0.35))
        stage.draw.polygon((x - 5, base + 9, x + 6, base + 9, *tip), fill=tone)


def _rock_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    wide, high = pose.width * 0.3, pose.height * rng.uniform(0.25, 0.42)
    outline = np.array(_points("-1,0.2 -0.8,-0.6 -0.2,-1 0.6,-0.75 1,0.2")) * (wide, high)
    x = rng.choice((-0.32, 0.32)) * pose.width
    pen.moved(x, 0.2).blob(outline, _coat(_vary(rng, (128, 124, 118), 20), plush=True))


def _box_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    x, wide, high = rng.choice((-0.3, 0.0, 0.3)) * pose.width, pose.width * 0.3, pose.height * rng.uniform(0.2, 0.34)
    card = _vary(rng, rng.choice((TAN, *ACCENTS[:-1])))
    (left, top), (right, bottom) = np.sort(pen.at([(x - wide, -high), (x + wide, 0.4)]), axis=0).tolist()
    stage.draw.rectangle((left, top, right, bottom), fill=card)
    stage.draw.rectangle((left, top, right, top + (bottom - top) * 0.16), fill=_mix(card, WHITE, 0.25))
    middle, half = (left + right) / 2, (right - left) * 0.06
    stage.draw.rectangle((middle - half, top, middle + half, bottom), fill=_mix(card, WHITE, 0.5))


COVERS_OUTDOORS = (_grass_cover, _grass_cover, _rock_cover, _box_cover)
COVERS_INDOORS = (_box_cover,)


def _expose(picture: Image.Image, rng: Random) -> Image.Image:
    """Give the finished drawing its light: brightness, tint, vignette, a little blur and grain."""
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.0)))
    width, height = picture.size
    brightness = rng.uniform(0.84, 1.14)
    tint = [np.float32(brightness * rng.uniform(0.93, 1.07)) for _ in range(3)]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    lean, edge = rng.uniform(-0.12, 0.12), rng.uniform(0.0, 0.22)
    light = 1 + lean * x[None, :] - edge * (x[None, :] ** 2 + y[:, None] ** 2) / 2
    left, top = rng.randint(0, TEXTURE_SIDE - width), rng.randint(0, TEXTURE_SIDE - height)
    grain = _noise()[top : top + height, left : left + width] * np.float32(rng.uniform(1.0, 5.0))
    # One channel at a time: numpy is slow over a last axis of 3.
    layers = (
        np.asarray(channel) * (light * share) + grain for channel, share in zip(picture.split(), tint, strict=True)
    )
    return Image.merge("RGB", [Image.fromarray(np.clip(layer, 0, 255).astype(np.uint8)) for layer in layers])
