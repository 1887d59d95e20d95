"""Tell what the answer log says, as one page to open offline; alerts go to a webhook.

    scripts/report logs/bears --model models/bears
    scripts/report logs/bears --model models/bears --webhook https://hooks.example.org/bears

The last line on stdout is one sentence of advice, the same as at the top of the page.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.alerts import check_url, send_new
from spotter.command import run_command, say
from spotter.monitor_report import DAYS, REPORT, advise, gather, write_report
from spotter.parser import Parser
from spotter.periods import DAY_S
from spotter.trained import measure_training
from spotter.utils.text import plural


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report, send alerts, and return the exit status."""
    parser = Parser(prog="scripts/report", description="Tell what the answer log says.")
    parser.add_argument("log", metavar="LOG", type=Path, help="the folder that app.py --log writes to")
    parser.add_argument("--model", metavar="STORE", help="where its revisions were published, to compare with training")
    parser.add_argument("--days", type=float, default=DAYS, help="the length of a period (default: %(default)g)")
    parser.add_argument("--to", metavar="FILE", type=Path, help=f"default: {REPORT} in the folder of the log")
    parser.add_argument("--webhook", metavar="URL", help="post alerts there as JSON, each once")
    options = parser.parse_args(argv)
    if not 0 < options.days < 10_000:
        parser.error("--days must be above 0")
    return run_command("scripts/report", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; return the advice."""
    if options.webhook:
        check_url(options.webhook)
    findings = gather(options.log, options.model, options.days, measure_training)
    for revision in findings.unknown:
        say(f"the revision {revision} is not in {options.model}: it is not compared with training")
    path = options.to or options.log / REPORT
    write_report(findings, path)
    say(f"the report is in {path}")
    if options.webhook:
        since = int(findings.answers.at[-1] - options.days * DAY_S)
        sent = send_new(findings.changes, options.webhook, options.log, since)
        say(f"{plural(sent, 'alert')} sent")
    return advise(findings)


if __name__ == "__main__":
    sys.exit(main())
