"""From a list of things to tell apart to a published classifier.

    python train.py recipes/bears.toml
    python train.py recipes/bears.toml --search folder:pictures/bears --to models/bears
    python train.py recipes/bears.toml --to hf://owner/bears
    python train.py --class "tabby=tabby cat" --class "beagle=beagle dog"

The last line on stdout is `revision REV`. Exit status: 0 when something was published, 1 after an expected failure,
told in one sentence, 2 after wrong usage.
"""

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spotter.collect import read_more
from spotter.command import (
    add_learning_options,
    add_picture_options,
    collect_pictures,
    is_helper,
    learning_config,
    parse,
    recipe_of,
    run_command,
    say,
    sources_of,
    stage,
)
from spotter.config import HUB, TrainConfig
from spotter.imports import lasting_imports
from spotter.parser import Parser
from spotter.search import SearchBackend
from spotter.stores import open_store
from spotter.stores.base import content_name
from spotter.temporary import temporary_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pipeline and return the exit status."""
    options = read_options(argv)
    if is_helper():
        return help_to_fine_tune(options)
    return run_command("train.py", lambda: f"revision {run(options)}", argv)


def run(options: argparse.Namespace) -> str:
    """The chapters, one after the other."""
    config = options.config

    with stage("Read the recipe"):
        recipe = recipe_of(options)
        more = read_more(options.more, recipe)
        store = open_store(options.to or Path("models") / recipe.name, private=options.private)
        store.check()
        sources = sources_of(options)
        say(f"{recipe.name}: {', '.join(recipe.labels)}; from {options.search}, to {store.address}")

    with stage("Collect the pictures"):
        dataset = collect_pictures(options, recipe, sources, more)

    with stage("Load fastai and torch"), lasting_imports():
        # Here rather than at the top: a mistake in the recipe is told at once, not after seconds of imports.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # timm's own business
        from spotter import pipeline
        from spotter.backbone import compute_features, embed_folder, load_backbone

    with stage("Compute the features"):
        backbone = load_backbone(config)
        features = compute_features(backbone, dataset)

    with stage("Look at what was collected"):
        dataset = pipeline.look(dataset, features, backbone)
        dataset, features, folds = pipeline.clean(dataset, features, config)

    with stage("Learn"):
        if options.show_batch:
            pipeline.show_batch(dataset, backbone, config)
        trained = pipeline.learn(dataset, folds, backbone, features, config)

    with stage("Judge it on pictures it did not see"):
        strangers = None
        if options.unfamiliar:
            strangers = embed_folder(options.unfamiliar, replace(backbone, body=trained.learner.model[0]))
        judged = pipeline.judge(trained, dataset, folds, strangers)
        words = command(options, sources)
        candidate = pipeline.Candidate(recipe, config, dataset, folds, backbone, trained, judged, words)
        candidate = pipeline.with_changes(candidate)

    with temporary_folder() as files:
        with stage("Write the files"):
            card = pipeline.write_files(files, candidate)

        with stage("Compare them with the trained model"):
            pipeline.compare(files, dataset)

        if options.int8:
            with stage("Make it faster with int8"):
                pipeline.add_int8(files, card, candidate)

        with stage("Publish"):
            revision = store.push(files)
            pipeline.remember(revision, content_name(files), store, candidate)
            say(f"python app.py --model {shlex.quote(store.address)}")
            say(f"scripts/clean {shlex.quote(str(dataset.folder))}")
    return revision


def help_to_fine_tune(options: argparse.Namespace) -> int:
    """What the further processes of `torchrun train.py ...` do: help the first one, which does all else."""
    if options.config.fine_tune:
        from spotter.processes import help_first

        help_first()
    return 0


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    # All the options twice would not fit a screen.
    usage = "train.py [RECIPE] [options]"
    parser = Parser(prog="train.py", usage=usage, description="Collect pictures, train, and publish a classifier.")
    add_picture_options(parser)
    parser.add_argument(
        "--to", metavar="STORE", help="where to publish: a folder or hf://owner/name (default: models/<name>)"
    )
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    add_learning_options(parser)
    parser.add_argument(
        "--int8", action="store_true", help="publish an int8 network too, if it is as good and faster here"
    )
    parser.add_argument(
        "--unfamiliar", type=Path, metavar="FOLDER", help="measure how many of these strangers the model would refuse"
    )
    options = parse(parser, argv)
    if options.unfamiliar and not options.unfamiliar.is_dir():
        parser.error(f"--unfamiliar: there is no folder {str(options.unfamiliar)!r}")
    if options.private and not (options.to or "").startswith(HUB):
        parser.error("--private goes with --to hf://owner/name")
    options.config = learning_config(parser, options)
    return options


def command(options: argparse.Namespace, sources: Sequence[SearchBackend]) -> str:
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


if __name__ == "__main__":
    sys.exit(main())
