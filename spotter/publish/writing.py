"""Writes the files of a revision; `model.json` last, as it holds the hashes of all others."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from safetensors.numpy import save as save_tensors

from spotter.bundle.format import FORMAT, MODEL_JSON, REFERENCE, THUMBNAILS, ModelSpec, hash_of
from spotter.bundle.reading import read_reference
from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.manifest import write_attribution
from spotter.evaluate.metrics import Evaluation
from spotter.publish.thumbnails import choose_thumbnails, write_thumbnails
from spotter.recipe import Recipe
from spotter.utils.licenses import may_be_shown

if TYPE_CHECKING:
    # For the type alone: conversion writes files too, and loads neither torch nor fastai.
    from spotter.train.trained import Trained


class HeldOut(Protocol):
    """What is needed of a judged model: `judged`, bool (n,), and `probabilities` (judged.sum(), classes)."""

    @property
    def judged(self) -> np.ndarray: ...
    @property
    def probabilities(self) -> np.ndarray: ...


def write_examples(folder: Path, dataset: Dataset, trained: HeldOut) -> dict[str, str]:
    """Copy one example picture a class: the surest right answer among those that may be shown.

    That is: your own pictures (from a folder) and those under an open licence, never those of unknown licence.

    Returns:
        Label -> name of the file in `folder`.
    """
    given = trained.probabilities[np.arange(trained.judged.sum()), dataset.targets[trained.judged]]
    sureness = dict(zip(np.flatnonzero(trained.judged), given, strict=True))
    examples, paths = {}, dataset.paths
    for number, label in enumerate(dataset.labels, 1):
        mine = [index for index in sureness if dataset.records[index].label == label]
        shown = [i for i in mine if may_be_shown(dataset.records[i].backend, dataset.records[i].license_id)]
        shown = [index for index in shown if paths[index].is_file()]
        if shown:
            examples[label] = f"example-{number}.jpg"
            best = max(shown, key=sureness.__getitem__)
            (folder / examples[label]).write_bytes(paths[best].read_bytes())
    return examples


def make_spec(
    recipe: Recipe,
    config: TrainConfig,
    trained: "Trained",
    evaluation: Evaluation,
    examples: dict[str, str],
    command: str,
    stats: tuple[Sequence[float], Sequence[float]],
    origins: list[dict[str, Any]],
) -> ModelSpec:
    """Gather what `model.json` says about a trained model; `stats` are the mean and spread of its normalisation,
    `origins` what `count_origins` gave.
    """
    mean, std = stats
    return ModelSpec(
        name=recipe.name,
        title=recipe.title,
        labels=recipe.labels,
        arch=config.arch,
        size=config.size,
        resize=config.resize,
        temperature=trained.head.temperature,
        threshold=evaluation.familiarity.threshold,
        neighbours=evaluation.familiarity.neighbours,
        certainty=evaluation.familiarity.certainty,
        summary=evaluation.brief(),
        examples=examples,
        versions=installed_versions(),
        made={
            "command": command,
            "seed": config.seed,
            "strength": trained.head.strength,
            "balanced": trained.head.balanced,
            "fine_tune_epochs": trained.fine_tune_epochs,
            "tried": list(trained.tried),
            "pictures": int(trained.learnt_from.sum()),
            "origins": origins,
        },
        preprocessing=describe_preprocessing(config.size, config.resize, mean, std),
        second_look=evaluation.second_look.second_look if evaluation.second_look else None,
    )


def describe_preprocessing(
    size: int, resize: str, mean: Sequence[float], std: Sequence[float], inside: str = ""
) -> dict[str, Any]:
    """What `model.json` says about the way from a picture to the network.

    Args:
        mean, std: of pixels in [0, 1], by channel. inside: what the graph does after normalising, in words.
    """
    steps = "(pixels * scale - mean) / std, by channel"
    return {
        "upright": "EXIF orientation applied",
        "mode": "RGB, alpha on white",
        "resize": f"{resize}, as fastai's Resize does at inference; padding is black",
        "interpolation": "Pillow bilinear",
        "size": size,
        "input": f"uint8 NHWC; the graph does the rest: {steps}{f', then {inside}' if inside else ''}",
        "scale": 1 / 255,
        "mean": list(mean),
        "std": list(std),
    }


def installed_versions() -> dict[str, str]:
    """The versions of what a model depends on."""
    return {name: version(name) for name in ("fastai", "timm", "torch", "onnxruntime", "pillow", "numpy")}


def write_reference(path: Path, embeddings: np.ndarray) -> None:
    """Write the training pictures' embeddings, shape (n, d), for familiarity."""
    # safetensors writes the memory as it lies there, and only C order is read back as it was.
    path.write_bytes(save_tensors({"embeddings": np.ascontiguousarray(embeddings, dtype=np.float32)}))


def write_nearest(
    folder: Path, dataset: Dataset, embeddings: np.ndarray, learnt_from: np.ndarray, views: int = 0
) -> None:
    """Write thumbnails of the pictures learnt from, where they may be shown, for the rows of the written reference.

    Args:
        embeddings: float32 (n, d) of the set's pictures. learnt_from: bool (n,). views: how many rows of the reference,
            at its end, are views.
    """
    indices = np.flatnonzero(learnt_from)
    records = [dataset.records[index] for index in indices]
    reference = read_reference((folder / REFERENCE).read_bytes())
    # Views of them come last, and are not shown.
    reference = reference[: len(reference) - views]
    chosen = choose_thumbnails(records, embeddings[indices], reference)
    write_thumbnails(folder / THUMBNAILS, chosen, records, dataset.folder)


def count_origins(dataset: Dataset) -> list[dict[str, Any]]:
    """How many kept pictures of each class are from which source, under which licence."""
    counted = Counter((record.label, record.backend, record.license_id) for record in dataset.records)
    return [
        {"label": label, "source": source, "license": license_id, "pictures": count}
        for (label, source, license_id), count in sorted(counted.items())
    ]


def write_origins(folder: Path, dataset: Dataset) -> None:
    """Write `manifest.jsonl` (every picture, kept or not) and `ATTRIBUTION.csv` (the kept ones)."""
    records = sorted((*dataset.records, *dataset.dropped), key=lambda record: (record.label, record.backend_id))
    lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    (folder / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    write_attribution(folder, dataset)


def write_model_json(folder: Path, card: ModelSpec) -> None:
    """Write `model.json` last: it holds the SHA-256 of every other file in `folder`."""
    hashes = {file.name: hash_of(file.read_bytes()) for file in sorted(folder.iterdir()) if file.name != MODEL_JSON}
    content = {"format": FORMAT, **asdict(card), "sha256": hashes}
    (folder / MODEL_JSON).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
