"""Classify many pictures into one file.

    spotter classify pictures/holiday --model models/bears --to answers.csv
    spotter classify list.txt --model hf://owner/bears --to answers.parquet --ray local
    spotter classify den.mp4 --model models/bears --to events.csv --every 2

The pictures are a folder, a Parquet file, or a list of paths and addresses. The file has a row for each picture, in the
order of the list. A picture that cannot be read has a reason instead of an answer. The last line on stdout is the file.
If you run the command again, it continues where it stopped. A file that is finished stays as it is. Of a video, a
picture every --every seconds is classified, and the file has a row for each stretch in which something is shown.
"""

from pathlib import Path

from spotter.cli.common import add_cluster_option, load_predictor, with_cluster
from spotter.config import NOT_A_PICTURE, VIDEO_SUFFIXES, PictureConfig
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "pictures", type=Path, help="a folder, a .parquet file, a text file with one picture per line, or a video"
    )
    parser.add_argument("--model", metavar="STORE", required=True, help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument("--int8", action="store_true", help="use the int8 network, if one was published")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", required=True, help="the file for the answers, .parquet or .csv"
    )
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="SECONDS", help="of a video: a picture so often (default: 1)"
    )
    add_cluster_option(parser)

    def check(options: Options) -> None:
        if not 0.01 <= options.every <= 3600:
            parser.error("--every must be from 0.01 to 3600 seconds")
        if options.pictures.suffix.lower() in VIDEO_SUFFIXES and options.ray:
            parser.error("--ray is for pictures; a video is read here")

    parser.add_check(check)


def run(options: Options) -> str:
    """List the pictures, classify them; return the file of answers."""
    if options.pictures.suffix.lower() in VIDEO_SUFFIXES and options.pictures.is_file():
        return _classify_video(options)
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
        if errors[NOT_A_PICTURE]:
            say(PictureConfig().advice)
    return str(options.to)


def _classify_video(options: Options) -> str:
    """Find the events of a video, and write a row for each; return the table."""
    from spotter.camera.video import find_events, write_events
    from spotter.utils.text import plural

    predictor = load_predictor(options.model, options.revision, options.int8)
    with stage("Classify"):
        count = write_events(find_events(options.pictures, predictor, options.every), options.to, predictor)
        say(f"{plural(count, 'event')} found")
    return str(options.to)
