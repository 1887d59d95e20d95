"""A revision out of somebody's fastai export, which is opened in a process of its own alone.

What that process tells comes as a text file, an ONNX file and an array; nothing of it is unpickled here.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from spotter.bundle.format import REFERENCE, ModelSpec
from spotter.bundle.onnx_check import check_network
from spotter.collect.collector import collect
from spotter.collect.takedown import Takedown
from spotter.config import ConvertConfig, FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.splits import assign_folds
from spotter.errors import BadPicture, BrokenExport, TooFewPictures, UnsuitableExport
from spotter.evaluate import metrics
from spotter.evaluate.held_out import write_evaluation
from spotter.evaluate.metrics import Evaluation
from spotter.evaluate.ood import familiarity_on_folds
from spotter.images import load_picture, own_reason, to_square
from spotter.names import slug
from spotter.publish.convert_worker import ANSWERS, FACTS, FAILURE, NETWORK, PORTABLE, Facts
from spotter.publish.model_card import write_card
from spotter.publish.writing import (
    count_origins,
    describe_preprocessing,
    installed_versions,
    write_examples,
    write_model_json,
    write_nearest,
    write_origins,
    write_reference,
)
from spotter.recipe import Recipe, make_recipe
from spotter.search.folder import Folder
from spotter.train.thinning import round_embeddings
from spotter.utils.files import import_root, require_room, temporary_folder

_log = logging.getLogger(__name__)

HOW = "on pictures that it may have learnt from, so it may be worse on others"
# It loads fastai, as every training does, without a garbage collector that looks through it again and again.
_WORKER = """
import sys
from spotter.utils.imports import lasting_imports
with lasting_imports():
    from spotter.publish.convert_worker import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Export:
    """Somebody's `export.pkl`, and a Python file with the functions that it needs, if any."""

    path: Path
    functions: Path | None = None


@dataclass(frozen=True)
class NetworkAnswers:
    """The answers of a converted network for all pictures of a set: embeddings (n, d) of length 1, and probabilities
    (n, classes)."""

    embeddings: np.ndarray
    probabilities: np.ndarray

    @property
    def judged(self) -> np.ndarray:
        """All of them: bool (n,)."""
        return np.ones(len(self.embeddings), dtype=bool)


def export_network(
    export: Export, path: Path, config: ConvertConfig | None = None, portable: Path | None = None
) -> Facts:
    """Open the export in another process, which writes its network to `path`.

    If the export holds paths of Windows or of a newer Python, fastai alone cannot open it here; then the same export
    without them is written to `portable`.

    Raises:
        BrokenExport: it cannot be opened, or the process died or took too long.
        UnsuitableExport: it is no classifier of pictures that can be served.
        BrokenModel: the network that came of it holds what no classifier needs.
    """
    with temporary_folder() as folder:
        _run("export", export, folder, config or ConvertConfig())
        try:
            told: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            facts = Facts(**(told | {name: tuple(told[name]) for name in ("labels", "mean", "std")}))
            network = (folder / NETWORK).read_bytes()
            if portable and (folder / PORTABLE).exists():
                shutil.copyfile(folder / PORTABLE, portable)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BrokenExport("The process that opened the export ended without an answer.") from error
    check_network(network)
    path.write_bytes(network)
    return facts


def predict(export: Export, pictures: Sequence[Image.Image], config: ConvertConfig | None = None) -> np.ndarray:
    """What fastai itself says of decoded RGB pictures, in another process: probabilities (n, classes).

    Raises:
        BrokenExport: the process died or took too long.
    """
    with temporary_folder() as folder:
        for number, picture in enumerate(pictures):
            picture.save(folder / f"{number:05}.png", compress_level=1)
        _run("answer", export, folder, config or ConvertConfig())
        try:
            return np.load(folder / ANSWERS, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BrokenExport("The process that opened the export ended without an answer.") from error


def recipe_of(facts: Facts) -> Recipe:
    """The labels of an export as a recipe.

    Raises:
        RecipeError: they cannot be told apart, or cannot be names of folders.
    """
    return make_recipe({label: label for label in facts.labels}, name="-".join(map(slug, facts.labels))[:60])


def read_pictures(pictures: Path, facts: Facts, folder: Path, takedown: Path) -> Dataset:
    """Take the pictures of the class folders in `pictures` as a set in `folder`.

    Raises:
        RecipeError, FolderMissing, TooFewPictures, DatasetUnwritable: as in `collect`.
    """
    return collect(recipe_of(facts), [Folder(str(pictures))], folder, takedown=Takedown(takedown))


def answer_all(network: Path, facts: Facts, dataset: Dataset) -> tuple[Dataset, NetworkAnswers]:
    """Run an exported network over a set.

    Returns:
        The set without the pictures that cannot be read any more, which the log names with their reasons, and what the
        network says of the others.

    Raises:
        TooFewPictures: none can be read. UnsuitableExport: its answers are not numbers.
    """
    session = onnxruntime.InferenceSession(network.read_bytes(), providers=["CPUExecutionProvider"])
    rows, records = [], []
    for record, path in zip(dataset.records, dataset.paths, strict=True):
        try:
            with own_reason():
                pixels = to_square(load_picture(path), facts.size, facts.resize)[None]
        except BadPicture as error:
            _log.warning("%s is left out: %s", path, error)
            continue
        rows.append([row[0] for row in session.run(["embedding", "probabilities"], {"pixels": pixels})])
        records.append(record)
    if not rows:
        raise TooFewPictures("None of the pictures can be read any more; start again.")
    embeddings, probabilities = (np.stack(part) for part in zip(*rows, strict=True))
    # Written so that NaN fails too.
    if not (abs(np.linalg.norm(embeddings, axis=1) - 1) < 0.01).all() or not np.isfinite(probabilities).all():
        raise UnsuitableExport("The export's network gives features or probabilities that are not numbers.")
    return replace(dataset, records=tuple(records)), NetworkAnswers(embeddings, probabilities)


def write_files(files: Path, facts: Facts, dataset: Dataset, judged: NetworkAnswers, command: str) -> Evaluation:
    """Write all of a revision into `files` but the pickle and the network, which are there.

    Raises:
        TooFewPictures: a class holds copies of a single picture.
    """
    seed = TrainConfig.seed
    folds = assign_folds(dataset, TrainConfig.folds, seed)
    known = familiarity_on_folds(judged.embeddings, folds, FamiliarityConfig())
    names = [str(record.file) for record in dataset.records]
    evaluation = metrics.evaluate(judged.probabilities, dataset.targets, dataset.labels, names, known, HOW)
    write_reference(files / REFERENCE, round_embeddings(judged.embeddings))
    write_nearest(files, dataset, judged.embeddings, judged.judged)
    write_evaluation(evaluation, None, dataset, files)
    write_origins(files, dataset)
    recipe = recipe_of(facts)
    card = ModelSpec(
        name=recipe.name,
        title=recipe.title,
        labels=recipe.labels,
        arch=facts.arch,
        size=facts.size,
        resize=facts.resize,
        temperature=1.0,
        threshold=known.threshold,
        neighbours=known.neighbours,
        summary=f"Wrong on {evaluation.error:.1%} of {evaluation.pictures} pictures that it may have learnt from",
        examples=write_examples(files, dataset, judged),
        versions=installed_versions(),
        made={
            "command": command,
            "seed": seed,
            "converted": True,
            "pictures": evaluation.pictures,
            "origins": count_origins(dataset),
        },
        preprocessing=describe_preprocessing(facts.size, facts.resize, facts.mean, facts.std, facts.inside),
    )
    write_card(files, card, evaluation, dataset)
    write_model_json(files, card)
    return evaluation


def _run(task: str, export: Export, folder: Path, config: ConvertConfig) -> None:
    """Let another process do a task of `convert_worker.main`, with files in `folder`.

    Raises:
        BrokenExport, UnsuitableExport: as that process says, or because it died or took too long.
        OSError: there is no room left in `folder`.
    """
    paths = [export.path, folder, *([export.functions] if export.functions else [])]
    here = str(import_root())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    # Into a file: a pipe would be held open by whatever the export's code has started.
    with (folder / "stderr.txt").open("wb") as told:
        try:
            status = subprocess.run(  # noqa: S603  (this Python, and code of ours)
                [sys.executable, "-W", "ignore", "-c", _WORKER, task, *(str(path.resolve()) for path in paths)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                timeout=config.patience_s,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise BrokenExport(
                f"The process that opened the export was stopped, because it gave no answer within "
                f"{config.patience_s:g} s."
            ) from error
    failure = folder / FAILURE
    if status == 1 and failure.exists():
        kind, _, sentence = failure.read_text(encoding="utf-8").partition(": ")
        raise (UnsuitableExport if kind == UnsuitableExport.__name__ else BrokenExport)(sentence)
    if status:
        require_room(folder)
        lines = (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise BrokenExport(
            f"The process that opened the export died ({how}: {last}); an export by another version of Python, fastai "
            "or torch may do that: export it again with those of this .venv."
        )
