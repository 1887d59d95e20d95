"""Publish a fastai export (`learn.export()`), so that the app can serve it without torch.

    scripts/convert export.pkl --trust --pictures pictures/bears --to models/bears
    scripts/convert export.pkl --trust --functions labels.py --pictures pictures/bears --to hf://owner/bears

An export is a pickle, and opening a pickle runs code of whoever made it; only a process of its own opens it. The last
line on stdout is `revision REV`. Exit status as of train.py.
"""

import argparse
import shlex
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command, say, stage
from spotter.config import HUB
from spotter.parser import Parser
from spotter.stores import open_store
from spotter.temporary import temporary_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, publish, and return the exit status."""
    options = read_options(argv)
    return run_command("scripts/convert", lambda: f"revision {run(options)}", argv)


def run(options: argparse.Namespace) -> str:
    """Convert and publish as the options say; return the revision."""
    store = open_store(options.to, private=options.private)
    store.check()

    with stage("Load fastai and torch"):
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # timm's own business
        from spotter import bundle, convert
        from spotter.predictor import Predictor
        from spotter.publish.parity import check_parity, parity_pictures

    with temporary_folder() as temporary:
        files, pictures = temporary / "files", temporary / "pictures"
        files.mkdir()
        with stage("Open the export, in a process of its own"):
            shutil.copyfile(options.export, files / bundle.PICKLE)
            export = convert.Export(files / bundle.PICKLE, options.functions)
            facts = convert.export_network(export, files / bundle.ONNX)
            say(f"{facts.arch}, {facts.size} pixels ({facts.resize}): {', '.join(facts.labels)}")

        with stage("Run it on the pictures"):
            dataset = convert.read_pictures(options.pictures, facts, pictures, Path("data") / "takedown.txt")
            for line in (dataset.summary(), *dataset.complaints()):
                say(line)
            judged = convert.judge(files / bundle.ONNX, facts, dataset)

        with stage("Write the files"):
            evaluation = convert.write_files(files, facts, dataset, judged, command(options))
            say(evaluation.sentence())

        with stage("Compare them with the export"):
            parity = check_parity(
                lambda decoded: convert.predict(export, decoded),
                Predictor(bundle.read_bundle(files)).probabilities,
                parity_pictures(dataset.paths),
            )
            say(f"{parity.pictures} pictures, largest difference {parity.largest_difference:.1e}")

        with stage("Publish"):
            revision = store.push(files)
            say(f"python app.py --model {shlex.quote(store.address)}")
    return revision


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; without --trust, end with a usage error before anything is opened."""
    parser = Parser(prog="scripts/convert", description=__doc__.splitlines()[0])
    parser.add_argument("export", metavar="EXPORT", type=Path, help="what fastai's learn.export() wrote: export.pkl")
    parser.add_argument("--trust", action="store_true", help="you trust who made it, whose code it runs")
    parser.add_argument(
        "--pictures", type=Path, required=True, metavar="FOLDER", help="known pictures, a sub-folder for each label"
    )
    parser.add_argument("--to", required=True, metavar="STORE", help="where to publish: a folder or hf://owner/name")
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    parser.add_argument(
        "--functions", type=Path, metavar="FILE", help="a Python file with functions that the export needs"
    )
    options = parser.parse_args(argv)
    if not options.trust:
        parser.error("opening an export runs code of whoever made it; add --trust if you trust them")
    for name, path in (("EXPORT", options.export), ("--functions", options.functions)):
        if path and not path.is_file():
            parser.error(f"{name}: there is no file {str(path)!r}")
    if not options.pictures.is_dir():
        parser.error(f"--pictures: there is no folder {str(options.pictures)!r}")
    if options.private and not options.to.startswith(HUB):
        parser.error("--private goes with --to hf://owner/name")
    return options


def command(options: argparse.Namespace) -> str:
    """The command that makes such a model, for its card; without folders of this machine."""
    words = ["scripts/convert", options.export.name, "--trust", "--pictures", options.pictures.name]
    return shlex.join([*words, *(["--functions", options.functions.name] if options.functions else [])])


if __name__ == "__main__":
    sys.exit(main())
