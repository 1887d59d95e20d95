"""Move a model one stage on in its rollout, if the gates in rollout.toml are met.

    scripts/promote logs/bears --model models/bears
    scripts/promote logs/bears --list                     # change nothing, only tell the history
    scripts/promote logs/bears --back "visitors complain" # one stage back, whatever the figures

A gate that is not met is told with its figures, and the exit status is 1. The last line on stdout is `stage STAGE`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command, say
from spotter.errors import RolloutMissing
from spotter.monitor import read_answers
from spotter.parser import Parser
from spotter.promotion import newest, promote, step_back
from spotter.published import read_published
from spotter.rollout import read_history


def main(argv: Sequence[str] | None = None) -> int:
    """Promote, step back or list, and return the exit status."""
    parser = Parser(prog="scripts/promote", description=__doc__.splitlines()[0])
    parser.add_argument("log", metavar="LOG", type=Path, help="the folder that app.py --log writes to")
    parser.add_argument("--model", metavar="STORE", help="where it was published: errors are compared with its figures")
    parser.add_argument("--revision", help="default: that of the newest answer")
    parser.add_argument("--back", metavar="WHY", help="one stage back, and why")
    parser.add_argument("--list", action="store_true", help="change nothing, only tell the history")
    options = parser.parse_args(argv)
    if options.list and options.back:
        parser.error("give --back or --list, not both")
    return run_command("scripts/promote", lambda: f"stage {run(options)}", argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; return the stage."""
    folder = options.log
    if options.list:
        history = [move for move in read_history(folder) if options.revision in (None, move.revision)]
        if not history:
            raise RolloutMissing(f"There is no rollout in {str(folder)!r}; app.py --rollout shadow --log begins one.")
        for move in history:
            say(f"{move.at}  {move.revision[:12]}  {move.action:8}  {move.to:10}  {move.why}".rstrip())
        return history[-1].to
    revision = options.revision or newest(read_answers(folder), folder)
    if options.back:
        move = step_back(folder, options.back, revision)
    else:
        published = [read_published(options.model, revision)] if options.model else []
        move = promote(folder, published, revision)
    say(f"{move.action}: {move.why}")
    return move.to


if __name__ == "__main__":
    sys.exit(main())
