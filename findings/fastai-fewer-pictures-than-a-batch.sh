#!/usr/bin/env bash
# fastai 2.8.12 trains on nothing, without a word, when there are fewer training pictures than the batch size (64 unless told).
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check fastai==2.8.12 torch==2.14.1 torchvision==0.29.1
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from torch import nn

warnings.simplefilter("ignore")
from fastai.vision.all import ImageDataLoaders, Learner, accuracy  # noqa: E402

for number in range(40):
    folder = Path("pictures", "dark" if number % 2 else "light")
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (20, 20, 20) if number % 2 else (230, 230, 230)).save(folder / f"{number}.png")

print("fastai", version("fastai"))
moved = {}
for batch_size in (64, 16):
    loaders = ImageDataLoaders.from_folder("pictures", valid_pct=0.2, seed=1, bs=batch_size, num_workers=0)
    learner = Learner(loaders, nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), metrics=accuracy)
    before = learner.model[1].weight.detach().clone()
    with learner.no_bar(), learner.no_logging():
        learner.fit(3)
    moved[batch_size] = not torch.equal(before, learner.model[1].weight)
    print(
        f"{len(loaders.train_ds)} training pictures in batches of {batch_size}: {len(loaders.train)} batches an epoch; "
        f"after 3 epochs the weights have changed: {moved[batch_size]}"
    )
assert moved == {64: False, 16: True}, moved
PYTHON
