"""See what was published to a store, and go back to an earlier version.

    spotter rollback models/bears --list
    spotter rollback hf://owner/bears        # to the version before the newest
    spotter rollback hf://owner/bears v2

The history keeps everything, so a rollback can be rolled back too, by naming the version. Two
rollbacks without one go two versions back. The last line on stdout is `revision REV`, the
revision that the store now gives by default.
"""

from spotter.errors import RevisionMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", metavar="STORE", help="a folder or hf://owner/name")
    parser.add_argument(
        "revision",
        metavar="REVISION",
        nargs="?",
        help="the revision to go back to (default: the one before the newest)",
    )
    parser.add_argument("--list", action="store_true", help="change nothing, only show the history")

    def check(options: Options) -> None:
        if options.list and options.revision:
            parser.error("give a revision or --list, not both")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the last line, which names the newest revision."""
    from spotter.stores import open_store

    store = open_store(options.store)
    if not options.list:
        try:
            store.rollback(options.revision)
        except RevisionMissing:
            # An empty store has no history to print.
            if store.history() or store.head():
                raise
        else:
            say("a running app keeps the model it has loaded: restart it")
    history, head = store.history(), store.head()
    if not history and not head:
        raise RevisionMissing(f"Nothing was published to {store.address} yet; spotter train --to does.")
    for event in history:
        contents = f", contents {event.contents}" if event.contents not in {"", event.revision} else ""
        say(f"{event.version:5} {event.at}  {event.action:8}  {event.revision}{contents}")
    if not head:
        raise RevisionMissing(
            f"{store.address} gives none of these by default, as its file that names one is gone; go back to one of "
            f"them by its name."
        )
    if not history or history[-1].revision != head:
        # Whoever was killed between the two wrote a line about what never happened.
        say("the history does not end with what the store gives now: somebody was stopped, or changed its files")
    return f"revision {head}"
