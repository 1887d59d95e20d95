"""See what visitors sent, and delete what they want deleted.

    scripts/feedback feedback
    scripts/feedback hf://datasets/owner/name
    scripts/feedback feedback --delete 0123456789abcdef0123456789abcdef
    scripts/feedback feedback --reviewed models/bears --log logs/bears

Reviewing is for scripts/clean, after train.py --feedback has taken it into the set. What was decided there about logged
answers the last one notes in their log, so that scripts/report knows the error.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command, say
from spotter.config import DATASETS
from spotter.errors import FeedbackMissing
from spotter.feedback import FeedbackFolder
from spotter.feedback_review import note_reviews
from spotter.feedback_sync import fetched, open_dataset, send
from spotter.parser import Parser
from spotter.run import find_pictures


def main(argv: Sequence[str] | None = None) -> int:
    """List, delete or note reviews, and return the exit status."""
    parser = Parser(prog="scripts/feedback", description=__doc__.splitlines()[0])
    parser.add_argument("store", help="what app.py --feedback fills: a folder or hf://datasets/owner/name")
    parser.add_argument("--delete", metavar="ID", help="remove an entry for good")
    parser.add_argument(
        "--reviewed", type=Path, metavar="TARGET", help="the store or picture set whose decisions are noted in --log"
    )
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="the folder that app.py --log writes to")
    options = parser.parse_args(argv)
    if (options.reviewed is None) != (options.log is None):
        parser.error("--reviewed TARGET and --log FOLDER go together")
    return run_command("scripts/feedback", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; say how many entries there are."""
    entries = FeedbackFolder(fetched(options.store))
    if not options.store.startswith(DATASETS) and not entries.folder.is_dir():
        raise FeedbackMissing(f"There is no folder {options.store!r}; give the one that app.py --feedback fills.")
    if options.delete:
        if not entries.delete(options.delete):
            raise FeedbackMissing(f"There is no entry {options.delete!r} in {options.store!r}.")
        if options.store.startswith(DATASETS):
            send(entries, open_dataset(options.store))
    if options.reviewed:
        noted = note_reviews(entries, find_pictures(options.reviewed), options.log)
        say(f"reviews noted: {noted.new}; noted before: {noted.known}; of answers not in the log: {noted.unlogged}")
    count = right = 0
    for entry, _ in entries.read():
        say(f"{entry.time}  {entry.id}  {entry.sentence()}")
        count, right = count + 1, right + entry.is_right
    return f"entries: {count}; {right} say that the model was right"


if __name__ == "__main__":
    sys.exit(main())
