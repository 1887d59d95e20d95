"""Classify many pictures into one file: a folder, a Parquet file, or a list of paths and addresses.

    scripts/classify pictures/holiday --model models/bears --to answers.csv
    scripts/classify list.txt --model hf://owner/bears --to answers.parquet --ray local

A row for each picture, in the order of the list; one that cannot be read has a reason instead of an answer. The last
line on stdout is the file. Run again, it goes on from what it has.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from spotter.command import run_command, say, stage
from spotter.parser import Parser
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import Done, Job, Model, classify_all, run_here
from spotter.scale.listing import list_pictures
from spotter.scale.options import add_cluster_option, with_cluster


def main(argv: Sequence[str] | None = None) -> int:
    """Classify, and return the exit status."""
    parser = Parser(prog="scripts/classify", description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a folder, a .parquet file, or a text file with a picture a line")
    parser.add_argument("--model", metavar="STORE", required=True, help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument("--int8", action="store_true", help="answer by the int8 network, where one was published")
    parser.add_argument("--to", type=Path, metavar="FILE", required=True, help="the answers, .parquet or .csv")
    add_cluster_option(parser)
    options = parser.parse_args(argv)
    return run_command("scripts/classify", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """List the pictures, classify them; return the file of answers."""
    with stage("List the pictures"):
        listing = list_pictures(options.pictures)
        say(f"{listing.pictures} pictures in {len(listing.parts)} parts")

    with stage("Load the model"):
        predictor, model = Model(options.model, options.revision, int8=options.int8).pinned()
        answers = AnswerFile(options.to.absolute(), predictor.labels, str(predictor.revision))
        say(f"{predictor.revision}: {', '.join(predictor.labels)}")

    with stage("Classify"), tqdm(desc="  pictures", unit="", total=listing.pictures) as bar:

        def told(done: Done) -> None:
            bar.update(done.pictures)

        with with_cluster(options.ray) as on:
            errors = classify_all(Job(model, answers), listing, on.run if on else run_here, told)
    without = sum(errors.values())
    if without:
        reasons = ", ".join(f"{count} {reason}" for reason, count in errors.most_common())
        say(f"{without} of {listing.pictures} have no answer: {reasons}")
    return str(options.to)


if __name__ == "__main__":
    sys.exit(main())
