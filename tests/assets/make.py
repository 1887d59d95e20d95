"""Make tests/assets/shapes: a folder store with one small revision of drawn discs, crosses and stripes.

    python -m tests.assets.make            # by train.py, with the network of the revision that is there
    python -m tests.assets.make --anew     # with a network that is taught first, which takes a minute

The pictures that it learns from need not be stored: the fixture `prebuilt` draws the same.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

import train
from spotter.images import to_square
from tests.helpers import tiny
from tests.helpers.drawing import KINDS, draw, write_folder

# Far from the seeds of the pictures that tests use.
FIRST_SEED = 10_000


def teach(pictures: int = 800, epochs: int = 30) -> dict[str, torch.Tensor]:
    """Teach the network to tell the shapes apart, and return its weights, without those of the classifier."""
    torch.manual_seed(1)
    drawn = [draw(kind, FIRST_SEED + seed) for seed in range(pictures) for kind in KINDS]
    squares = np.stack([to_square(picture, tiny.SIZE, "crop") for picture in drawn])
    model = tiny.build(num_classes=len(KINDS))
    mean, std = (torch.tensor(model.default_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    pixels = (torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255 - mean) / std
    targets = torch.arange(len(drawn)) % len(KINDS)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    batches = -(-len(drawn) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=epochs * batches)
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(drawn)).split(64):
            loss = cross_entropy(model(pixels[batch]), targets[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


@contextlib.contextmanager
def small_plots() -> Iterator[None]:
    """Plots of as few pixels as a test needs."""
    save = Figure.savefig
    with patch.object(Figure, "savefig", lambda figure, path, **options: save(figure, path, **options | {"dpi": 16})):
        yield


def make_revision(store: Path) -> str:
    """Train on the drawn shapes and publish to `store`; return the revision."""
    tiny.register()
    with tempfile.TemporaryDirectory() as folder, small_plots():
        pictures = write_folder(Path(folder) / "pictures", count=12, shrink=3)
        classes = [word for kind in KINDS for word in ("--class", kind)]
        where = ["--search", f"folder:{pictures}", "--to", str(store), "--data", str(Path(folder) / "data")]
        # As it was made at first: tests know its threshold.
        status = train.main([*classes, *where, *tiny.OPTIONS, "--no-shifts"])
    if status:
        raise SystemExit(status)
    # Where the pictures were on the machine that made it.
    (store / "pictures").unlink()
    return (store / "main").read_text().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make tests/assets/shapes.")
    parser.add_argument("--anew", action="store_true", help="teach the network first")
    weights = teach() if parser.parse_args().anew else tiny.read_weights()
    with patch.object(tiny, "read_weights", lambda: weights):
        shutil.rmtree(tiny.STORE, ignore_errors=True)
        revision = make_revision(tiny.STORE)
    size = sum(path.stat().st_size for path in tiny.STORE.rglob("*") if path.is_file())
    print(f"revision {revision}, {size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
