"""The stages that train.py and the cleaning page share; as a command, what the page runs to publish a cleaned set.

    python -m spotter.pipeline data/bears/openverse

The last line on stdout is `revision REV`; exit status as of train.py.
"""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spotter import evaluate, learner
from spotter.backbone import (
    Backbone,
    compute_features,
    compute_spreads,
    feature_cache,
    imagenet_logits,
    load_backbone,
)
from spotter.bundle import ONNX, PICKLE, REFERENCE, ModelSpec, read_bundle
from spotter.card import write_card
from spotter.changes import Changes, find_changes
from spotter.command import run_command, say, stage
from spotter.config import FamiliarityConfig, Recipe, TrainConfig
from spotter.dataset import Dataset, read_dataset, with_disputed
from spotter.edits import EditLog, apply_edits, deal_folds, positions
from spotter.evaluate import Evaluation, Strangers
from spotter.learner import Trained
from spotter.parser import Parser
from spotter.predictor import Predictor
from spotter.premortem import read_answers
from spotter.publish.parity import check_parity, parity_pictures
from spotter.publish.writing import (
    count_origins,
    make_spec,
    write_examples,
    write_manifest,
    write_model_json,
    write_nearest,
    write_reference,
)
from spotter.report import REPORT, write_report
from spotter.review import review
from spotter.run import Run, find_before, read_run, write_run
from spotter.stores import FolderStore, Store, open_store
from spotter.stores.base import content_name
from spotter.takedown import Takedown
from spotter.temporary import temporary_folder
from spotter.trained import measure_looks


def look(dataset: Dataset, features: np.ndarray, backbone: Backbone) -> Dataset:
    """Take the second look at a set, and say what there is to say about it."""
    edits = EditLog(dataset.folder).read()
    logits, spreads = imagenet_logits(backbone, features), compute_spreads(backbone, dataset)
    dataset, sayings = review(dataset, features, logits, spreads, edits)
    for saying in sayings:
        say(saying)
    return dataset


def clean(dataset: Dataset, features: np.ndarray, config: TrainConfig) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Apply what people decided (see scripts/clean), and say what that changes.

    Returns:
        The set after it, with its features, float32 (n, width), and folds, int64 (n,).

    Raises:
        EditsDamaged: the log cannot be read. TooFewPictures: the edits leave a class with too few.
    """
    edited = apply_edits(dataset, EditLog(dataset.folder).read())
    if edited.sentence():
        say(edited.sentence())
    rows = positions(dataset, edited.dataset)
    return edited.dataset, features[rows], deal_folds(dataset, edited.dataset, config)


def show_batch(dataset: Dataset, backbone: Backbone, config: TrainConfig) -> None:
    """Save contact sheets of what fine-tuning learns from, and say where."""
    say(f"contact sheets of what it learns from: {learner.show_batch(dataset, backbone, config)}")


def learn(
    dataset: Dataset, folds: np.ndarray, backbone: Backbone, features: np.ndarray, config: TrainConfig
) -> Trained:
    """Train a Learner, and say what was tried."""
    train = learner.train_whole if config.fine_tune else learner.train_head
    trained = train(dataset, folds, backbone, features, config)
    for line in trained.tried:
        say(line)
    return trained


@dataclass(frozen=True)
class Judged:
    """How good a trained learner is, and how well it tells strangers, if there were any."""

    evaluation: Evaluation
    strangers: Strangers | None


def judge(trained: Trained, dataset: Dataset, folds: np.ndarray, strangers: np.ndarray | None = None) -> Judged:
    """Judge a trained learner, say how good it is, and write the report with the pictures.

    Args:
        strangers: float32 (k, d), embeddings of length 1 of pictures of none of the classes.
    """
    evaluation = evaluate.judge(trained, dataset, folds, FamiliarityConfig())
    judged: Strangers | None = None
    if strangers is not None:
        judged = evaluate.judge_strangers(evaluation, trained, folds, strangers, FamiliarityConfig())
    for line in evaluate.sentences(evaluation, judged):
        say(line)
    write_report(evaluation, trained, dataset, folds, dataset.folder / REPORT, strangers=judged)
    say(f"all of this with the pictures: {dataset.folder / REPORT}")
    return Judged(evaluation, judged)


@dataclass(frozen=True)
class Candidate:
    """A judged model that is not published yet, with all that it was made from. `folds` are int64 (n,). `changes` tell
    what is new since an earlier run over the set, if there was another."""

    recipe: Recipe
    config: TrainConfig
    dataset: Dataset
    folds: np.ndarray
    backbone: Backbone
    trained: Trained
    judged: Judged
    command: str
    changes: Changes | None = None


def with_changes(candidate: Candidate) -> Candidate:
    """Find out what is new since the last run over the set that was another, and say it.

    Raises:
        DatasetUnwritable: what pictures look like, which takes a while to measure, cannot be kept.
    """
    dataset, now = candidate.dataset, _run_of(candidate)
    before = find_before(now)
    if before is None:
        return candidate
    found = find_changes(before, now, dataset, measure_looks(dataset.folder, now.keys, dataset.paths))
    say(found.sentence())
    return replace(candidate, changes=found)


def write_files(files: Path, candidate: Candidate) -> ModelSpec:
    """Write everything that a revision holds into the folder `files`; return what its `model.json` says."""
    dataset, trained, evaluation = candidate.dataset, candidate.trained, candidate.judged.evaluation
    reference = evaluate.make_reference(trained, candidate.folds, FamiliarityConfig())
    write_reference(files / REFERENCE, reference)
    write_nearest(files, dataset, trained.embeddings, trained.learnt_from)
    learner.export_pickle(trained.learner, files / PICKLE)
    learner.export_onnx(trained.learner, files / ONNX, candidate.config.size)
    evaluate.write_evaluation(evaluation, dataset, files)
    write_manifest(files, dataset)
    examples = write_examples(files, dataset, trained)
    stats = candidate.backbone.mean, candidate.backbone.std
    origins = count_origins(dataset)
    card = make_spec(
        candidate.recipe, candidate.config, trained, evaluation, examples, candidate.command, stats, origins
    )
    chosen = sum(record.is_self_selected for record in dataset.records)
    share, answers = round(chosen / len(dataset.records), 4), read_answers(dataset.folder.parent)
    card = replace(card, made={**card.made, "self_selected_share": share, "premortem": answers})
    _write_cards(files, card, candidate)
    return card


def _write_cards(files: Path, card: ModelSpec, candidate: Candidate) -> None:
    """Write `README.md` and, as it holds the hashes of all files, `model.json` after it."""
    judged, license_id = candidate.judged, candidate.recipe.license
    write_card(
        files,
        card,
        judged.evaluation,
        candidate.dataset,
        license_id=license_id,
        strangers=judged.strangers,
        changes=candidate.changes,
    )
    write_model_json(files, card)


def compare(files: Path, dataset: Dataset) -> None:
    """The gate before publishing: the files must answer like the trained model.

    Raises:
        ParityError: they do not.
    """
    parity = check_parity(
        lambda pictures: learner.predict_with_pickle(files / PICKLE, pictures),
        Predictor(read_bundle(files)).probabilities,
        parity_pictures(dataset.paths),
    )
    say(f"{parity.pictures} pictures, largest difference {parity.largest_difference:.1e}")


def add_int8(files: Path, card: ModelSpec, candidate: Candidate) -> None:
    """Add an int8 network to the files if it is worth having, and say why or why not."""
    # Here rather than at the top: onnxruntime's tools for it take a second to load.
    from spotter.int8 import add_int8 as add

    figures, sentence = add(files, candidate.dataset, candidate.folds, candidate.trained)
    say(sentence)
    _write_cards(files, replace(card, int8=figures), candidate)


def remember(revision: str, contents: str, store: Store, candidate: Candidate) -> None:
    """Write down beside the pictures what scripts/clean and the next run need to know of this one.

    Args:
        contents: the name of the revision's files.
    """
    place = str(store.root.absolute()) if isinstance(store, FolderStore) else store.address
    write_run(replace(_run_of(candidate), store=place, revision=revision, contents=contents))


def _run_of(candidate: Candidate) -> Run:
    """The run that made a candidate, which has no revision yet."""
    dataset, trained = candidate.dataset, candidate.trained
    count = len(dataset.records)
    cache = feature_cache(candidate.backbone, dataset.folder)
    probabilities = np.full((count, len(dataset.labels)), np.nan, dtype=np.float32)
    probabilities[trained.judged] = trained.probabilities
    familiarity = np.full(count, np.nan, dtype=np.float32)
    familiarity[trained.judged] = evaluate.score_known(trained, candidate.folds, FamiliarityConfig())
    return Run(
        folder=dataset.folder,
        recipe=candidate.recipe,
        config=candidate.config,
        command=candidate.command,
        store="",
        revision="",
        threshold=candidate.judged.evaluation.familiarity.threshold,
        features=cache.name,
        width=cache.width,
        keys=tuple(str(record.sha256) for record in dataset.records),
        given=tuple(record.label for record in dataset.records),
        probabilities=probabilities,
        familiarity=familiarity,
        folds=candidate.folds,
    )


def publish_again(folder: Path) -> str:
    """Train on a set as people have cleaned it, and publish to the store of its last run; return the revision.

    Raises:
        NoTrainingRun: there is no run to repeat. ParityError: the gate stays shut.
    """
    with stage("Read the picture set"):
        last = read_run(folder)
        recipe, config, store = last.recipe, last.config, open_store(last.store)
        collected = read_dataset(folder, recipe.labels)
        # Beside the recipes' folders, where train.py reads it.
        takedown = Takedown(folder.absolute().parent.parent / "takedown.txt")
        dataset = with_disputed(collected)
        dataset = replace(dataset, records=tuple(r for r in dataset.records if not takedown.covers(r)))
    with stage("Compute the features"):
        backbone = load_backbone(config)
        features = compute_features(backbone, dataset)
    with stage("Look at what was collected"):
        dataset = look(dataset, features, backbone)
        dataset, features, folds = clean(dataset, features, config)
    with stage("Learn"):
        trained = learn(dataset, folds, backbone, features, config)
    with stage("Judge it on pictures it did not see"):
        judged = judge(trained, dataset, folds)
        candidate = Candidate(recipe, config, dataset, folds, backbone, trained, judged, last.command)
        candidate = with_changes(candidate)
    with temporary_folder() as files:
        with stage("Write the files"):
            write_files(files, candidate)
        with stage("Compare them with the trained model"):
            compare(files, dataset)
        with stage("Publish"):
            revision = store.push(files)
            remember(revision, content_name(files), store, candidate)
    return revision


def main(argv: Sequence[str] | None = None) -> int:
    """Publish a cleaned set and return the exit status."""
    parser = Parser(prog="python -m spotter.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of a picture set that train.py has trained on")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # timm's own business
    return run_command("publish", lambda: f"revision {publish_again(options.folder)}", argv)


if __name__ == "__main__":
    sys.exit(main())
