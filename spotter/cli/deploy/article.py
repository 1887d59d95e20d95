"""Write a ready-to-post article about a published model.

    spotter article models/bears --app https://owner-bears.hf.space

It is Markdown, a page, and the plots. The last line on stdout is the folder with the article.
"""

from pathlib import Path
from urllib.parse import urlsplit

from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", metavar="STORE", help="a folder or hf://owner/name")
    parser.add_argument("--revision", help="default: the newest")
    parser.add_argument(
        "--app", metavar="ADDRESS", default="", help="address of the running app, for the widget in the article"
    )
    parser.add_argument("--to", metavar="FOLDER", type=Path, default=Path("article"), help="default: %(default)s")

    def check(options: Options) -> None:
        if options.app and (urlsplit(options.app).scheme not in {"http", "https"} or set(options.app) & set("\"'<> ")):
            parser.error("--app must be an address such as https://owner-bears.hf.space")

    parser.add_check(check)


def run(options: Options) -> str:
    """Write it and say what was written; return the folder."""
    from spotter.deploy.article import write_article

    for path in write_article(options.store, options.revision, options.app, options.to):
        say(str(path))
    return str(options.to)
