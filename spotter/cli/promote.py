"""Move a model one stage on in its rollout, if the gates in rollout.toml are met.

    spotter promote logs/bears --model models/bears
    spotter promote logs/bears --list                     # change nothing, only show the history
    spotter promote logs/bears --back "visitors complain" # one stage back, without looking at the figures

If a gate is not met, the command prints its figures and the exit status is 1. The last line on stdout is `stage STAGE`.
"""

from pathlib import Path

from spotter.errors import RolloutMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("log", metavar="LOG", type=Path, help="the folder that spotter serve --log writes to")
    parser.add_argument(
        "--model", metavar="STORE", help="the store it was published to; errors are compared with its figures there"
    )
    parser.add_argument("--revision", help="default: the revision of the newest answer")
    parser.add_argument("--back", metavar="WHY", help="go one stage back, and give the reason")
    parser.add_argument("--list", action="store_true", help="change nothing, only show the history")

    def check(options: Options) -> None:
        if options.list and options.back:
            parser.error("give --back or --list, not both")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the last line."""
    return f"stage {_stage_after(options)}"


def _stage_after(options: Options) -> str:
    from spotter.monitor.baseline import read_published
    from spotter.monitor.log import read_answers
    from spotter.rollout.gates import newest, promote, step_back
    from spotter.rollout.stages import find_revision, read_history

    folder = options.log
    wanted = options.revision and find_revision(folder, options.revision)
    if options.list:
        history = [move for move in read_history(folder) if wanted in (None, move.revision)]
        if not history:
            raise RolloutMissing(
                f"There is no rollout in {str(folder)!r}; spotter serve --rollout shadow --log begins one."
            )
        for move in history:
            say(f"{move.at}  {move.revision[:12]}  {move.action:8}  {move.to:10}  {move.why}".rstrip())
        return history[-1].to
    revision = wanted or newest(read_answers(folder), folder)
    if options.back:
        move = step_back(folder, options.back, revision)
    else:
        published = [read_published(options.model, revision)] if options.model else []
        move = promote(folder, published, revision)
    say(f"{move.action}: {move.why}")
    return move.to
