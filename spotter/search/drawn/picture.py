"""One drawn picture, from its kind and its number.

Colours, poses, scenes and light of the kinds overlap on purpose, so that there is something to learn.
"""

from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from spotter.search.drawn.bears import POSES, Pose, make_appearance
from spotter.search.drawn.pen import INK, OVERSAMPLING, TEXTURE_SIDE, Pen, Stage, white_noise
from spotter.search.drawn.scenes import COVERS_INDOORS, COVERS_OUTDOORS, INDOORS, OUTDOORS

SIZES = ((400, 300), (420, 280), (384, 288), (300, 400), (288, 384), (340, 340), (320, 320), (440, 270), (360, 300))


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
    pose.draw(pen, make_appearance(kind, rng))
    if pose.grounded and rng.random() < 0.45:
        rng.choice(COVERS_OUTDOORS if outdoors else COVERS_INDOORS)(stage, pen, pose)
    return _expose(stage.canvas.reduce(OVERSAMPLING), rng)


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
    grain = white_noise()[top : top + height, left : left + width] * np.float32(rng.uniform(1.0, 5.0))
    # One channel at a time: numpy is slow over a last axis of 3.
    layers = (
        np.asarray(channel) * (light * share) + grain for channel, share in zip(picture.split(), tint, strict=True)
    )
    return Image.merge("RGB", [Image.fromarray(np.clip(layer, 0, 255).astype(np.uint8)) for layer in layers])
