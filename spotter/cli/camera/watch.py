"""Watch a folder that a camera fills, and write down each event.

    spotter watch /srv/camera --model models/bears --to events.csv
    spotter watch /srv/camera --model models/bears --to events.csv --alert grizzly --webhook https://hooks.example.org/x
    spotter watch card/DCIM --model models/bears --to events.parquet --once

Pictures that were taken soon after each other, or a while after and alike, are one event with one answer. Each
sub-folder is a camera. Stop it with Ctrl-C; the same command goes on from there, and nothing is lost or written twice.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from spotter.cli.common import load_predictor
from spotter.config import EventConfig, FollowConfig, PictureConfig
from spotter.decide.costs import ASK
from spotter.errors import FolderMissing, NothingToAlert, did_you_mean
from spotter.names import NOT_SURE
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say

if TYPE_CHECKING:
    from spotter.camera.event_log import Told
    from spotter.inference.predictor import Predictor

DEFAULT = EventConfig()


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that the camera fills")
    parser.add_argument("--model", metavar="STORE", required=True, help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument("--to", type=Path, metavar="FILE", required=True, help="the table of events, .csv or .parquet")
    parser.add_argument(
        "--gap",
        type=float,
        default=DEFAULT.gap_s,
        metavar="SECONDS",
        help="a new event begins after so long without a picture (default: %(default)g)",
    )
    parser.add_argument(
        "--alert",
        action="append",
        default=[],
        metavar="ANSWER",
        help=f'post events with this answer or decision, such as a label, "{NOT_SURE}" or "ask"; repeatable',
    )
    parser.add_argument("--webhook", metavar="URL", help="where to post them, as JSON")
    parser.add_argument("--once", action="store_true", help="end when all pictures that are there were read")

    def check(options: Options) -> None:
        if bool(options.alert) != bool(options.webhook):
            parser.error("--alert and --webhook belong together: which events to tell, and where")
        if not 0 < options.gap <= DEFAULT.longest_s:
            parser.error(f"--gap must be above 0 and at most {DEFAULT.longest_s:g} seconds")

    parser.add_check(check)


def run(options: Options) -> str:
    """Watch as the options say; return the table."""
    from contextlib import closing, nullcontext
    from dataclasses import replace
    from functools import partial

    from spotter.camera.alerts import AlertSender
    from spotter.camera.event_log import EventLog
    from spotter.camera.events import EventBuilder
    from spotter.camera.follow import Follower
    from spotter.camera.watch import Watch
    from spotter.utils.http import check_webhook
    from spotter.utils.text import plural

    if options.webhook:
        check_webhook(options.webhook)
    if not options.folder.is_dir():
        raise FolderMissing(f"There is no folder {str(options.folder)!r} to watch.")
    predictor = load_predictor(options.model, options.revision)
    _check_alerts(options.alert, predictor)
    config = FollowConfig()
    gap = replace(DEFAULT, gap_s=options.gap, alike_gap_s=max(options.gap, DEFAULT.alike_gap_s))
    with closing(EventLog(options.to, predictor.labels, str(predictor.revision), predictor.card.advice)) as log:
        if log.count:
            say(f"{plural(log.count, 'event')} in {options.to} already; going on")
        sender = AlertSender(options.webhook, log) if options.webhook else None
        folder = options.folder.resolve()
        with sender or nullcontext(), Follower(folder, config, partial(log.knows, folder)) as follower:
            watch = Watch(follower, predictor, EventBuilder(predictor, gap), log, config, options.alert, sender, _tell)
            watch.run(lambda: options.once)
        if watch.others:
            say(f"{plural(watch.others, 'file')} without a picture left out. {PictureConfig().advice}")
        if sender and sender.waiting:
            say(f"{plural(sender.waiting, 'alert')} not sent yet; they are sent the next time")
    return str(options.to)


def _tell(told: "Told") -> None:
    from spotter.camera.alerts import sentence

    say(sentence(told.row))


def _check_alerts(names: list[str], predictor: "Predictor") -> None:
    """Raises:
    NothingToAlert: the model never gives such an answer.
    """
    possible = [*predictor.labels, NOT_SURE, *([ASK] if predictor.card.costs else [])]
    for name in names:
        if name not in possible:
            guess = did_you_mean(name, possible) or "."
            raise NothingToAlert(f"The model never says or decides {name!r}, only {', '.join(possible)}{guess}")
