"""A picture set of drawn shapes with a training run over it, made in a second: features are drawn too."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from spotter.collect.collector import collect
from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.cache import FOLDER, FeatureCache
from spotter.data.duplicates import confirm_duplicates
from spotter.data.manifest import read_manifest, with_disputed, write_manifest
from spotter.data.splits import assign_folds
from spotter.data.training_run import Run, write_run
from spotter.evaluate.ood import score_folds
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from spotter.train.head import fit_head
from tests.helpers.drawing import draw, encode, write_folder

RECIPE = make_recipe({"disc": "disc", "cross": "cross", "stripes": "stripes"}, name="shapes", title="Which shape?")
HOSTILE = "<img src=x onerror=document.title='taken'>\"'&\n\u202e🐻 " + "long" * 40


def make_run(base: Path, count: int = 16) -> Run:
    """Collect `count` pictures of each shape, and train on them.

    Two discs lie among the crosses, one picture is in two classes, one has a smaller copy in its class and one in
    another, and one has a hostile name, title, creator and page.
    """
    source = write_folder(base / "source", count=count)
    for number in (900, 901):
        (source / "cross" / f"disc{number}.jpg").write_bytes(encode(draw("disc", number), quality=92))
    for kind in ("disc", "stripes"):
        (source / kind / "both.jpg").write_bytes(encode(draw("stripes", 950), quality=92))
    twin = draw("disc", 2)
    for kind in ("disc", "cross"):
        small = twin.resize((twin.width // 2, twin.height // 2))
        (source / kind / "twin.jpg").write_bytes(encode(small, quality=92 if kind == "disc" else 80))
    folder = base / "data" / "shapes" / "folder"
    dataset = with_disputed(collect(RECIPE, [Folder(str(source))], folder))
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, 32))
    true = [
        RECIPE.labels.index("disc" if record.backend_id in {"cross/disc900.jpg", "cross/disc901.jpg"} else record.label)
        for record in dataset.records
    ]
    features = centres[true] + 0.9 * rng.normal(size=(len(true), 32))
    where = {record.backend_id: index for index, record in enumerate(dataset.records)}
    for copy in ("disc/twin.jpg", "cross/twin.jpg"):
        features[where[copy]] = features[where["disc/002.jpg"]]
    features = features.astype(np.float32)
    dataset, _ = confirm_duplicates(dataset, features / np.linalg.norm(features, axis=1, keepdims=True))
    groups = {record.sha256: record for record in dataset.records}
    manifest = []
    for record in read_manifest(folder):
        if record.kept:
            record = replace(record, group=groups[record.sha256].group, flags=groups[record.sha256].flags)
        if record.backend_id == "cross/disc900.jpg":
            record = replace(record, title=HOSTILE, creator=HOSTILE, page_url="javascript:alert(1)", flags=("blurry",))
        manifest.append(record)
    write_manifest(folder, manifest)
    cache = FeatureCache(folder / FOLDER, "drawn", features.shape[1])
    cache.add([str(record.sha256) for record in dataset.records], features)
    rows = [index for index, record in enumerate(dataset.records) if record.reason is None]
    learnt = replace(dataset, records=tuple(dataset.records[row] for row in rows))
    config = TrainConfig(strengths=(0.01, 0.1))
    folds = assign_folds(learnt, config.folds, config.seed)
    _, probabilities = fit_head(features[rows], learnt.targets, folds, config)
    embeddings = features[rows] / np.linalg.norm(features[rows], axis=1, keepdims=True)
    run = Run(
        folder=folder,
        recipe=RECIPE,
        config=config,
        command="train.py",
        store=str(base / "models" / "shapes"),
        revision="0123456789abcdef",
        threshold=0.5,
        features=cache.name,
        width=cache.width,
        keys=tuple(str(record.sha256) for record in learnt.records),
        given=tuple(record.label for record in learnt.records),
        probabilities=probabilities.astype(np.float32),
        familiarity=score_folds(embeddings, folds, FamiliarityConfig()).astype(np.float32),
        folds=folds,
    )
    write_run(run)
    return run


def lines(folder: Path) -> list[dict[str, object]]:
    """The edit log of a set."""
    path = folder / "edits.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
