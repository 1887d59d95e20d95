"""From a list of things to tell apart to a published classifier.

    python train.py recipes/bears.toml
    python train.py recipes/bears.toml --search folder:pictures/bears --to models/bears
    python train.py --class "tabby=tabby cat" --class "beagle=beagle dog"

The last line on stdout is `revision REV`. Exit status: 0 when something was published, 1 after an expected failure,
told in one sentence, 2 after wrong usage.
"""

import argparse
import hashlib
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from spotter.collect import collect
from spotter.config import (
    CollectConfig,
    FamiliarityConfig,
    Recipe,
    TrainConfig,
    read_recipe,
    recipe_from_options,
    slug,
)
from spotter.dataset import assign_folds
from spotter.errors import SpotterError
from spotter.licenses import POLICIES
from spotter.search import BACKENDS, SearchBackend, get_backends
from spotter.stores import open_store


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pipeline and return the exit status."""
    options = parse(argv)
    try:
        revision = run(options)
    except SpotterError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.py: Stopped; the same command goes on from what is stored.", file=sys.stderr)
        return 130
    print(f"revision {revision}")
    return 0


def run(options: argparse.Namespace) -> str:
    """The chapters, one after the other."""
    config = replace(TrainConfig(), arch=options.arch, fine_tune=options.fine_tune)

    with stage("Read the recipe"):
        recipe = read_recipe(options.recipe) if options.recipe else recipe_from_options(options.classes)
        store = open_store(options.to or Path("models") / recipe.name)
        sources = get_backends(options.search)
        say(f"{recipe.name}: {', '.join(recipe.labels)}; from {options.search}, to {store.root}")

    with stage("Collect the pictures"):
        folder = picture_folder(options.data, recipe, options.search)
        dataset = collect(recipe, sources, folder, CollectConfig(license=options.license))
        folds = assign_folds(dataset, config.folds, config.seed)
        say(dataset.summary())
        for line in dataset.complaints():
            say(line)

    with stage("Load fastai and torch"):
        # Here rather than at the top: a mistake in the recipe is told at once, not after seconds of imports.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # timm's own business
        from spotter import bundle, evaluate, learner
        from spotter.predictor import Predictor

    with stage("Compute the features and learn"):
        train = learner.train_whole if config.fine_tune else learner.train_head
        trained = train(dataset, folds, config)

    with stage("Judge it on pictures it did not see"):
        evaluation = evaluate.judge(trained, dataset, folds, FamiliarityConfig())
        say(evaluation.sentence())

    with TemporaryDirectory(prefix="spotter-") as temporary:
        files = Path(temporary)
        with stage("Write the files"):
            bundle.write_reference(files / bundle.REFERENCE, trained.embeddings[trained.learnt_from])
            learner.export_pickle(trained.learner, files / bundle.PICKLE)
            learner.export_onnx(trained.learner, files / bundle.ONNX, config.size)
            evaluate.write_evaluation(evaluation, dataset, files)
            bundle.write_manifest(files, dataset)
            examples = bundle.write_examples(files, dataset, trained)
            card = bundle.make_card(recipe, config, trained, evaluation, examples, command(options, sources))
            bundle.write_card(files, card, evaluation)
            bundle.write_model_json(files, card)

        with stage("Compare them with the trained model"):
            parity = bundle.check_parity(
                lambda pictures: learner.predict_with_pickle(files / bundle.PICKLE, pictures),
                Predictor(bundle.read_bundle(files)).probabilities,
                bundle.parity_pictures(dataset.paths),
            )
            say(f"{parity.pictures} pictures, largest difference {parity.largest_difference:.1e}")

        with stage("Publish"):
            revision = store.push(files)
            say(f"python app.py --model {shlex.quote(str(store.root))}")
    return revision


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="train.py", description="Collect pictures, train, and publish a classifier.")
    parser.add_argument("recipe", nargs="?", type=Path, help="a TOML file with the classes, such as recipes/bears.toml")
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="LABEL=QUERY",
        help="a class, instead of a recipe; repeat it",
    )
    parser.add_argument(
        "--search",
        default="duckduckgo",
        metavar="SOURCE",
        help=f"where pictures come from, one or several with commas: {', '.join(BACKENDS)}",
    )
    parser.add_argument("--license", choices=POLICIES, default="any", help="which pictures to take (default: any)")
    parser.add_argument("--to", metavar="STORE", help="the folder to publish to (default: models/<name>)")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="the folder that keeps pictures (default: data)"
    )
    parser.add_argument("--arch", default=TrainConfig.arch, help="a timm architecture (default: %(default)s)")
    parser.add_argument(
        "--fine-tune", type=int, default=0, metavar="EPOCHS", help="train the whole network too, for so many epochs"
    )
    options = parser.parse_args(argv)
    if options.recipe and options.classes:
        parser.error("give a recipe or --class, not both")
    if options.fine_tune < 0:
        parser.error("--fine-tune cannot be negative")
    return options


def picture_folder(data: Path, recipe: Recipe, search: str) -> Path:
    """The folder for this recipe's pictures from these sources; each folder or file on disk has one of its own."""
    names = "-".join(slug(part.partition(":")[0]) for part in search.split(","))
    place = f"-{hashlib.sha256(str(Path(search).resolve()).encode()).hexdigest()[:8]}" if ":" in search else ""
    return data / recipe.name / f"{names[:60]}{place}"


def command(options: argparse.Namespace, sources: Sequence[SearchBackend]) -> str:
    """The command that makes such a model, for its card; without folders of this machine."""
    words = ["train.py", *([str(options.recipe.name)] if options.recipe else [])]
    for option in options.classes:
        words += ["--class", option]
    names = ",".join(source.name for source in sources)
    words += ["--search", names, "--license", options.license, "--arch", options.arch]
    if options.fine_tune:
        words += ["--fine-tune", str(options.fine_tune)]
    return shlex.join(words)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Print a stage's title, and the seconds it took once it has ended well."""
    started = time.perf_counter()
    print(f"{title} ...", flush=True)
    yield
    print(f"  done in {time.perf_counter() - started:.1f} s", flush=True)


def say(text: str) -> None:
    """Print one line about the stage."""
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
