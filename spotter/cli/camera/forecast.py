"""Say how many false alarms and missed animals a month to expect of a camera.

    spotter forecast models/bears --empty 200 --subjects 3
    spotter forecast models/bears --empty 200 --subjects 3 --shifts infrared,dark --pictures card/empty

A simulation from what the model's test found on held-out pictures, as they are and under the shifts of the stress test.
With --pictures the model is first tried on empty pictures of your own camera: nothing tells false alarms better.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from spotter.cli.common import load_predictor
from spotter.config import PictureConfig
from spotter.errors import FolderMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage

if TYPE_CHECKING:
    from spotter.camera.forecast import Expected, Rate
    from spotter.inference.predictor import Predictor


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", metavar="STORE", help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument(
        "--empty", type=float, required=True, metavar="NUMBER", help="pictures a day that show none of the classes"
    )
    parser.add_argument(
        "--subjects", type=float, required=True, metavar="NUMBER", help="pictures a day that show one of the classes"
    )
    parser.add_argument(
        "--days", type=float, default=30.0, metavar="NUMBER", help="the length of a month (default: %(default)g)"
    )
    parser.add_argument(
        "--shifts", default="", metavar="NAMES", help="what the camera will meet, separated by commas (default: all)"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="pictures of your camera that show none of the classes"
    )

    def check(options: Options) -> None:
        for name in ("empty", "subjects", "days"):
            if not 0 <= getattr(options, name) <= 1e6:
                parser.error(f"--{name} must be from 0 to 1,000,000")
        if options.pictures and not options.pictures.is_dir():
            parser.error(f"--pictures: there is no folder {str(options.pictures)!r}")

    parser.add_check(check)


def run(options: Options) -> str:
    """Simulate as the options say, and print what to expect; return what it rests on."""
    from spotter.camera.forecast import forecast, published_rate

    predictor = load_predictor(options.store, options.revision)
    rate = _try_on(options.pictures, predictor) if options.pictures else published_rate(predictor.metrics)
    shifts = [name.strip() for name in options.shifts.split(",") if name.strip()]
    found = forecast(predictor.metrics, options.empty, options.subjects, options.days, shifts, rate)
    print(
        f"In {options.days:g} days with {options.subjects:g} pictures of {' or '.join(predictor.labels)} and "
        f"{options.empty:g} others a day (in brackets: 95 of 100 such months):"
    )
    for each in found:
        print(f"{each.conditions}:")
        print(f"  without a right answer: {_words(each.missed)}; of these with a wrong one: {_words(each.wrong)}")
        if each.false_alarms:
            print(f"  false alarms: {_words(each.false_alarms)}")
    if rate is None:
        return (
            "Nobody knows how many false alarms: the model was not tried on pictures of other things. Give some of "
            "your own camera with --pictures FOLDER."
        )
    return (
        f"False alarms rest on {rate.total} pictures of other things, of which {rate.count} got an answer. A burst of "
        "pictures counts as one here."
    )


def _try_on(folder: Path, predictor: "Predictor") -> "Rate":
    from spotter.camera.forecast import Rate
    from spotter.errors import BadPicture
    from spotter.utils.files import walk_files

    with stage("Try it on pictures of other things"):
        answers = list(predictor.predict_each(walk_files(folder)))
        judged = [answer for answer in answers if not isinstance(answer, BadPicture)]
        if not judged:
            raise FolderMissing(f"There is no picture in {str(folder)!r} that can be read. {PictureConfig().advice}")
        rate = Rate(sum(answer.familiar for answer in judged), len(judged))
        say(f"{rate.count} of {rate.total} got an answer")
    return rate


def _words(expected: "Expected") -> str:
    digits = 1 if expected.mean < 10 else 0
    return f"{expected.mean:.{digits}f} ({expected.low:.0f} to {expected.high:.0f})"
