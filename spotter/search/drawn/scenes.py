"""Where the bears are, and what stands in front of them. A scene fills the stage and returns where its floor is, as a
share of the height."""

from collections.abc import Sequence

import numpy as np

from spotter.search.drawn.bears import ACCENTS, Pose
from spotter.search.drawn.pen import INK, TAN, WHITE, Colour, Pen, Stage, make_coat, mix, palette, points_of, vary


def _meadow(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.35, 0.6)
    stage.gradient(vary(rng, (120, 174, 220), 25), (226, 234, 232), 0, horizon + 0.1)
    _clouds(stage, horizon)
    _hills(stage, horizon, (vary(rng, (120, 150, 150)), vary(rng, (96, 140, 96))))
    green = vary(rng, rng.choice(palette("6e9642 969850 5c843e")), 16)
    stage.gradient(mix(green, WHITE, 0.15), mix(green, INK, 0.3), horizon, 1)
    _blades(stage, horizon, 200, green)
    stage.specks(rng.choice((0, 25, 50)), horizon + 0.05, (3, 7), ACCENTS)
    return rng.uniform(0.82, 0.92)


def _forest(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.55, 0.7)
    mist = vary(rng, rng.choice(palette("96aa8c 5c6e58 bebea0")), 16)
    stage.gradient(mix(mist, (60, 90, 60), 0.5), mist, 0, horizon)
    for depth in (0.2, 0.5, 0.8):
        for _ in range(7):
            left, wide = rng.random(), rng.uniform(0.01, 0.02) * (1 + 2 * depth)
            trunk = mix(mist, rng.choice(palette("463428 3c3a30 6e6050")), depth)
            stage.box(left, 0, left + wide, horizon + depth * 0.08, trunk)
    soil = vary(rng, rng.choice(palette("604e34 54623a 785c36")))
    stage.gradient(mix(soil, mist, 0.3), mix(soil, INK, 0.4), horizon, 1)
    _blades(stage, horizon, 130, mix(soil, (70, 110, 50), 0.6))
    return rng.uniform(0.84, 0.92)


def _river(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.3, 0.42)
    stage.gradient(vary(rng, (150, 184, 208), 20), (222, 226, 220), 0, horizon)
    _firs(stage, horizon + 0.03, 12, vary(rng, (62, 94, 72)))
    water = vary(rng, rng.choice(palette("588096 6e8c8c 466878")), 16)
    stage.gradient(mix(water, WHITE, 0.3), water, horizon, 0.78)
    for _ in range(60):
        left, top = rng.random(), rng.uniform(horizon + 0.03, 0.77)
        stage.box(left, top, left + rng.uniform(0.02, 0.12), top + 0.005, mix(water, WHITE, rng.uniform(0.2, 0.7)))
    stone = vary(rng, (140, 134, 124))
    stage.gradient(mix(stone, INK, 0.15), mix(stone, INK, 0.35), 0.77, 1)
    stage.specks(70, 0.76, (8, 30), [vary(rng, stone, 24) for _ in range(6)])
    return rng.uniform(0.86, 0.94)


def _snow(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.4, 0.58)
    stage.gradient(vary(rng, (164, 182, 204), 22), (226, 230, 238), 0, horizon + 0.05)
    _hills(stage, horizon, ((206, 214, 228), (190, 202, 218)))
    _firs(stage, horizon + 0.05, 9, vary(rng, (88, 108, 112)))
    stage.gradient((240, 243, 248), (204, 214, 230), horizon + 0.04, 1)
    stage.specks(rng.choice((0, 80)), 0, (3, 8), [WHITE])
    return rng.uniform(0.82, 0.92)


def _dusk(stage: Stage) -> float:
    rng = stage.rng
    horizon = rng.uniform(0.5, 0.62)
    stage.gradient(vary(rng, (84, 78, 124), 20), vary(rng, (240, 164, 104), 20), 0, horizon)
    x, y, size = rng.uniform(0.1, 0.8) * stage.width, (horizon - 0.14) * stage.height, 0.1 * stage.width
    stage.draw.ellipse((x, y, x + size, y + size), fill=(252, 224, 160))
    _hills(stage, horizon, ((150, 104, 112), (104, 78, 96)))
    ground = vary(rng, (112, 92, 72))
    stage.gradient(ground, mix(ground, INK, 0.5), horizon, 1)
    _blades(stage, horizon, 150, ground)
    return rng.uniform(0.82, 0.92)


def _shelf(stage: Stage) -> float:
    rng = stage.rng
    wall = vary(rng, rng.choice(palette("cec2ac a0b2b4 78685c d6cec8")), 16)
    stage.gradient(mix(wall, WHITE, 0.15), mix(wall, INK, 0.2))
    left = rng.choice((0.0, 0.55))
    while left < 1.0:
        wide, top = rng.uniform(0.03, 0.06), 0.82 - rng.uniform(0.3, 0.55)
        if rng.random() < 0.75:
            cover = vary(rng, mix(rng.choice(ACCENTS), wall, 0.35))
            stage.box(left, top, left + wide, 0.82, cover)
            stage.box(left, top + 0.08, left + wide, top + 0.11, mix(cover, WHITE, 0.5))
        left += wide + 0.004
    plank = vary(rng, rng.choice(palette("966840 5c4230 e2ded6")))
    stage.box(0, 0.82, 1, 1, plank)
    stage.box(0, 0.95, 1, 1, mix(plank, INK, 0.4))
    return 0.88


def _sofa(stage: Stage) -> float:
    rng = stage.rng
    wall = vary(rng, rng.choice(palette("dcd2be b0bec4 8c7a6e")), 16)
    stage.gradient(wall, mix(wall, INK, 0.15))
    stage.box(0.1, 0.05, 0.3, 0.25, mix(wall, WHITE, 0.6))
    cloth = vary(rng, rng.choice(palette("963e38 4a6278 808260 b09c82 5a463c")), 16)
    stage.box(-0.1, 0.3, 0.495, 0.85, cloth, 0.04)
    stage.box(0.505, 0.3, 1.1, 0.85, cloth, 0.04)
    stage.box(-0.1, 0.68, 1.1, 1.1, mix(cloth, WHITE, 0.12), 0.04)
    side = rng.choice((0.02, 0.7))
    stage.box(side, 0.42, side + 0.28, 0.74, vary(rng, mix(rng.choice(ACCENTS), cloth, 0.4)), 0.03)
    return 0.86


def _room(stage: Stage) -> float:
    rng = stage.rng
    wall = vary(rng, rng.choice(palette("d6c8a8 baccc4 ceb4b0 787c8c")), 14)
    stage.gradient(wall, mix(wall, INK, 0.12))
    for stripe in range(0, 20, 2):
        stage.box(stripe / 20, 0, (stripe + 1) / 20, 0.64, mix(wall, WHITE, 0.12))
    left = rng.uniform(0.05, 0.6)
    stage.box(left, 0.08, left + 0.32, 0.5, WHITE)
    for column in (0.015, 0.165):
        stage.box(left + column, 0.1, left + column + 0.14, 0.48, vary(rng, (160, 196, 220), 20))
    boards = vary(rng, rng.choice(palette("9e744c 6e4e38 bea07c")))
    stage.gradient(boards, mix(boards, INK, 0.2), 0.64, 1)
    for row in (0.7, 0.78, 0.88):
        stage.box(0, row, 1, row + 0.004, mix(boards, INK, 0.35))
    if rng.random() < 0.6:
        rug = mix(vary(rng, rng.choice(ACCENTS)), boards, 0.4)
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
        green = vary(stage.rng, colour, 14)
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
        tone = mix(colour, rng.choice((WHITE, INK, (190, 190, 90))), rng.uniform(0.05, 0.35))
        stage.draw.polygon((x - 2, y, x + 3, y, *tip), fill=tone)


OUTDOORS = (_meadow, _forest, _river, _snow, _dusk)
INDOORS = (_shelf, _sofa, _room)


def _grass_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    foot, high = float(pen.at([(0, 0.3)])[0][1]), pose.height * rng.uniform(0.15, 0.34) * pen.scale
    colour = vary(rng, rng.choice(palette("688a3e 968c54 506e3c")), 14)
    bottom = max(foot, stage.height) + high * 0.3
    for base in sorted(foot + (bottom - foot) * rng.random() ** 1.5 for _ in range(260)):
        x, tall = rng.random() * stage.width, high * rng.uniform(0.5, 1.1)
        tip = (x + rng.uniform(-0.3, 0.3) * tall, base - tall)
        tone = mix(colour, rng.choice((WHITE, INK)), rng.uniform(0, 0.35))
        stage.draw.polygon((x - 5, base + 9, x + 6, base + 9, *tip), fill=tone)


def _rock_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    wide, high = pose.width * 0.3, pose.height * rng.uniform(0.25, 0.42)
    outline = np.array(points_of("-1,0.2 -0.8,-0.6 -0.2,-1 0.6,-0.75 1,0.2")) * (wide, high)
    x = rng.choice((-0.32, 0.32)) * pose.width
    pen.moved(x, 0.2).blob(outline, make_coat(vary(rng, (128, 124, 118), 20), plush=True))


def _box_cover(stage: Stage, pen: Pen, pose: Pose) -> None:
    rng = stage.rng
    x, wide, high = rng.choice((-0.3, 0.0, 0.3)) * pose.width, pose.width * 0.3, pose.height * rng.uniform(0.2, 0.34)
    card = vary(rng, rng.choice((TAN, *ACCENTS[:-1])))
    (left, top), (right, bottom) = np.sort(pen.at([(x - wide, -high), (x + wide, 0.4)]), axis=0).tolist()
    stage.draw.rectangle((left, top, right, bottom), fill=card)
    stage.draw.rectangle((left, top, right, top + (bottom - top) * 0.16), fill=mix(card, WHITE, 0.25))
    middle, half = (left + right) / 2, (right - left) * 0.06
    stage.draw.rectangle((middle - half, top, middle + half, bottom), fill=mix(card, WHITE, 0.5))


COVERS_OUTDOORS = (_grass_cover, _grass_cover, _rock_cover, _box_cover)
COVERS_INDOORS = (_box_cover,)
