#!/usr/bin/env bash
# A PNG may name one colour that is transparent. Pillow 12.3.0 keeps that name in `info` while an operation changes the
# colours: parts of the subject that only now get this colour become holes (posterize, point), and what was clear becomes
# solid (invert, and the rim in a blur). So it is when the result is shown, and when it is saved. `ImageEnhance` and
# `Image.fromarray` drop the name, and all of the background is solid.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

SIDE = 64
down, across = np.mgrid[:SIDE, :SIDE]
subject = (down - SIDE // 2) ** 2 + (across - SIDE // 2) ** 2 < 24**2
grey = np.where(subject, 20 + 2 * across, 0).astype(np.uint8)
file = io.BytesIO()
Image.fromarray(np.dstack([grey, grey, grey])).save(file, "PNG", transparency=(0, 0, 0))


def open_png(content):
    return Image.open(io.BytesIO(content))


def clear(picture):
    return np.asarray(picture.convert("RGBA"))[..., 3] == 0


def saved(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return open_png(buffer.getvalue())


assert (clear(open_png(file.getvalue())) == ~subject).all(), "The background is clear, and the subject is not."
print(f"Pillow {PIL.__version__}: a PNG of a subject ({subject.sum()} pixels, grey 36 to 130) on clear black ({(~subject).sum()})")
operations = {
    "as it is": lambda picture: picture,
    "ImageOps.invert": ImageOps.invert,
    "ImageOps.posterize(2)": lambda picture: ImageOps.posterize(picture, 2),
    "point(minus 60)": lambda picture: picture.point(lambda value: max(0, value - 60)),
    "GaussianBlur(2)": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "ImageEnhance.Brightness(0.9)": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "Image.fromarray(asarray)": lambda picture: Image.fromarray(np.asarray(picture)),
}
found = {}
for name, change in operations.items():
    changed = change(open_png(file.getvalue()))
    now = clear(changed)
    assert (clear(saved(changed)) == now).all(), "It is saved as it is shown."
    found[name] = (int((now & subject).sum()), int((~now & ~subject).sum()))
    print(f"{name}: holes in the subject {found[name][0]}, background that became solid {found[name][1]}, info {changed.info}")
background = int((~subject).sum())
assert found["as it is"] == (0, 0)
assert found["ImageOps.invert"] == (0, background), "It is otherwise here."
assert found["ImageOps.posterize(2)"][0] > 200 and found["ImageOps.posterize(2)"][1] == 0, "It is otherwise here."
assert found["point(minus 60)"][0] > 200 and found["point(minus 60)"][1] == 0, "It is otherwise here."
assert found["GaussianBlur(2)"][0] == 0 and found["GaussianBlur(2)"][1] > 200, "It is otherwise here."
assert found["ImageEnhance.Brightness(0.9)"] == found["Image.fromarray(asarray)"] == (0, background), "It is otherwise here."
PYTHON
