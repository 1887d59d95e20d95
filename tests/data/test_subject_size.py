"""How far a subject spreads: through the real backbone on drawn pictures, and where there is nothing to go by."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from spotter.collect.collector import collect
from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.subject_size import centre_classifier, measure_spread
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from spotter.train.backbone import compute_features, compute_spreads, load_backbone
from tests.helpers.drawing import encode

SIDE = 240
COUNT = 8


def draw_disc(seed: int, share: float) -> Image.Image:
    """A shaded disc that covers `share` of a noisy field."""
    rng = random.Random(seed)
    field = Image.frombytes("RGB", (SIDE, SIDE), rng.randbytes(3 * SIDE * SIDE)).filter(ImageFilter.GaussianBlur(2))
    picture = Image.blend(Image.new("RGB", (SIDE, SIDE), (90, 140, 60)), field, 0.5)
    radius = SIDE * (share / np.pi) ** 0.5
    x, y = (rng.uniform(min(radius, SIDE / 2), max(SIDE - radius, SIDE / 2)) for _ in range(2))
    pen = ImageDraw.Draw(picture)
    for step in range(20):
        part = radius * (1 - step / 20)
        pen.ellipse((x - part, y - part, x + part, y + part), fill=(200 + 2 * step, 70 + 6 * step, 20 + 6 * step))
    return picture


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Discs that cover a twentieth of the picture, and discs that cover four fifths of it."""
    base = tmp_path_factory.mktemp("discs")
    for label, share in (("small", 0.05), ("big", 0.8)):
        (base / "source" / label).mkdir(parents=True)
        for seed in range(COUNT):
            file = base / "source" / label / f"{seed}.jpg"
            file.write_bytes(encode(draw_disc(seed, share), quality=92))
    recipe = make_recipe({"small": "small", "big": "big"}, name="discs")
    return collect(recipe, [Folder(str(base / "source"))], base / "set")


def test_a_small_disc_spreads_less_than_a_big_one_and_is_measured_in_passing(discs: Dataset, tmp_path: Path) -> None:
    backbone = load_backbone(TrainConfig())
    features = compute_features(backbone, discs)
    files = discs.paths
    moved = [path.rename(tmp_path / f"{index}.jpg") for index, path in enumerate(files)]
    spreads = compute_spreads(backbone, discs)  # without any picture to look at
    for path, file in zip(moved, files, strict=True):
        path.rename(file)
    assert spreads is not None
    big = discs.targets == discs.labels.index("big")
    assert big.sum() == (~big).sum() == COUNT
    # How often a big one is measured bigger than a small one.
    assert (spreads[big][:, None] > spreads[~big][None]).mean() > 0.85
    assert ((spreads >= 0) & (spreads <= 1)).all()

    # A cache of features from before there were spreads, or a damaged one.
    (stored,) = (discs.folder / "features").glob("*-spread.*.safetensors")
    stored.write_bytes(b"{\xff")
    again = compute_spreads(backbone, discs)
    assert again is not None
    np.testing.assert_allclose(again, spreads, atol=1e-5)
    np.testing.assert_array_equal(compute_features(backbone, discs), features)


def test_another_backbone_measures_nothing(discs: Dataset) -> None:
    backbone = load_backbone(TrainConfig())
    other = replace(backbone, arch="another", body=replace(backbone.body, classifier=None))
    assert compute_spreads(other, discs) is None


def test_evidence_counts_where_it_lies_and_where_it_looks_alike() -> None:
    weight, bias = centre_classifier(np.array([[6.0, 0, 0], [0, 0, 0], [0, 0, 0]]), np.zeros(3))
    places = np.zeros((3, 4, 4))
    places[2] = 1
    assert measure_spread(places, weight, bias) < 0.05
    places[:, :2] = np.array([3.0, 0, 0])[:, None, None]
    half = measure_spread(places, weight, bias)
    assert 0.45 < half < 0.55
    # One row gives less evidence than is enough, and looks like the two that give more.
    places[:, 2] = np.array([0.4, 0, 0])[:, None]
    assert measure_spread(places, weight, bias) == pytest.approx(half + 0.25, abs=0.05)
    assert 0 <= measure_spread(np.zeros((3, 4, 4)), weight, bias) < 0.05
