#!/usr/bin/env bash
# Pillow 12.3.0 takes an AVIF for no picture when its first box names another brand first, such as MA1B, and avif after it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.4.6 imagecodecs==2026.3.6
"$place/venv/bin/python" - <<'PYTHON'
import io

import imagecodecs
import PIL
from PIL import Image, UnidentifiedImageError

buffer = io.BytesIO()
Image.new("RGB", (16, 12), (200, 90, 30)).save(buffer, "AVIF")
content = buffer.getvalue()
end = int.from_bytes(content[:4], "big")
others = [content[at : at + 4].decode() for at in range(16, end, 4)]
print("Pillow", PIL.__version__, "wrote major brand", content[8:12].decode(), "and compatible brands", others)
assert content[4:12] == b"ftypavif", content[:12]
assert {"avif", "MA1B"} <= set(others), others

found = {}
for brand in ("avif", "mif1", "miaf", "MA1B"):
    # All of them are among the compatible brands, so that each may be the major one.
    changed = content[:8] + brand.encode() + content[12:]
    try:
        found[brand] = Image.open(io.BytesIO(changed)).convert("RGB").size
    except UnidentifiedImageError:
        found[brand] = None
    print(f"major brand {brand}: Pillow {found[brand]}, libavif by imagecodecs {imagecodecs.avif_decode(changed).shape}")
assert found == {"avif": (16, 12), "mif1": (16, 12), "miaf": None, "MA1B": None}, found
print("libavif, which Pillow decodes with, goes by any of the brands, and so does Chromium 156.")
PYTHON
