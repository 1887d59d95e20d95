"""Publish a fastai export (`learn.export()`), to serve it without torch.

    spotter convert export.pkl --trust --pictures pictures/bears --to models/bears
    spotter convert export.pkl --trust --functions labels.py --pictures pictures/bears --to hf://owner/bears

An export is a pickle. Opening a pickle runs code of the person who made it, so a separate process opens it. The last
line on stdout is `revision REV`.
"""

import shlex
import shutil
import warnings
from pathlib import Path

from spotter.config import HUB
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command; without --trust, end with a usage error before anything is opened."""
    parser.add_argument("export", metavar="EXPORT", type=Path, help="the export.pkl that fastai's learn.export() wrote")
    parser.add_argument("--trust", action="store_true", help="confirm that you trust its author, whose code will run")
    parser.add_argument(
        "--pictures",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="pictures of the classes, with a sub-folder for each label",
    )
    parser.add_argument("--to", required=True, metavar="STORE", help="where to publish: a folder or hf://owner/name")
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    parser.add_argument(
        "--functions", type=Path, metavar="FILE", help="a Python file with functions that the export needs"
    )

    def check(options: Options) -> None:
        if not options.trust:
            parser.error("opening an export runs code of the person who made it; add --trust if you trust this person")
        for name, path in (("EXPORT", options.export), ("--functions", options.functions)):
            if path and not path.is_file():
                parser.error(f"{name}: there is no file {str(path)!r}")
        if not options.pictures.is_dir():
            parser.error(f"--pictures: there is no folder {str(options.pictures)!r}")
        if options.private and not options.to.startswith(HUB):
            parser.error("--private only works with --to hf://owner/name")

    parser.add_check(check)


def run(options: Options) -> str:
    """Convert and publish as the options say; return the last line."""
    from spotter.collect.takedown import LIST
    from spotter.pipeline import serve_command
    from spotter.stores import open_store
    from spotter.utils.files import temporary_folder

    store = open_store(options.to, private=options.private)
    store.check()

    with stage("Load fastai and torch"):
        # A warning about timm's own code.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from spotter.bundle.format import ONNX, PICKLE
        from spotter.bundle.reading import read_bundle
        from spotter.inference.predictor import Predictor
        from spotter.publish import convert
        from spotter.publish.parity import check_parity, parity_pictures

    with temporary_folder() as temporary:
        files, pictures = temporary / "files", temporary / "pictures"
        files.mkdir()
        with stage("Open the export, in a process of its own"):
            shutil.copyfile(options.export, files / PICKLE)
            export = convert.Export(files / PICKLE, options.functions)
            facts = convert.export_network(export, files / ONNX, portable=files / PICKLE)
            say(f"{facts.arch}, {facts.size} pixels ({facts.resize}): {', '.join(facts.labels)}")

        with stage("Run it on the pictures"):
            dataset = convert.read_pictures(options.pictures, facts, pictures, Path("data") / LIST)
            for line in (dataset.summary(), *dataset.complaints()):
                say(line)
            dataset, judged = convert.answer_all(files / ONNX, facts, dataset)

        with stage("Write the files"):
            evaluation = convert.write_files(files, facts, dataset, judged, _command(options))
            say(evaluation.sentence())

        with stage("Compare them with the export"):
            parity = check_parity(
                lambda decoded: convert.predict(export, decoded),
                Predictor(read_bundle(files)).probabilities,
                parity_pictures(dataset.paths),
            )
            say(f"{parity.pictures} pictures, largest difference {parity.largest_difference:.1e}")

        with stage("Publish"):
            revision = store.push(files)
            say(f"{serve_command()} {shlex.quote(store.address)}")
    return f"revision {revision}"


def _command(options: Options) -> str:
    """The command that makes such a model, for its model card; folders of this machine are left out."""
    words = ["scripts/convert", options.export.name, "--trust", "--pictures", options.pictures.name]
    return shlex.join([*words, *(["--functions", options.functions.name] if options.functions else [])])
