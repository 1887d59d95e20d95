"""Judge a published model on labelled pictures, also at night, in fog, from far away ...

    spotter stress models/bears --pictures pictures/new
    spotter stress models/bears --pictures pictures/night --shifts none
    spotter stress hf://owner/bears --pictures pictures/new --shifts grey,dark --report stress.html

The folder has a sub-folder for each class. Its pictures are judged as they are, and changed by code as cameras, weather
and distance change pictures, moderately and strongly. Take pictures that the model did not learn from.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spotter.cli.common import load_predictor
from spotter.config import NOT_A_PICTURE, PictureConfig
from spotter.errors import NothingToJudge, did_you_mean
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import printable, say, stage

if TYPE_CHECKING:
    from spotter.evaluate.stress_rows import StressRow, StressTest
    from spotter.search.folder import Folder

NONE = "none"
# The names of `spotter.evaluate.shifts.SHIFTS`, which needs packages that reading the options does not.
NAMES = (
    "grey", "dark", "infrared", "fog", "defocus", "motion", "low-resolution", "jpeg", "hidden", "far", "tilted",
    "drawn", "text", "cast",
)  # fmt: skip


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", metavar="STORE", help="the store to pull from")
    parser.add_argument(
        "--pictures", type=Path, required=True, metavar="FOLDER", help="pictures, with a sub-folder for each class"
    )
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument(
        "--shifts",
        default=",".join(NAMES),
        metavar="NAMES",
        help=f"only these, separated by commas, of {', '.join(NAMES)}; or {NONE}, for pictures that are shifted "
        "already (default: all)",
    )

    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write the table, and pictures to look at, as an HTML page"
    )

    def check(options: Options) -> None:
        if not options.pictures.is_dir():
            parser.error(f"--pictures: there is no folder {str(options.pictures)!r}")
        if options.report and (options.report.is_dir() or not options.report.parent.is_dir()):
            parser.error(f"--report: {str(options.report)!r} is a folder, or in none that there is")
        names = [name.strip() for name in options.shifts.split(",")]
        options.names = [] if names == [NONE] else list(dict.fromkeys(names))
        for name in options.names:
            if name not in NAMES:
                parser.error(
                    f"--shifts: there is no shift {name!r}, only {', '.join(NAMES)}, or {NONE} alone"
                    + did_you_mean(name, (*NAMES, NONE))
                )

    parser.add_check(check)


def run(options: Options) -> str:
    """Judge the model, print a row for each shift; return what to collect, or how good it is on the pictures."""
    from tqdm import tqdm

    from spotter.evaluate.stress_folder import judge_folder, write_stress_page
    from spotter.search.folder import Folder
    from spotter.utils.text import as_sentence, plural

    predictor = load_predictor(options.store, options.revision)
    with stage("List the pictures"):
        pictures = find_pictures(Folder(str(options.pictures)), predictor.labels)
        missing = [label for label in predictor.labels if label not in {label for label, _ in pictures}]
        say(plural(len(pictures), "picture") + (f", none of {', '.join(missing)}" if missing else ""))
    with stage("Judge"), tqdm(desc="  pictures", unit="", total=len(pictures)) as bar:
        found = judge_folder(predictor, pictures, options.names, bar.update)
    remarks = []
    if found.unread:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.unread.items())
        remarks.append(f"left out, as they cannot be read: {reasons}")
        say(remarks[-1])
        if NOT_A_PICTURE in found.unread:
            say(PictureConfig().advice)
    if not found.test.clean.pictures:
        why = "shows anything: each is of one colour" if found.test.clean.blank else "can be read"
        raise NothingToJudge(f"None of the pictures in {str(options.pictures)!r} {why}.")
    if found.learnt:
        copies = "is a copy of a picture" if found.learnt == 1 else "are copies of pictures"
        remarks.append(
            f"{found.learnt} of {plural(found.test.clean.pictures, 'picture')} {copies} that the model learnt from; "
            "this flatters the figures"
        )
        say(remarks[-1])
    if options.report:
        write_stress_page(options.report, found, predictor, options.pictures, [as_sentence(each) for each in remarks])
        say(f"the figures as a page, with pictures: {options.report}")
    print(printable_table(found.test))
    if not options.names:
        return found.test.clean.sentence()
    print(as_sentence(found.test.sentence("the pictures")))
    return found.test.advice()


def find_pictures(folder: "Folder", labels: tuple[str, ...]) -> list[tuple[str, Path]]:
    """The label and file of each picture in the folders of the labels; where a split is kept, of those held out alone.

    Raises:
        NothingToJudge: there is no such folder, or one of something else.
        FolderMissing: a folder cannot be read.
    """
    from spotter.names import find_name
    from spotter.search.fields import listing

    names = folder.labels()
    if not names:
        raise NothingToJudge(
            f"{str(folder.root)!r} has no sub-folder with pictures; sort them into a folder for each class: "
            f"{listing(labels)}."
        )
    named = {label: name for label in labels if (name := find_name(label, names)) is not None}
    unknown = [name for name in names if name not in named.values()]
    if unknown:
        raise NothingToJudge(
            f"The model has no class {listing(unknown)}; it has {listing(labels)}. Rename or remove the other folders "
            f"in {str(folder.root)!r}."
        )
    hits = [(label, hit) for label in named for hit in folder.search(label, sys.maxsize)]
    if any(hit.split for _, hit in hits):
        say("only the pictures that are kept for judging are judged, not those to train on")
        hits = [(label, hit) for label, hit in hits if hit.split]
    return [(label, hit.path) for label, hit in hits if hit.path]


def printable_table(test: "StressTest") -> str:
    """A line for each row, with the Wilson 95 % interval of each share."""
    heads = (
        "pictures are", "number", "right and answered", "wrong and answered", "answered", "wrong", "calibration error",
    )  # fmt: skip
    rows = [heads, *(_cells(row) for row in (test.clean, *test.rows))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        printable("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for row in rows
    )


def _cells(row: "StressRow") -> tuple[str, ...]:
    number = f"{row.pictures}, {row.blank} blank" if row.blank else str(row.pictures)
    if not row.pictures:
        return row.title, number, *5 * "-"
    from spotter.evaluate.stress_rows import share_in_words
    from spotter.utils.text import percent

    shares = (share_in_words(row, count) for count in (row.right_answered, row.wrong_answered, row.answered, row.wrong))
    return row.title, number, *shares, percent(row.calibration)
