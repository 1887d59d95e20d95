"""Classify many pictures into one file.

    spotter classify pictures/holiday --model models/bears --to answers.csv
    spotter classify list.txt --model hf://owner/bears --to answers.parquet --ray local

The pictures are a folder, a Parquet file, or a list of paths and addresses. The file has a row for each picture, in the
order of the list. A picture that cannot be read has a reason instead of an answer. The last line on stdout is the file.
If you run the command again, it continues where it stopped. A file that is finished stays as it is.
"""

from pathlib import Path

from spotter.cli.common import add_cluster_option, with_cluster
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "pictures", type=Path, help="a folder, a .parquet file, or a text file with one picture per line"
    )
    parser.add_argument("--model", metavar="STORE", required=True, help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument("--int8", action="store_true", help="use the int8 network, if one was published")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", required=True, help="the file for the answers, .parquet or .csv"
    )
    add_cluster_option(parser)


def run(options: Options) -> str:
    """List the pictures, classify them; return the file of answers."""
    from tqdm import tqdm

    from spotter.scale.answers import AnswerFile
    from spotter.scale.classify import ClassifyJob, Done, Model, classify_all, run_here
    from spotter.scale.listing import list_pictures

    with stage("List the pictures"):
        listing = list_pictures(options.pictures)
        say(f"{listing.pictures} pictures in {len(listing.parts)} parts")

    with stage("Load the model"):
        predictor, model = Model(options.model, options.revision, int8=options.int8).pinned()
        answers = AnswerFile(options.to.absolute(), predictor.labels, str(predictor.revision), predictor.card.advice)
        say(f"{predictor.revision}: {', '.join(predictor.labels)}")
        if answers.is_finished(listing.names(), listing.pictures):
            say(f"{options.to} has all answers of this model for these pictures; remove it to classify them again")
            return str(options.to)

    with stage("Classify"), tqdm(desc="  pictures", unit="", total=listing.pictures) as bar:

        def told(done: Done) -> None:
            bar.update(done.pictures)

        with with_cluster(options.ray) as on:
            errors = classify_all(ClassifyJob(model, answers), listing, on.run if on else run_here, told)
    without = sum(errors.values())
    if without:
        reasons = ", ".join(f"{count} {reason}" for reason, count in errors.most_common())
        say(f"{without} of {listing.pictures} have no answer: {reasons}")
    return str(options.to)
