#!/usr/bin/env bash
# Which files are pictures for fastai 2.8.12 depends on the machine: `get_image_files` goes by the endings that Python's
# `mimetypes` lists, and Python 3.11 gets .webp and .jfif from a file of the system, /etc/mime.types, which small
# containers do not have. (Python 3.13 knows .webp itself.) There, those pictures are left out without a word, and a class
# that has no others is gone.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check fastai==2.8.12 torch==2.14.1 torchvision==0.29.1 pillow==12.3.0
cat > "$place/look.py" <<'PYTHON'
import json
import logging
import mimetypes
import sys
import warnings
from collections import Counter

# The list of the system's files that `mimetypes` reads: none, as in a small container, or one that is given.
mimetypes.knownfiles[:] = sys.argv[1:]
mimetypes.init()
told = []
logging.root.addHandler(type("Kept", (logging.Handler,), {"emit": lambda self, record: told.append(record)})())

from fastai.vision.all import ImageDataLoaders, Resize, get_image_files  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402

with warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    found = get_image_files("pictures")
    loaders = ImageDataLoaders.from_folder("pictures", valid_pct=0.2, seed=1, item_tfms=Resize(32), num_workers=0, bs=4)
said = [str(each.message) for each in raised if "pictures" in str(each.message) or "webp" in str(each.message)]
endings = Counter(file.suffix for file in found)
print(json.dumps([dict(sorted(endings.items())), list(loaders.vocab), len(said) + len(told), ImageFolder("pictures").classes]))
PYTHON
cat > "$place/run.py" <<'PYTHON'
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from PIL import Image

for label, ending, kind in (("grizzly", "jpg", "JPEG"), ("black", "jpg", "JPEG"), ("black", "jfif", "JPEG"), ("teddy", "webp", "WEBP")):
    folder = Path("pictures") / label
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        Image.new("RGB", (32, 32), (20 * number, 90, 60)).save(folder / f"{number}.{ending}", kind)
Path("mime.types").write_text("image/webp webp\nimage/jpeg jpg jpeg jfif\n")


def look(*files):
    return json.loads(subprocess.run([sys.executable, "look.py", *files], capture_output=True, check=True, text=True).stdout)


print("fastai", version("fastai"), "- Python", sys.version.split()[0], "- 20 .jpg, 10 .jfif and 10 .webp of 3 classes")
answers = {"without mime.types": look(), "with mime.types": look("mime.types")}
for name, (endings, labels, said, folders) in answers.items():
    print(f"{name}: found {endings}, classes {labels}, warnings {said}; torchvision's ImageFolder: classes {folders}")
everything = ["black", "grizzly", "teddy"]
assert answers["without mime.types"][:3] == [{".jpg": 20}, ["black", "grizzly"], 0], "It is otherwise here."
assert answers["with mime.types"][:3] == [{".jfif": 10, ".jpg": 20, ".webp": 10}, everything, 0], "It is otherwise here."
assert all(folders == everything for *_, folders in answers.values()), "torchvision finds the class on both systems."
PYTHON
cd "$place"
OMP_NUM_THREADS=1 venv/bin/python run.py
