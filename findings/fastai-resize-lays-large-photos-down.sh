#!/usr/bin/env bash
# `resize_images` of fastai 2.8.12, which its book runs over downloaded photos, saves what it makes smaller without EXIF
# and without turning it. What is small enough already is copied, with its EXIF. So of photos taken with the camera held
# upright, the large ones lie on their side in the new folder for every program, and nothing in them tells that any more;
# the small ones stand upright wherever the EXIF orientation is obeyed. There is no warning.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check fastai==2.8.12 torch==2.14.1 torchvision==0.29.1 pillow==12.3.0
cat > "$place/look.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageOps

warnings.simplefilter("always")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.vision.utils import resize_images

ORIENTATION, QUARTER_TURN = 0x0112, 6
Path("photos").mkdir()
for name, size in {"large": (900, 600), "small": (300, 200)}.items():
    # As a camera held upright stores it: the top of the scene, blue, is at the left.
    stored = Image.new("RGB", size, (60, 120, 40))
    stored.paste((90, 150, 250), (0, 0, size[0] // 2, size[1]))
    exif = stored.getexif()
    exif[ORIENTATION] = QUARTER_TURN
    stored.save(f"photos/{name}.jpg", exif=exif)
resize_images("photos", max_size=400, dest="resized")


def shown(file):
    """As programs show it that obey the orientation."""
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture)
        sky = upright.getpixel((upright.width * 3 // 4, upright.height // 4))
        return ("stands" if sky[2] > 200 else "lies on its side"), picture.getexif().get(ORIENTATION)


print("fastai", version("fastai"))
found = {}
for file in sorted(Path().glob("*/*.jpg")):
    found[str(file)] = shown(file)
    print(f"{file}: {found[str(file)][0]}, EXIF orientation {found[str(file)][1]}")
stands, lies = ("stands", QUARTER_TURN), ("lies on its side", None)
wanted = {"photos/large.jpg": stands, "photos/small.jpg": stands, "resized/large.jpg": lies, "resized/small.jpg": stands}
sys.exit(0 if found == wanted else "It is otherwise here.")
PYTHON
cd "$place"
OMP_NUM_THREADS=1 venv/bin/python look.py
