#!/usr/bin/env bash
# fastai 2.8.12 trains on nothing, and says so nowhere, where there are fewer training pictures than a batch holds.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check fastai==2.8.12 torch==2.14.1 torchvision==0.29.1
cat > "$place/train.py" <<'PYTHON'
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import ImageDataLoaders, Resize, error_rate, resnet18, set_seed, vision_learner
from PIL import Image

told = []
logging.basicConfig(level=logging.WARNING)
logging.root.addHandler(type("Kept", (logging.Handler,), {"emit": lambda self, record: told.append(record)})())
folder = Path("pictures")
draw = np.random.default_rng(0)
for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
    (folder / label).mkdir(parents=True)
    for number in range(30):
        noisy = np.clip(draw.normal(colour, 30, (64, 64, 3)), 0, 255).astype("uint8")
        Image.fromarray(noisy).save(folder / label / f"{number}.png")


def train(**options):
    set_seed(1)
    loaders = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, item_tfms=Resize(64), num_workers=0, **options)
    learn = vision_learner(loaders, resnet18, pretrained=False, metrics=error_rate)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        learn.fine_tune(3)
    about = [str(each.message) for each in raised if "batch" in str(each.message).lower()]
    changed = sum(not torch.equal(value, learn.model.state_dict()[name]) for name, value in before.items())
    print(
        f"{len(loaders.train_ds)} training pictures, {loaders.bs} a batch: {len(loaders.train)} batches an epoch, "
        f"{changed} of {len(before)} tensors changed, warnings about it: {len(about) + len(told)}, "
        f"training loss {learn.recorder.values[-1][0]:.3g}, error on held-out pictures {learn.recorder.values[-1][2]:.2f}"
    )
    return len(loaders.train), changed, about


import fastai  # noqa: E402

print("fastai", fastai.__version__, "torch", torch.__version__)
batches, changed, about = train()
assert (batches, changed, about, told) == (0, 0, [], []), (batches, changed, about, told)
batches, changed, _ = train(bs=16)
assert batches == 3 and changed > 50, (batches, changed)
PYTHON
cd "$place"
OMP_NUM_THREADS=1 venv/bin/python train.py
