"""See what was published to a store, and take it back.

    scripts/rollback models/bears --list
    scripts/rollback hf://owner/bears        # to the files before the newest
    scripts/rollback hf://owner/bears v2

Nothing leaves the history, so a rollback can be rolled back. The last line on stdout is `revision REV`, what the store
now gives to whoever asks for no revision.
"""

import argparse
import sys
from collections.abc import Sequence

from spotter.command import run_command, say
from spotter.errors import RevisionMissing
from spotter.parser import Parser
from spotter.stores import open_store


def main(argv: Sequence[str] | None = None) -> int:
    """Roll back or list, and return the exit status."""
    parser = Parser(prog="scripts/rollback", description=__doc__.splitlines()[0])
    parser.add_argument("store", metavar="STORE", help="a folder or hf://owner/name")
    parser.add_argument("revision", metavar="REVISION", nargs="?", help="go back to it (default: the one before)")
    parser.add_argument("--list", action="store_true", help="change nothing, only tell the history")
    options = parser.parse_args(argv)
    if options.list and options.revision:
        parser.error("give a revision or --list, not both")
    return run_command("scripts/rollback", lambda: f"revision {run(options)}", argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; return the newest revision."""
    store = open_store(options.store)
    if not options.list:
        try:
            store.rollback(options.revision)
        except RevisionMissing:
            # Where nothing is, that is what there is to tell.
            if store.history():
                raise
        else:
            say("an app that runs goes on with what it loaded: start it again")
    history = store.history()
    if not history:
        raise RevisionMissing(f"Nothing was published to {store.address} yet; train.py --to does.")
    for event in history:
        contents = f", contents {event.contents}" if event.contents not in {"", event.revision} else ""
        say(f"{event.version:5} {event.at}  {event.action:8}  {event.revision}{contents}")
    return history[-1].revision


if __name__ == "__main__":
    sys.exit(main())
