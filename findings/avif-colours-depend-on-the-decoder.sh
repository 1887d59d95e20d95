#!/usr/bin/env bash
# One AVIF file, two decoders, two pictures: Pillow 12.3.0 (libavif) and sharp 0.35.5 (libheif) enlarge its colour planes differently.
# Needs Node.js and npm.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==12.3.0
npm install --silent --no-audit --no-fund --no-save sharp@0.35.5
cat > make.py <<'PYTHON'
import numpy as np
from PIL import Image

rows, columns = np.mgrid[0:60, 0:80]
# Colours that rise and start again at 0: edges between colours.
picture = Image.fromarray(np.stack([columns * 3 % 256, rows * 4 % 256, (columns + rows) * 2 % 256], 2).astype("uint8"))
for planes in ("4:2:0", "4:2:2", "4:4:4"):
    picture.save(f"{planes.replace(':', '')}.avif", quality=90, subsampling=planes)
picture.save("420.webp", quality=90)
picture.save("420.jpg", quality=90, subsampling="4:2:0")
PYTHON
cat > decode.mjs <<'JAVASCRIPT'
import fs from "node:fs";
import sharp from "sharp";

for (const name of ["420.avif", "422.avif", "444.avif", "420.webp", "420.jpg"])
  fs.writeFileSync(`${name}.raw`, await sharp(name).raw().toBuffer());
console.log(`sharp ${sharp.versions.sharp}, libheif ${sharp.versions.heif}`);
JAVASCRIPT
cat > compare.py <<'PYTHON'
import numpy as np
import PIL
from PIL import Image, features

print(f"Pillow {PIL.__version__}, libavif {features.version('avif')}")
largest = {}
for name in ("420.avif", "422.avif", "444.avif", "420.webp", "420.jpg"):
    ours = np.asarray(Image.open(name).convert("RGB")).astype(int)
    theirs = np.fromfile(f"{name}.raw", np.uint8).reshape(ours.shape).astype(int)
    difference = np.abs(ours - theirs)
    largest[name] = difference.max()
    print(f"{name}: pixels differ by up to {difference.max()} of 255, {difference.mean():.2f} on average")
assert largest["420.avif"] > 40 and largest["422.avif"] > 40, largest
# It is the colour planes: where they have the size of the picture, only rounding is left. And AVIF alone does it.
assert largest["444.avif"] <= 2 and largest["420.webp"] == 0 and largest["420.jpg"] == 0, largest
PYTHON
venv/bin/python make.py
node decode.mjs
venv/bin/python compare.py
