"""See what visitors sent, and delete what they want deleted.

    scripts/feedback feedback
    scripts/feedback feedback --delete 0123456789abcdef0123456789abcdef

Reviewing is for scripts/clean, after train.py --feedback has taken it into the set.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command, say
from spotter.errors import FeedbackMissing
from spotter.feedback import FeedbackFolder
from spotter.parser import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """List or delete, and return the exit status."""
    parser = Parser(prog="scripts/feedback", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder that app.py --feedback fills")
    parser.add_argument("--delete", metavar="ID", help="remove an entry for good")
    options = parser.parse_args(argv)
    return run_command("scripts/feedback", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; say how many entries there are."""
    entries = FeedbackFolder(options.folder)
    if options.delete and not entries.delete(options.delete):
        raise FeedbackMissing(f"There is no entry {options.delete!r} in {str(options.folder)!r}.")
    count = right = 0
    for entry, _ in entries.read():
        say(f"{entry.time}  {entry.id}  {entry.sentence()}")
        count, right = count + 1, right + entry.is_right
    return f"entries: {count}; {right} say that the model was right"


if __name__ == "__main__":
    sys.exit(main())
