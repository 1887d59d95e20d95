"""The stages of a training, one function each. train.py, `spotter train` and the cleaning page call them.

The cleaning page runs this module as a command to publish a cleaned set: `python -m spotter.pipeline
data/bears/openverse`. The last line on stdout is then `revision REV`; the exit status is that of train.py.
"""

import shlex
import sys
import warnings
from argparse import Namespace
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spotter.collect.collector import read_more
from spotter.collect.picture_set import fill_set, picture_folder, read_options
from spotter.collect.takedown import LIST, Takedown
from spotter.config import FamiliarityConfig, SecondLookConfig, StressConfig
from spotter.data.dataset import Dataset
from spotter.data.edit_log import EditLog
from spotter.data.edits import apply_edits
from spotter.data.manifest import read_dataset, with_disputed, without_damaged
from spotter.data.splits import deal_folds, positions
from spotter.data.training_run import find_before, read_run, write_run
from spotter.decide.costs import make_costs, read_cost_options
from spotter.decide.label_sets import check_coverage, explain_few, make_sets
from spotter.decide.prior import check_prior, learnt_shares, read_prior
from spotter.publish.candidate import Candidate, Cleaned, Features, Task, as_run, train_command
from spotter.publish.premortem import read_answers, read_costs
from spotter.stores import FolderStore, open_store
from spotter.stores.base import content_name
from spotter.train.processes import meanwhile, start_server
from spotter.utils.console import run_command, say, stage
from spotter.utils.files import import_root, temporary_folder
from spotter.utils.imports import STATISTICS, TABLES, lasting_imports, put_off

# fastai and torch are imported inside the stages that need them, so that a mistake in the recipe is reported at once
# and not after seconds of imports.
if TYPE_CHECKING:
    from spotter.bundle.format import ModelSpec
    from spotter.bundle.second_look import SecondLook
    from spotter.evaluate.metrics import Familiarity
    from spotter.evaluate.ood import Strangers
    from spotter.evaluate.stress_rows import StressTest
    from spotter.publish.exporting import Export
    from spotter.train.trained import Trained

# What the stages import that takes long, but for torch and fastai: these are loaded by a process of their own.
FIRST = (
    "sklearn.model_selection",
    "spotter.data.audit",
    "spotter.evaluate.comparison",
    "spotter.evaluate.report",
    "spotter.evaluate.stress",
    "spotter.train.trained",
)
# Whether this is a checkout, with app.py and scripts.
CHECKOUT = (import_root() / "app.py").is_file()


@stage("Read the recipe")
def read_recipe(options: Namespace) -> Task:
    """Read what to train from the options of `spotter train`, and check that it can be collected and published.

    Raises:
        RecipeError, UnknownSource, FolderMissing, FeedbackMissing, UnknownStore: an option names nothing that exists.
        BadCosts, BadCoverage, BadPrior: what is to be decided by is none.
        AccessRefused, StoreUnreachable, StoreUnwritable, CacheUnwritable: a store cannot be used.
    """
    recipe, sources = read_options(options)
    check_coverage(options.config.coverage)
    if not recipe.costs and not options.cost:
        # What was asked before counts where nobody says otherwise now.
        recipe = replace(recipe, costs=read_costs(read_answers(options.data / recipe.name), recipe.labels))
        if recipe.costs:
            say("what mistakes cost is what the premortem was told; [costs] in a recipe or --cost replaces it")
    recipe = replace(recipe, costs=recipe.costs | read_cost_options(options.cost))
    if options.prior:
        recipe = replace(recipe, prior=read_prior(options.prior, recipe.labels))
    # Before the command of the card is made of them.
    make_costs(recipe.costs, recipe.labels)
    if recipe.prior:
        check_prior(recipe.prior, recipe.labels)
    more = read_more(options.more, recipe)
    store = open_store(options.to or Path("models") / recipe.name, private=options.private)
    store.check()
    say(f"{recipe.name}: {', '.join(recipe.labels)}; from {options.search}, to {store.address}")
    task = Task(
        recipe=recipe,
        config=options.config,
        store=store,
        command=train_command(options, recipe),
        sources=sources,
        more=more,
        strangers=options.unfamiliar,
        show_batch=options.show_batch,
        is_first=True,
    )
    if task.prior:
        say(f"answers are weighed by the prior: {', '.join(f'{k} {v:g}' for k, v in recipe.prior.items())}")
    if task.costs and (remark := task.costs.remark()):
        say(remark)
    return task


@stage("Collect the pictures")
def collect_pictures(options: Namespace, task: Task) -> Dataset:
    """Collect the pictures of a task into the set that the options name, and say what was kept and why not.

    Raises:
        As `fill_set`.
    """
    folder, takedown = picture_folder(options.data, task.recipe, options.search), Takedown(options.data / LIST)
    return fill_set(task.recipe, task.sources, folder, options.license, task.more, takedown)


@stage("Load libraries")
def load_libraries() -> None:
    """Import the modules that take seconds to load. torch and fastai are loaded in another process meanwhile."""
    start_server()
    # A warning about timm's own code.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    with lasting_imports(), put_off(STATISTICS), put_off(TABLES):
        for name in FIRST:
            import_module(name)


@stage("Compute the features")
def compute_features(task: Task, dataset: Dataset) -> Features:
    """Compute the features of a set, as far as they are not cached.

    Raises:
        UnknownArchitecture, WeightsUnavailable: there is no such backbone. DatasetUnwritable: the cache cannot be kept.
        TrainingFailed: the features are not finite numbers.
    """
    from spotter.data.quality import Measured, measure_into
    from spotter.train import backbone, head

    head.share_cores(len(dataset.records))
    body, measured = backbone.load_backbone(task.config), dict[Path, Measured]()
    values = backbone.compute_features(body, dataset, look=measure_into(measured))
    dataset, values = backbone.readable(dataset, values)
    return Features(dataset, body, values, measured=measured)


@stage("Look at what was collected")
def audit_and_clean(task: Task, features: Features) -> Cleaned:
    """Take a second look at a set, apply what people decided (see scripts/clean), and say what both change.

    Raises:
        EditsDamaged: the log cannot be read. TooFewPictures: the edits leave a class with too few.
    """
    from spotter.data.audit import review
    from spotter.train.backbone import compute_spreads, imagenet_logits

    body, values = features.backbone, features.values
    edits = EditLog(features.dataset.folder).read()
    logits, spreads = imagenet_logits(body, values), compute_spreads(body, features.dataset)
    seen, sayings = review(features.dataset, values, logits, spreads, edits, features.measured)
    for saying in sayings:
        say(saying)
    edited = apply_edits(seen, EditLog(seen.folder).read())
    if edited.sentence():
        say(edited.sentence())
    rows = positions(seen, edited.dataset)
    return Cleaned(edited.dataset, body, values[rows], deal_folds(seen, edited.dataset, task.config))


@stage("Learn")
def learn(task: Task, cleaned: Cleaned) -> "Trained":
    """Train a Learner, and print what was tried."""
    from spotter.train.trained import train_head

    dataset, body = cleaned.dataset, cleaned.backbone
    train = train_head
    if task.show_batch or task.config.fine_tune:
        with lasting_imports():
            from spotter.train.learner import show_batch, train_whole
        if task.show_batch:
            say(f"contact sheets of what it learns from: {show_batch(dataset, body, task.config)}")
        train = train_whole if task.config.fine_tune else train_head
    trained = train(dataset, cleaned.folds, body, cleaned.values, task.config)
    for line in trained.tried:
        say(line)
    return trained


def start_export(files: Path, task: Task, cleaned: Cleaned, trained: "Trained") -> "Export":
    """Start to write `export.pkl` into `files`, and to ask it what the gate wants to know, in other processes."""
    from spotter.bundle.format import PICKLE
    from spotter.publish import exporting

    return exporting.start_export(trained, cleaned.dataset, cleaned.folds, task.config, files / PICKLE)


@stage("Judge it on pictures it did not see")
def evaluate(task: Task, cleaned: Cleaned, trained: "Trained") -> Candidate:
    """Judge a trained learner, and say how good it is and what is new.

    Raises:
        DatasetUnwritable: the measured looks of the pictures cannot be saved.
    """
    from spotter.evaluate import held_out
    from spotter.evaluate.ood import judge_strangers
    from spotter.evaluate.second_look import choose_second_look, look_again_at_strangers
    from spotter.evaluate.sources import leave_sources_out, why_unknown

    dataset, folds, familiarity = cleaned.dataset, cleaned.folds, FamiliarityConfig()
    others = _strangers_features(task, trained)
    evaluation = held_out.evaluate_held_out(trained, dataset, folds, familiarity)
    again, told = choose_second_look(trained, dataset, folds, evaluation.familiarity, SecondLookConfig())
    say(told)
    sources = leave_sources_out(trained, dataset)
    evaluation = replace(
        evaluation,
        second_look=again,
        stress=_stress(task, cleaned, trained, evaluation.familiarity, again.second_look if again else None),
        sources=sources,
        sources_unknown="" if sources else why_unknown(trained, dataset),
    )
    coverage = task.config.coverage
    evaluation = held_out.judge_decisions(evaluation, trained, dataset, folds, task.costs, coverage)
    if evaluation.sets is None:
        say(explain_few(dataset.labels, dataset.targets[trained.judged], coverage))
    strangers: Strangers | None = None
    if others is not None:
        known, (paths, rows) = evaluation.familiarity, others
        seen = look_again_at_strangers(trained, folds, known, again.second_look, paths, rows) if again else None
        strangers = judge_strangers(known, trained, trained.head, folds, rows, familiarity, seen)
    for line in held_out.sentences(evaluation, strangers):
        say(line)
    return _with_changes(Candidate(task, cleaned, trained, evaluation, strangers))


@stage("Write the files")
def write_files(files: Path, candidate: Candidate, export: "Export") -> "ModelSpec":
    """Write the report, and all that a revision holds into the folder `files`; return what its `model.json` says."""
    from spotter.bundle.format import ONNX, REFERENCE
    from spotter.evaluate.held_out import write_evaluation
    from spotter.evaluate.ood import make_reference
    from spotter.evaluate.report import REPORT, write_report
    from spotter.publish import writing
    from spotter.train.graph import attach_head

    task, trained, evaluation, strangers = candidate.task, candidate.trained, candidate.evaluation, candidate.strangers
    dataset, folds, body = candidate.cleaned.dataset, candidate.cleaned.folds, trained.backbone
    showing = evaluation, trained, dataset, folds, dataset.folder / REPORT, strangers, body.square
    # What is drawn, while the rest is written.
    with meanwhile(write_evaluation, evaluation, strangers, dataset, files), meanwhile(write_report, *showing):
        reference, views = make_reference(trained, folds, evaluation.familiarity, FamiliarityConfig())
        writing.write_reference(files / REFERENCE, reference)
        writing.write_nearest(files, dataset, trained.embeddings, trained.learnt_from, views)
        (files / ONNX).write_bytes(attach_head(body.body.onnx, trained.head.weight, trained.head.bias))
        writing.write_origins(files, dataset)
        examples = writing.write_examples(files, dataset, trained)
        stats, origins = (body.mean, body.std), writing.count_origins(dataset)
        card = writing.make_spec(task.recipe, task.config, trained, evaluation, examples, task.command, stats, origins)
        chosen = sum(record.is_self_selected for record in dataset.records)
        share, answers = round(chosen / len(dataset.records), 4), read_answers(dataset.folder.parent)
        sets = make_sets(trained.probabilities, dataset.targets[trained.judged], task.config.coverage)
        shares = learnt_shares(dataset.targets[trained.learnt_from], dataset.labels, trained.head.balanced)
        made = {**card.made, "self_selected_share": share, "premortem": answers}
        card = replace(card, views=views, costs=task.costs, sets=sets, shares=shares, prior=task.prior, made=made)
    say(f"the full report, with pictures: {dataset.folder / REPORT}")
    export.written.result()
    _write_cards(files, card, candidate)
    return card


@stage("Compare them with the trained model")
def check_parity(files: Path, export: "Export") -> None:
    """The gate before publishing: the files must answer like the trained model.

    Raises:
        ParityError: they do not.
    """
    from spotter.bundle.reading import read_bundle
    from spotter.inference.predictor import Predictor
    from spotter.publish import parity

    predictor = Predictor(read_bundle(files))
    report = parity.check_parity(lambda _: export.answers.result(), predictor.probabilities, export.pictures.result())
    say(f"{report.pictures} pictures, largest difference {report.largest_difference:.1e}")


@stage("Make it faster with int8")
def add_int8(files: Path, card: "ModelSpec", candidate: Candidate) -> None:
    """Add an int8 network to the files if it is worth having, and say why or why not."""
    from spotter.publish import quantize

    cleaned, known = candidate.cleaned, candidate.evaluation.familiarity
    figures, sentence = quantize.add_int8(files, cleaned.dataset, cleaned.folds, candidate.trained, known)
    say(sentence)
    _write_cards(files, replace(card, int8=figures), candidate)


@stage("Publish")
def publish(files: Path, candidate: Candidate) -> str:
    """Publish the files, and save beside the pictures what the cleaning page and the next run need.

    Returns:
        The revision.

    Raises:
        AccessRefused, StoreUnreachable, StoreUnwritable, LostRace: the store does not take it.
        DatasetUnwritable: nothing can be kept beside the pictures.
    """
    store, folder = candidate.task.store, str(candidate.cleaned.dataset.folder)
    revision, contents = store.push(files), content_name(files)
    place = str(store.root.absolute()) if isinstance(store, FolderStore) else store.address
    write_run(replace(as_run(candidate), store=place, revision=revision, contents=contents))
    if candidate.task.is_first:
        say(f"{serve_command()} {shlex.quote(store.address)}")
        say(f"{'scripts/clean' if CHECKOUT else 'spotter clean'} {shlex.quote(folder)}")
    return revision


@stage("Read the picture set")
def read_again(folder: Path) -> tuple[Task, Dataset]:
    """Read a set that was trained on. Its last run says what to train and where to publish.

    Raises:
        NoTrainingRun: there is no run to repeat.
    """
    last = read_run(folder)
    dataset = without_damaged(with_disputed(read_dataset(folder, last.recipe.labels)))
    # Beside the recipes' folders, where train.py reads it.
    takedown = Takedown(folder.absolute().parent.parent / LIST)
    dataset = replace(dataset, records=tuple(r for r in dataset.records if not takedown.covers(r)))
    return Task(last.recipe, last.config, open_store(last.store), last.command), dataset


def train_and_publish(task: Task, dataset: Dataset, int8: bool = False) -> str:
    """Take all the stages that follow once the pictures are there, as train.py shows them; return the revision.

    Raises:
        As the stages.
    """
    load_libraries()
    features = compute_features(task, dataset)
    cleaned = audit_and_clean(task, features)
    trained = learn(task, cleaned)
    with temporary_folder() as files, start_export(files, task, cleaned, trained) as export:
        candidate = evaluate(task, cleaned, trained)
        card = write_files(files, candidate, export)
        check_parity(files, export)
        if int8:
            add_int8(files, card, candidate)
        return publish(files, candidate)


def publish_again(folder: Path) -> str:
    """Train on a cleaned set, and publish to the store of its last run; return the revision.

    Raises:
        NoTrainingRun: there is no run to repeat. ParityError: the files give other answers than the trained model.
    """
    return train_and_publish(*read_again(folder))


def serve_command() -> str:
    """The command that serves a model: an installed package has no app.py."""
    return "python app.py --model" if CHECKOUT else "spotter serve --model"


def _stress(
    task: Task, cleaned: Cleaned, trained: "Trained", known: "Familiarity", again: "SecondLook | None"
) -> "StressTest":
    """Judge it under distribution shifts."""
    from spotter.evaluate.shifts import STRESS
    from spotter.evaluate.stress import judge_stress, plan_stress
    from spotter.train.backbone import compute_views

    dataset, folds = cleaned.dataset, cleaned.folds
    plan = plan_stress(dataset, trained.judged, StressConfig())
    # Of a network that was fine-tuned, the next training makes another.
    keep, weight = not trained.fine_tune_epochs, trained.head.weight if again else None
    shifted = compute_views(trained.backbone, dataset, STRESS, plan, keep, weight)
    return judge_stress(trained, dataset, folds, known, shifted, plan, task.config.coverage, again)


def _strangers_features(task: Task, trained: "Trained") -> tuple[list[Path], np.ndarray] | None:
    """Pictures of none of the classes, and their features, float32 (k, width)."""
    if not task.strangers:
        return None
    from spotter.train.backbone import folder_features

    return folder_features(task.strangers, trained.backbone)


def _with_changes(candidate: Candidate) -> Candidate:
    """Find out what is new since the last run over the set that was another, and say it."""
    from spotter.data.image_stats import measure_images
    from spotter.evaluate.comparison import compare_runs

    dataset, now = candidate.cleaned.dataset, as_run(candidate)
    before = find_before(now)
    if before is None:
        return candidate
    found = compare_runs(before, now, dataset, measure_images(dataset.folder, now.keys, dataset.paths))
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


def main() -> int:
    """Train on and publish the cleaned set in the folder given as the only argument; return the exit status."""
    (folder,) = sys.argv[1:]
    return run_command("publish", lambda: f"revision {publish_again(Path(folder))}", None)


if __name__ == "__main__":
    sys.exit(main())
