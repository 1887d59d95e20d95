"""Make a full revision of what was taught in a browser.

    spotter adopt bears.spotter-lesson.zip --to models/bears
    spotter adopt bears.spotter-lesson.zip --to hf://owner/bears

The file is what the page teach/ of a site gives. Its pictures become a picture set, and the same stages as in a
training follow. Nothing is published unless the model here answers as the one in the browser does. The last line on
stdout is `revision REV`.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from spotter.config import HUB
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage
from spotter.utils.files import temporary_folder

if TYPE_CHECKING:
    from spotter.collect.lesson import Lesson
    from spotter.data.dataset import Dataset
    from spotter.publish.candidate import Candidate

# The folder of the picture set, beside those of other sources.
TAUGHT = "taught"


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a lesson: the zip that the page gives")
    parser.add_argument("--to", metavar="STORE", required=True, help="a folder or hf://owner/name")
    parser.add_argument("--private", action="store_true", help="make the new model on the Hub private")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder for pictures (default: data)")

    def check(options: Options) -> None:
        if options.private and not options.to.startswith(HUB):
            parser.error("--private only works with --to hf://owner/name")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the revision."""
    from spotter import pipeline
    from spotter.collect.lesson import read_lesson
    from spotter.publish.candidate import Task
    from spotter.stores import open_store

    with stage("Read the lesson"):
        lesson = read_lesson(options.file)
        store = open_store(options.to, private=options.private)
        store.check()
        say(lesson.sentence())
    dataset = _unpack(lesson, options.data)
    command = shlex.join(["-m", "spotter", "adopt", f"{lesson.recipe.name}.spotter-lesson.zip", "--to", "STORE"])
    task = Task(lesson.recipe, lesson.config, store, command, is_first=True)
    pipeline.load_libraries()
    cleaned = pipeline.audit_and_clean(task, pipeline.compute_features(task, dataset))
    trained = pipeline.learn(task, cleaned)
    with temporary_folder() as files, pipeline.start_export(files, task, cleaned, trained) as export:
        candidate = pipeline.evaluate(task, cleaned, trained)
        pipeline.write_files(files, candidate, export)
        pipeline.check_parity(files, export)
        if len(dataset.records) == len(lesson.pictures):
            _compare(lesson, files, candidate)
        else:
            say("not compared: pictures of the lesson are on the takedown list, and not learnt from here")
        return f"revision {pipeline.publish(files, candidate)}"


@stage("Unpack the pictures")
def _unpack(lesson: "Lesson", data: Path) -> "Dataset":
    from spotter.collect.lesson import fill_from_lesson
    from spotter.collect.takedown import LIST, Takedown

    dataset = fill_from_lesson(lesson, data / lesson.recipe.name / TAUGHT, Takedown(data / LIST))
    for line in (dataset.summary(), *dataset.by_source()):
        say(line)
    return dataset


@stage("Compare it with what the browser learnt")
def _compare(lesson: "Lesson", files: Path, candidate: "Candidate") -> None:
    from spotter.bundle.reading import read_bundle
    from spotter.inference.predictor import Predictor
    from spotter.publish.adoption import check_adoption

    answers = Predictor(read_bundle(files)).probabilities(candidate.cleaned.dataset.paths)
    for line in check_adoption(lesson.taught, candidate, answers):
        say(line)
