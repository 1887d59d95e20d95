"""The stages of a training, each one function: what train.py, `spotter train` and the cleaning page call.

As a command, what the cleaning page runs to publish a cleaned set: `python -m spotter.pipeline data/bears/openverse`.
The last line on stdout is then `revision REV`; exit status as of train.py.
"""

import functools
import hashlib
import os
import shlex
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spotter import recipe
from spotter.collect.collector import collect, read_more
from spotter.collect.download import download_all
from spotter.collect.ingest import Fetch
from spotter.collect.takedown import Takedown
from spotter.config import CollectConfig, FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset
from spotter.data.edit_log import EditLog
from spotter.data.edits import apply_edits
from spotter.data.manifest import read_dataset, with_disputed
from spotter.data.splits import deal_folds, positions
from spotter.data.training_run import Run, find_before, read_run, write_run
from spotter.feedback.sync import fetched
from spotter.publish.premortem import read_answers
from spotter.recipe import Recipe, recipe_from_options, slug
from spotter.search import SearchBackend, get_backends
from spotter.search.feedback import VisitorFeedback
from spotter.stores import FolderStore, Store, open_store
from spotter.stores.base import content_name
from spotter.utils.console import run_command, say, stage
from spotter.utils.files import import_root, temporary_folder
from spotter.utils.imports import lasting_imports

# fastai, torch and what needs them are imported by the stages that do: a mistake in the recipe is told at once, not
# after seconds of imports.
if TYPE_CHECKING:
    from spotter.bundle.format import ModelSpec
    from spotter.evaluate.comparison import Changes
    from spotter.evaluate.metrics import Evaluation
    from spotter.evaluate.ood import Strangers
    from spotter.train.backbone import Backbone
    from spotter.train.learner import Trained

# Whether there are app.py and scripts.
CHECKOUT = (import_root() / "app.py").is_file()


@dataclass(frozen=True)
class Task:
    """What to train, and where to publish it.

    `more` are further queries by label. `strangers` is a folder of pictures of none of the classes. With
    `is_first`, what can be done with the model is told at the end.
    """

    recipe: Recipe
    config: TrainConfig
    store: Store
    command: str
    sources: Sequence[SearchBackend] = ()
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strangers: Path | None = None
    show_batch: bool = False
    is_first: bool = False


@dataclass(frozen=True)
class Features:
    """A picture set with its features, float32 (n, width), by a backbone."""

    dataset: Dataset
    backbone: "Backbone"
    values: np.ndarray


@dataclass(frozen=True)
class Cleaned(Features):
    """Features of a set as people left it, with its folds, int64 (n,)."""

    folds: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A judged model that is not published yet, with all that it was made from.

    `strangers` tell how well it refuses them, if there were any. `changes` tell what is new since an earlier run over
    the set, if there was another.
    """

    task: Task
    cleaned: Cleaned
    trained: "Trained"
    evaluation: "Evaluation"
    strangers: "Strangers | None" = None
    changes: "Changes | None" = None


def in_first_process(train: Callable[[Namespace], str]) -> Callable[[Namespace], str]:
    """Train in the first of several processes that a launcher such as `torchrun` started; the others help it."""

    @functools.wraps(train)
    def start(options: Namespace) -> str:
        if os.environ.get("RANK", "0") == "0":
            return train(options)
        if options.config.fine_tune:
            from spotter.train.distributed import help_first

            help_first()
        return ""

    return start


@stage("Read the recipe")
def read_recipe(options: Namespace) -> Task:
    """Read what to train from the options of `spotter train`, and see that it can be collected and published.

    Raises:
        RecipeError, UnknownSource, FolderMissing, FeedbackMissing, UnknownStore: what was asked for is none.
        AccessRefused, StoreUnreachable, StoreUnwritable, CacheUnwritable: a store cannot be used.
    """
    recipe = recipe_of(options)
    more = read_more(options.more, recipe)
    store = open_store(options.to or Path("models") / recipe.name, private=options.private)
    store.check()
    sources = sources_of(options)
    say(f"{recipe.name}: {', '.join(recipe.labels)}; from {options.search}, to {store.address}")
    return Task(
        recipe=recipe,
        config=options.config,
        store=store,
        command=_command(options, sources),
        sources=sources,
        more=more,
        strangers=options.unfamiliar,
        show_batch=options.show_batch,
        is_first=True,
    )


@stage("Collect the pictures")
def collect_pictures(options: Namespace, task: Task) -> Dataset:
    """Collect the pictures of a task into the set that the options name, and say what was kept and why not.

    Raises:
        As `fill_set`.
    """
    return fill_set(options, task.recipe, task.sources, task.more)


@stage("Load fastai and torch")
def load_libraries() -> None:
    """Import what takes seconds."""
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # timm's own business
    with lasting_imports():
        pass


@stage("Compute the features")
def compute_features(task: Task, dataset: Dataset) -> Features:
    """Compute the features of a set, as far as they are not cached.

    Raises:
        UnknownArchitecture, WeightsUnavailable: there is no such backbone. DatasetUnwritable: the cache cannot be kept.
        TrainingFailed: the features are not finite numbers.
    """
    from spotter.train import backbone

    body = backbone.load_backbone(task.config)
    return Features(dataset, body, backbone.compute_features(body, dataset))


@stage("Look at what was collected")
def look_and_clean(task: Task, features: Features) -> Cleaned:
    """Take a second look at a set, apply what people decided (see scripts/clean), and say what both change.

    Raises:
        EditsDamaged: the log cannot be read. TooFewPictures: the edits leave a class with too few.
    """
    from spotter.data.audit import review
    from spotter.train.backbone import compute_spreads, imagenet_logits

    body, values = features.backbone, features.values
    edits = EditLog(features.dataset.folder).read()
    logits, spreads = imagenet_logits(body, values), compute_spreads(body, features.dataset)
    seen, sayings = review(features.dataset, values, logits, spreads, edits)
    for saying in sayings:
        say(saying)
    edited = apply_edits(seen, EditLog(seen.folder).read())
    if edited.sentence():
        say(edited.sentence())
    rows = positions(seen, edited.dataset)
    return Cleaned(edited.dataset, body, values[rows], deal_folds(seen, edited.dataset, task.config))


@stage("Learn")
def learn(task: Task, cleaned: Cleaned) -> "Trained":
    """Train a Learner, and say what was tried."""
    from spotter.train import learner
    from spotter.train.learner import train_head, train_whole

    dataset, body = cleaned.dataset, cleaned.backbone
    if task.show_batch:
        say(f"contact sheets of what it learns from: {learner.show_batch(dataset, body, task.config)}")
    train = train_whole if task.config.fine_tune else train_head
    trained = train(dataset, cleaned.folds, body, cleaned.values, task.config)
    for line in trained.tried:
        say(line)
    return trained


@stage("Judge it on pictures it did not see")
def judge(task: Task, cleaned: Cleaned, trained: "Trained") -> Candidate:
    """Judge a trained learner, say how good it is and what is new, and write the report with the pictures.

    Raises:
        DatasetUnwritable: what pictures look like, which takes a while to measure, cannot be kept.
    """
    from spotter.evaluate import held_out
    from spotter.evaluate.held_out import sentences
    from spotter.evaluate.ood import judge_strangers
    from spotter.evaluate.report import REPORT, write_report

    dataset, folds, familiarity = cleaned.dataset, cleaned.folds, FamiliarityConfig()
    embedded = _embed_strangers(task, cleaned, trained)
    evaluation = held_out.judge(trained, dataset, folds, familiarity)
    strangers: Strangers | None = None
    if embedded is not None:
        strangers = judge_strangers(evaluation, trained, folds, embedded, familiarity)
    for line in sentences(evaluation, strangers):
        say(line)
    write_report(evaluation, trained, dataset, folds, dataset.folder / REPORT, strangers=strangers)
    say(f"all of this with the pictures: {dataset.folder / REPORT}")
    return _with_changes(Candidate(task, cleaned, trained, evaluation, strangers))


@stage("Write the files")
def write_files(files: Path, candidate: Candidate) -> "ModelSpec":
    """Write everything that a revision holds into the folder `files`; return what its `model.json` says."""
    from spotter.bundle.format import ONNX, PICKLE, REFERENCE
    from spotter.evaluate.held_out import write_evaluation
    from spotter.evaluate.ood import make_reference
    from spotter.publish import writing
    from spotter.train.export import export_onnx, export_pickle

    task, trained, evaluation = candidate.task, candidate.trained, candidate.evaluation
    dataset, body = candidate.cleaned.dataset, candidate.cleaned.backbone
    reference = make_reference(trained, candidate.cleaned.folds, FamiliarityConfig())
    writing.write_reference(files / REFERENCE, reference)
    writing.write_nearest(files, dataset, trained.embeddings, trained.learnt_from)
    export_pickle(trained.learner, files / PICKLE)
    export_onnx(trained.learner, files / ONNX, task.config.size)
    write_evaluation(evaluation, dataset, files)
    writing.write_manifest(files, dataset)
    examples = writing.write_examples(files, dataset, trained)
    stats, origins = (body.mean, body.std), writing.count_origins(dataset)
    card = writing.make_spec(task.recipe, task.config, trained, evaluation, examples, task.command, stats, origins)
    chosen = sum(record.is_self_selected for record in dataset.records)
    share, answers = round(chosen / len(dataset.records), 4), read_answers(dataset.folder.parent)
    card = replace(card, made={**card.made, "self_selected_share": share, "premortem": answers})
    _write_cards(files, card, candidate)
    return card


@stage("Compare them with the trained model")
def compare(files: Path, candidate: Candidate) -> None:
    """The gate before publishing: the files must answer like the trained model.

    Raises:
        ParityError: they do not.
    """
    from spotter.bundle.format import PICKLE
    from spotter.bundle.reading import read_bundle
    from spotter.inference.predictor import Predictor
    from spotter.publish.parity import check_parity, parity_pictures
    from spotter.train.export import predict_with_pickle

    parity = check_parity(
        lambda pictures: predict_with_pickle(files / PICKLE, pictures),
        Predictor(read_bundle(files)).probabilities,
        parity_pictures(candidate.cleaned.dataset.paths),
    )
    say(f"{parity.pictures} pictures, largest difference {parity.largest_difference:.1e}")


@stage("Make it faster with int8")
def add_int8(files: Path, card: "ModelSpec", candidate: Candidate) -> None:
    """Add an int8 network to the files if it is worth having, and say why or why not."""
    from spotter.publish.quantize import add_int8 as add

    figures, sentence = add(files, candidate.cleaned.dataset, candidate.cleaned.folds, candidate.trained)
    say(sentence)
    _write_cards(files, replace(card, int8=figures), candidate)


@stage("Publish")
def publish(files: Path, candidate: Candidate) -> str:
    """Publish the files, and write down beside the pictures what the cleaning page and the next run need to know.

    Returns:
        The revision.

    Raises:
        AccessRefused, StoreUnreachable, StoreUnwritable, LostRace: the store does not take it.
        DatasetUnwritable: nothing can be kept beside the pictures.
    """
    store, folder = candidate.task.store, str(candidate.cleaned.dataset.folder)
    revision, contents = store.push(files), content_name(files)
    place = str(store.root.absolute()) if isinstance(store, FolderStore) else store.address
    write_run(replace(_run_of(candidate), store=place, revision=revision, contents=contents))
    if candidate.task.is_first:
        say(f"{serve_command()} {shlex.quote(store.address)}")
        say(f"{'scripts/clean' if CHECKOUT else 'spotter clean'} {shlex.quote(folder)}")
    return revision


@stage("Read the picture set")
def read_again(folder: Path) -> tuple[Task, Dataset]:
    """Read a set that was trained on, and from its last run what to train and where to publish.

    Raises:
        NoTrainingRun: there is no run to repeat.
    """
    last = read_run(folder)
    dataset = with_disputed(read_dataset(folder, last.recipe.labels))
    # Beside the recipes' folders, where train.py reads it.
    takedown = Takedown(folder.absolute().parent.parent / "takedown.txt")
    dataset = replace(dataset, records=tuple(r for r in dataset.records if not takedown.covers(r)))
    return Task(last.recipe, last.config, open_store(last.store), last.command), dataset


def publish_again(folder: Path) -> str:
    """Train on a set as people have cleaned it, and publish to the store of its last run; return the revision.

    Raises:
        NoTrainingRun: there is no run to repeat. ParityError: the gate stays shut.
    """
    task, dataset = read_again(folder)
    load_libraries()
    features = compute_features(task, dataset)
    cleaned = look_and_clean(task, features)
    trained = learn(task, cleaned)
    candidate = judge(task, cleaned, trained)
    with temporary_folder() as files:
        write_files(files, candidate)
        compare(files, candidate)
        return publish(files, candidate)


def recipe_of(options: Namespace) -> Recipe:
    """The recipe that the options name or spell out.

    Raises:
        RecipeError: it does not describe a classifier.
    """
    return recipe.read_recipe(options.recipe) if options.recipe else recipe_from_options(options.classes)


def sources_of(options: Namespace) -> list[SearchBackend]:
    """The sources that the options name.

    Raises:
        UnknownSource, FolderMissing, FeedbackMissing: one of them is none.
        UnknownStore, AccessRefused, StoreUnreachable, CacheUnwritable: the feedback cannot be had from the Hub.
    """
    sources = get_backends(options.search)
    return [*sources, VisitorFeedback(str(fetched(options.feedback)))] if options.feedback else [*sources]


def fill_set(
    options: Namespace,
    recipe: Recipe,
    sources: Sequence[SearchBackend],
    more: Mapping[str, Sequence[str]],
    fetch: Fetch = download_all,
) -> Dataset:
    """Fill the set that the options name, without what its `takedown.txt` lists, and say what was kept and why not.

    What stands in two classes is among its records too, for the second look. `fetch` says where downloads run.

    Raises:
        As `collect`.
    """
    folder = picture_folder(options.data, recipe, options.search)
    takedown = Takedown(options.data / "takedown.txt")
    config = CollectConfig(license=options.license)
    dataset = collect(recipe, sources, folder, config, more=more, takedown=takedown, fetch=fetch)
    for line in (dataset.summary(), *dataset.by_source(), *dataset.complaints()):
        say(line)
    return with_disputed(dataset)


def picture_folder(data: Path, recipe: Recipe, search: str) -> Path:
    """The folder for this recipe's pictures from these sources; each folder or file on disk has one of its own."""
    names = "-".join(slug(part.partition(":")[0]) for part in search.split(","))
    place = f"-{hashlib.sha256(str(Path(search).resolve()).encode()).hexdigest()[:8]}" if ":" in search else ""
    return data / recipe.name / f"{names[:60]}{place}"


def _command(options: Namespace, sources: Sequence[SearchBackend]) -> str:
    """The command that makes such a model, for its card; without folders of this machine."""
    words = ["train.py", *([str(options.recipe.name)] if options.recipe else [])]
    for name, values in (("--class", options.classes), ("--more", options.more)):
        words += [word for value in values for word in (name, value)]
    names = ",".join(source.name for source in sources)
    words += ["--search", names, "--license", options.license, "--arch", options.arch]
    for name in ("size", "resize", "fine_tune", "min_scale", "presize", "mult"):
        if getattr(options, name) != getattr(TrainConfig, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    words += [flag for flag, given in (("--find-rate", options.find_rate), ("--int8", options.int8)) if given]
    return shlex.join(words)


def serve_command() -> str:
    """What serves a model here: an installed package has no app.py."""
    return "python app.py --model" if CHECKOUT else "spotter serve --model"


def _embed_strangers(task: Task, cleaned: Cleaned, trained: "Trained") -> np.ndarray | None:
    """Float32 (k, d), embeddings of length 1 of pictures of none of the classes."""
    if not task.strangers:
        return None
    from spotter.train.backbone import embed_folder

    return embed_folder(task.strangers, replace(cleaned.backbone, body=trained.learner.model[0]))


def _with_changes(candidate: Candidate) -> Candidate:
    """Find out what is new since the last run over the set that was another, and say it."""
    from spotter.data.image_stats import measure_looks
    from spotter.evaluate.comparison import find_changes

    dataset, now = candidate.cleaned.dataset, _run_of(candidate)
    before = find_before(now)
    if before is None:
        return candidate
    found = find_changes(before, now, dataset, measure_looks(dataset.folder, now.keys, dataset.paths))
    say(found.sentence())
    return replace(candidate, changes=found)


def _write_cards(files: Path, card: "ModelSpec", candidate: Candidate) -> None:
    """Write `README.md` and, as it holds the hashes of all files, `model.json` after it."""
    from spotter.publish.model_card import write_card
    from spotter.publish.writing import write_model_json

    write_card(
        files,
        card,
        candidate.evaluation,
        candidate.cleaned.dataset,
        license_id=candidate.task.recipe.license,
        strangers=candidate.strangers,
        changes=candidate.changes,
    )
    write_model_json(files, card)


def _run_of(candidate: Candidate) -> Run:
    """The run that made a candidate, which has no revision yet."""
    from spotter.evaluate.ood import score_known
    from spotter.train.backbone import feature_cache

    task, cleaned, trained = candidate.task, candidate.cleaned, candidate.trained
    dataset, count = cleaned.dataset, len(cleaned.dataset.records)
    cache = feature_cache(cleaned.backbone, dataset.folder)
    probabilities = np.full((count, len(dataset.labels)), np.nan, dtype=np.float32)
    probabilities[trained.judged] = trained.probabilities
    familiarity = np.full(count, np.nan, dtype=np.float32)
    familiarity[trained.judged] = score_known(trained, cleaned.folds, FamiliarityConfig())
    return Run(
        folder=dataset.folder,
        recipe=task.recipe,
        config=task.config,
        command=task.command,
        store="",
        revision="",
        threshold=candidate.evaluation.familiarity.threshold,
        features=cache.name,
        width=cache.width,
        keys=tuple(str(record.sha256) for record in dataset.records),
        given=tuple(record.label for record in dataset.records),
        probabilities=probabilities,
        familiarity=familiarity,
        folds=cleaned.folds,
    )


def main() -> int:
    """Publish the cleaned set in the folder that is the one argument, and return the exit status."""
    (folder,) = sys.argv[1:]
    return run_command("publish", lambda: f"revision {publish_again(Path(folder))}", None)


if __name__ == "__main__":
    sys.exit(main())
