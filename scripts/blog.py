"""Write a ready-to-post article about a published model: Markdown, a page, and the plots.

    scripts/blog models/bears --app https://owner-bears.hf.space

The last line on stdout is the folder that it is in.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from spotter.blog import write_article
from spotter.command import run_command, say
from spotter.parser import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the article and return the exit status."""
    parser = Parser(prog="scripts/blog", description=__doc__.splitlines()[0])
    parser.add_argument("store", metavar="STORE", help="a folder or hf://owner/name")
    parser.add_argument("--revision", help="default: the newest")
    parser.add_argument(
        "--app", metavar="ADDRESS", default="", help="of the running app, for the widget in the article"
    )
    parser.add_argument("--to", metavar="FOLDER", type=Path, default=Path("article"), help="default: %(default)s")
    options = parser.parse_args(argv)
    if options.app and (urlsplit(options.app).scheme not in {"http", "https"} or set(options.app) & set("\"'<> ")):
        parser.error("--app must be an address such as https://owner-bears.hf.space")
    return run_command("scripts/blog", lambda: write(options), argv)


def write(options: argparse.Namespace) -> str:
    """Write it and say what was written; return the folder."""
    for path in write_article(options.store, options.revision, options.app, options.to):
        say(str(path))
    return str(options.to)


if __name__ == "__main__":
    sys.exit(main())
