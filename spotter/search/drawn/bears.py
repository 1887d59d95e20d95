"""How the bears look and stand.

What tells the kinds apart is their shape: hump, face, ears, claws, seams.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from spotter.search.drawn.pen import INK, TAN, WHITE, Coat, Colour, Pen, Point, make_coat, mix, palette, points_of, vary


@dataclass(frozen=True)
class Appearance:
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

    draw: Callable[[Pen, Appearance], None]
    width: float
    height: float
    grounded: bool = True


def _mirrored(text: str) -> list[Point]:
    """A whole outline from its right half, which begins and ends on the axis."""
    half = points_of(text)
    return [*half, *((-x, y) for x, y in half[-2:0:-1])]


COATS = {
    "grizzly": palette("805836 62422a 9a7048 b28a5e 4a3426 3a2c24"),
    "black": palette("282426 1e1d21 342a26 2c282c 4c3426 7a4e2e"),
    "teddy": palette("e6d4b2 c89458 7c5032 e4a0ae 989698 302d30 523828 aa7e56"),
}
ACCENTS = palette("be2e32 345ca8 e2b23c 468454 965496 f0ece2")
ORNAMENTS = ("", "bow", "bow", "jumper", "scarf", "patch")

WALK_BODY = {
    "grizzly": points_of(
        "-2.3,-3.9 -1.5,-4.9 -0.7,-5.15 0.2,-4.75 1.2,-4.25 2.8,-4.4 4.1,-4 4.7,-2.9 4.3,-1.7 3,-1.5 1,-1.4 -1,-1.35 "
        "-2.1,-1.8 -2.6,-2.8"
    ),
    "black": points_of(
        "-2.3,-3.7 -1.4,-4.05 0,-4.05 1.4,-4.25 2.9,-4.5 4.1,-4 4.6,-2.9 4.2,-1.8 3,-1.6 1,-1.55 -1,-1.5 -2.1,-1.9 "
        "-2.6,-2.8"
    ),
}
PROFILE = {
    "grizzly": points_of(
        "0.3,-1.1 -0.5,-1.3 -1.1,-1.05 -1.4,-0.5 -1.8,-0.16 -2.35,-0.16 -2.6,0.1 -2.4,0.48 -1.8,0.7 -0.9,1.05 "
        "0.2,1.4 1,1.2 1.1,-0.4"
    ),
    "black": points_of(
        "0.3,-1 -0.5,-1.08 -1.1,-0.86 -1.7,-0.5 -2.3,-0.16 -2.75,0.06 -2.8,0.34 -2.4,0.6 -1.8,0.76 -0.9,1 0.2,1.3 "
        "1,1.2 1.1,-0.4"
    ),
}
PROFILE_MUZZLE = {
    "grizzly": points_of("-1.65,-0.2 -2.3,-0.12 -2.5,0.12 -2.3,0.42 -1.8,0.62 -1.4,0.3"),
    "black": points_of("-1.45,-0.55 -2.2,-0.18 -2.68,0.08 -2.7,0.34 -2.3,0.56 -1.7,0.68 -1.25,0.2"),
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
MOUTH = points_of("-0.24,0.04 -0.12,0.08 0,0 0.12,0.08 0.24,0.04")


def make_appearance(kind: str, rng: Random) -> Appearance:
    accent = vary(rng, rng.choice(ACCENTS))
    base = vary(rng, rng.choice(COATS[kind]), 8 if kind == "black" else 12)
    if kind == "teddy":
        pad = mix(base, WHITE if rng.random() < 0.7 else INK, 0.45)
        return Appearance(
            kind, make_coat(base, 0.045, plush=True), make_coat(pad, 0.02, plush=True), accent, rng.choice(ORNAMENTS)
        )
    if kind == "grizzly":
        tips = mix(base, (226, 200, 160), rng.uniform(0.3, 0.75))
        return Appearance(
            kind, make_coat(base, 0.085, light=tips), make_coat(mix(base, TAN, rng.uniform(0, 0.65)), 0.03), accent
        )
    muzzle = make_coat(mix(base, TAN, rng.uniform(0.4, 1.0)), 0.03)
    chest = "blaze" if rng.random() < 0.25 else ""
    return Appearance(kind, make_coat(base, 0.07, light=mix(base, (150, 150, 165), 0.4)), muzzle, accent, chest)


def _walk(pen: Pen, look: Appearance) -> None:
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


def _leg(pen: Pen, look: Appearance, coat: Coat, hip: Point, foot: float, hind: bool = False) -> None:
    (x, y), knee = hip, (0.35 if hind else -0.1)
    middle = ((x + foot) / 2 + knee, y / 2 - 0.1)
    pen.limb([(x, y), middle, (foot, -0.4)], (1.0 if hind else 0.8, 0.58, 0.46), coat)
    pen.oval(foot - 0.25, -0.28, 0.66, 0.32, coat)
    _claws(pen, look, foot - 0.62, -0.14, 0.34, (-0.34, 0.1))


def _claws(pen: Pen, look: Appearance, x: float, y: float, span: float, reach: Point) -> None:
    size, colour = (1.0, (226, 212, 184)) if look.kind == "grizzly" else (0.4, (70, 62, 58))
    for place in (-1, -0.33, 0.33, 1):
        root = (x + place * span * 0.6, y)
        pen.line([root, (root[0] + reach[0] * size, y + reach[1] * size)], 0.07, colour)


def _grizzle(pen: Pen, look: Appearance) -> None:
    """Pale tips of hair over the hump and the back."""
    rng, pale = pen.stage.rng, mix(look.coat.light, WHITE, 0.25)
    for _ in range(90):
        x = rng.gauss(0.0, 1.5)
        ridge = -4.3 - 0.75 * math.exp(-(((x + 0.8) / 1.0) ** 2))
        y = ridge + 0.25 + abs(rng.gauss(0, 0.4))
        if -1.9 < x < 4.0:
            pen.line([(x, y), (x + 0.22, y + 0.16)], 0.03, mix(look.coat.base, pale, rng.random()))


def _profile(pen: Pen, look: Appearance) -> None:
    """The head from the side; the origin is inside the neck."""
    tip, height = (-2.45, 0.06) if look.kind == "grizzly" else (-2.66, 0.14)
    _profile_ear(pen.moved(-0.42, -1.18), look, look.coat.shaded(0.4))
    pen.blob(PROFILE[look.kind], look.coat)
    pen.blob(PROFILE_MUZZLE[look.kind], look.muzzle)
    _profile_ear(pen.moved(0.12, -1.08), look, look.coat)
    pen.oval(tip, height, 0.22, 0.19, make_coat(INK))
    pen.line([(tip + 0.05, 0.3), (tip + 0.35, 0.42), (-1.5, 0.38)], 0.05, INK)
    _eye(pen, -1.12, -0.42, 0.12)


def _profile_ear(pen: Pen, look: Appearance, coat: Coat) -> None:
    rx, ry = (0.36, 0.34) if look.kind == "grizzly" else (0.28, 0.5)
    pen.oval(0, -ry * 0.4, rx, ry, coat, tilt=12)
    pen.oval(-0.05, -ry * 0.35, rx * 0.5, ry * 0.55, make_coat(mix(look.coat.base, INK, 0.45)), tilt=12)


def _eye(pen: Pen, x: float, y: float, size: float) -> None:
    pen.dot(x, y, size * 1.25, size * 1.15, (58, 40, 30))
    pen.dot(x, y, size, size, (12, 10, 10))
    pen.dot(x - size * 0.3, y - size * 0.35, size * 0.32, size * 0.32, WHITE)


def _face(pen: Pen, look: Appearance) -> None:
    """The head of a wild bear from the front, about one unit in radius."""
    grizzly = look.kind == "grizzly"
    x, y, rx, ry, eye = (0.82, -0.68, 0.25, 0.25, 0.4) if grizzly else (0.56, -0.92, 0.22, 0.36, 0.32)
    for side in (-1, 1):
        pen.oval(side * x, y, rx, ry, look.coat, tilt=side * 16)
        pen.oval(
            side * x, y + 0.04, rx * 0.6, ry * 0.65, make_coat(mix(look.coat.base, INK, 0.5), 0.02), tilt=side * 16
        )
    pen.blob(FACE[look.kind], look.coat)
    shade = make_coat(mix(look.coat.base, INK, 0.25), 0.02, light=mix(look.coat.base, INK, 0.1))
    pen.blob(FACE_BRIDGE[look.kind], shade if grizzly else look.muzzle)
    if grizzly:
        pen.oval(0, 0.5, 0.44, 0.38, look.muzzle)
    for side in (-1, 1):
        pen.oval(side * eye, -0.1, 0.16, 0.13, shade, tilt=side * 20)
        _eye(pen, side * eye, -0.08, 0.085)
    pen.oval(0, 0.36, 0.21, 0.15, make_coat(INK, light=(120, 116, 120)))
    pen.line([(0, 0.46), (0, 0.64)], 0.035, INK)
    pen.moved(0, 0.64).line(MOUTH, 0.035, INK)


def _sit(pen: Pen, look: Appearance) -> None:
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


def _blaze(pen: Pen, look: Appearance) -> None:
    if look.ornament == "blaze":
        pen.blob(points_of("-0.6,0 0,0.5 0.6,0 0.15,0.9 -0.15,0.9"), make_coat((220, 206, 176), 0.05))


def _stand(pen: Pen, look: Appearance) -> None:
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


def _face_close(pen: Pen, look: Appearance) -> None:
    if look.hump:
        pen.oval(0, -0.55, 2.1, 1.5, look.coat.shaded(0.2))
    pen.blob(_mirrored("0,-1.6 1.2,-1.2 2,0.4 2.4,2.4 0,2.6"), look.coat.shaded(0.1))
    _face(pen.moved(0, -1.3, 1.35, pen.stage.rng.uniform(-10, 10)), look)


def _profile_close(pen: Pen, look: Appearance) -> None:
    _walk(pen.moved(2.6, 3.2), look)


# --- Teddy bears ------------------------------------------------------------------------------------------------------


def _teddy_face(pen: Pen, look: Appearance) -> None:
    rng = pen.stage.rng
    for side in (-1, 1):
        pen.oval(side * 0.8, -0.72, 0.42, 0.42, look.coat)
        pen.oval(side * 0.8, -0.68, 0.26, 0.26, look.muzzle)
    pen.oval(0, 0, 1.08, rng.uniform(0.92, 1.0), look.coat)
    pen.oval(0, 0.36, 0.46, 0.38, look.muzzle)
    thread = INK if sum(look.muzzle.base) > 240 else WHITE
    _stitches(pen, (0, -0.9), (0, -0.05), mix(look.coat.base, thread, 0.5))
    apart, size = rng.uniform(0.34, 0.44), rng.uniform(0.1, 0.14)
    for side in (-1, 1):
        # Buttons need a rim to be seen on a dark coat.
        pen.dot(side * apart, -0.08, size * 1.25, size * 1.25, mix(look.coat.base, WHITE, 0.3))
        pen.dot(side * apart, -0.08, size, size, INK)
        pen.dot(side * apart - size * 0.35, -0.08 - size * 0.35, size * 0.35, size * 0.35, WHITE)
    pen.blob(points_of("-0.17,0.14 0,0.11 0.17,0.14 0.1,0.27 0,0.33 -0.1,0.27"), make_coat(INK))
    pen.line([(0, 0.3), (0, 0.48)], 0.04, thread)
    pen.moved(0, 0.48).line(MOUTH, 0.04, thread)


def _stitches(pen: Pen, start: Point, stop: Point, colour: Colour) -> None:
    ends = np.array([start, stop])
    for share in np.linspace(0, 0.9, 7).tolist():
        dash = [(1 - s) * ends[0] + s * ends[1] for s in (share, share + 0.07)]
        pen.line(np.array(dash), 0.035, colour)


def _paw_pad(pen: Pen, x: float, y: float, size: float, look: Appearance) -> None:
    pen.oval(x, y + size * 0.15, size * 0.5, size * 0.42, look.muzzle)
    for place in (-0.42, 0, 0.42):
        pen.oval(x + place * size, y - size * (0.5 - abs(place) * 0.35), size * 0.16, size * 0.18, look.muzzle)


def _teddy_body(pen: Pen, look: Appearance, y: float, rx: float, ry: float) -> Coat:
    """The trunk with what it wears; returns the coat of the arms."""
    trunk = pen.moved(0, y)
    if look.ornament == "jumper":
        wool = make_coat(look.accent, 0.03, plush=True)
        trunk.oval(0, 0, rx, ry, wool)
        for row in (-0.45, -0.1, 0.25):
            stripe = [(-rx * 0.85, row * ry), (0, row * ry + 0.18), (rx * 0.85, row * ry)]
            trunk.line(stripe, 0.12, mix(look.accent, WHITE if sum(look.accent) < 600 else INK, 0.6))
        return wool
    trunk.oval(0, 0, rx, ry, look.coat)
    if look.ornament == "patch":
        trunk.oval(0, ry * 0.15, rx * 0.62, ry * 0.66, look.muzzle)
    _stitches(trunk, (0, -ry * 0.6), (0, ry * 0.8), mix(look.coat.base, INK, 0.55))
    return look.coat


def _neckwear(pen: Pen, look: Appearance) -> None:
    cloth = make_coat(look.accent)
    if look.ornament == "bow":
        for side in (-1, 1):
            pen.blob([(0, 0), (side * 0.8, -0.5), (side, 0), (side * 0.8, 0.5)], cloth)
        pen.oval(0, 0, 0.26, 0.26, cloth.shaded(0.25))
    elif look.ornament == "scarf":
        pen.limb([(0.6, 0.1), (0.75, 1.0), (0.7, 1.6)], (0.28, 0.3, 0.32), cloth.shaded(0.15))
        pen.limb([(-1.25, -0.15), (0, 0.2), (1.25, -0.15)], (0.32, 0.34, 0.32), cloth)


def _teddy_arm(pen: Pen, look: Appearance, sleeve: Coat, shoulder: Point, drop: float) -> None:
    x, y = shoulder
    hand = (x * 1.9, y + drop)
    pen.limb([shoulder, (x * 1.6, y + drop * 0.4), hand], (0.55, 0.58, 0.5), sleeve)
    pen.oval(*hand, 0.52, 0.52, look.coat)
    pen.oval(hand[0], hand[1] + 0.02, 0.28, 0.3, look.muzzle)


def _teddy_sit(pen: Pen, look: Appearance) -> None:
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


def _teddy_stand(pen: Pen, look: Appearance) -> None:
    rng = pen.stage.rng
    for side in (-1, 1):
        pen.limb([(side * 0.75, -1.8), (side * 0.85, -0.55)], (0.75, 0.65), look.coat.shaded(0.08))
        pen.oval(side * 0.95, -0.38, 0.78, 0.42, look.coat)
    sleeve = _teddy_body(pen, look, -2.9, 1.5, 1.75)
    for side in (-1, 1):
        _teddy_arm(pen, look, sleeve, (side * 1.15, -3.9), rng.choice((-1.3, 0.3, 1.5)))
    _teddy_face(pen.moved(0, -5.6, 1.6, rng.uniform(-12, 12)), look)
    _neckwear(pen.moved(0, -3.95), look)


def _teddy_lean(pen: Pen, look: Appearance) -> None:
    _teddy_sit(pen.moved(0, -0.2, 0.95, pen.stage.rng.choice((-24, -15, 15, 24))), look)


def _teddy_close(pen: Pen, look: Appearance) -> None:
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
