"""Write a report about the answer log, as one page to open offline.

    spotter report logs/bears --model models/bears
    spotter report logs/bears --model models/bears --webhook https://hooks.example.org/bears

The last line on stdout is one sentence of advice, the same as at the top of the page. Each alert is sent to the webhook
once.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spotter.config import HUB, ReportConfig
from spotter.errors import NoTrainingRun
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say

if TYPE_CHECKING:
    import numpy as np

    from spotter.monitor.baseline import Published, Training

DEFAULT = ReportConfig()


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("log", metavar="LOG", type=Path, help="the folder that spotter serve --log writes to")
    parser.add_argument(
        "--model", metavar="STORE", help="the store its revisions were published to, to compare with training"
    )
    parser.add_argument(
        "--days", type=float, default=DEFAULT.days, help="the length of a period (default: %(default)g)"
    )
    parser.add_argument("--to", metavar="FILE", type=Path, help=f"default: {DEFAULT.file} in the folder of the log")
    parser.add_argument("--webhook", metavar="URL", help="post each alert to this address once, as JSON")

    def check(options: Options) -> None:
        if not 0 < options.days < 10_000:
            parser.error("--days must be above 0")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the advice."""
    from spotter.monitor.alerts import send_new
    from spotter.monitor.compare import DAY_S
    from spotter.monitor.report import advise, gather, write_monitor_report
    from spotter.utils.http import check_webhook
    from spotter.utils.text import plural

    if options.webhook:
        check_webhook(options.webhook)
    findings = gather(options.log, options.model, options.days, measure_training)
    for revision in findings.unknown:
        say(f"the revision {revision} is not in {options.model}, so it is not compared with training")
    path = options.to or options.log / DEFAULT.file
    write_monitor_report(findings, path)
    say(f"the report is in {path}")
    if options.webhook:
        since = int(findings.answers.at[-1] - options.days * DAY_S)
        sent = send_new(findings.changes, options.webhook, options.log, since)
        say(f"{plural(sent, 'alert')} sent")
    return advise(findings)


def measure_training(store: str, published: "Published") -> "Training":
    """Read what a revision says about its training, and measure its pictures if they are on this machine.

    Raises:
        As `read_published`.
    """
    from spotter.monitor.baseline import read_training

    training = read_training(store, published)
    return training if store.startswith(HUB) else replace(training, figures=_figures(Path(store), published.revision))


def _figures(store: Path, revision: str) -> dict[str, "np.ndarray"]:
    """Out-of-fold figures and image statistics of the training pictures; {} where these are gone or of another run."""
    import numpy as np

    from spotter.data.image_stats import measure_images
    from spotter.data.manifest import read_manifest
    from spotter.data.training_run import find_pictures, read_run
    from spotter.image_stats import ImageStats

    try:
        run = read_run(find_pictures(store))
    except NoTrainingRun:
        return {}
    if run.revision != revision:
        return {}
    files = {str(record.sha256): record.file for record in read_manifest(run.folder) if record.kept}
    keys = [key for key in run.keys if key in files and (run.folder / str(files[key])).is_file()]
    stats = measure_images(run.folder, keys, [run.folder / str(files[key]) for key in keys])
    is_judged = ~np.isnan(run.familiarity)
    figures = {"familiarity": run.familiarity[is_judged], "probability": run.probabilities[is_judged].max(axis=1)}
    if keys:
        names = [each.name for each in fields(ImageStats)]
        figures |= {name: stats[:, column] for column, name in enumerate(names) if name != "side"}
    return figures
