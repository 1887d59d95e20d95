"""Clean a picture set with the model's help, in the browser.

    spotter clean models/bears                       (the page, on http://127.0.0.1:7861)
    spotter clean apply models/bears                 (move and remove files, as decided)
    spotter clean export models/bears edits.jsonl    (the decisions, for another machine)
    spotter clean replay models/bears edits.jsonl    (decisions of another machine, added to those here)

Every decision is written to the log of the picture set. Name the set by its folder, or by the store that
`spotter train` published to.
"""

import os
from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from spotter.config import CleanConfig, ServeConfig
from spotter.errors import FolderMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say


def add_arguments(parser: Parser) -> None:
    """Add the options of the command, and its own commands."""
    parser.description, parser.formatter_class = __doc__, RawDescriptionHelpFormatter
    for name, act in (("apply", _apply), ("export", _export), ("replay", _replay)):
        one = parser.add_command(name, str(act.__doc__))
        _add_target(one)
        if act is not _apply:
            one.add_argument("file", type=Path, help="a file with decisions, one JSON object per line")
        one.set_defaults(act=act)
    _add_target(parser)
    parser.add_argument("--as", dest="who", metavar="NAME", help="who decides (default: your user name)")
    parser.add_argument("--host", default=ServeConfig.host, help="address to listen on; other machines need a password")
    parser.add_argument("--port", type=int, default=CleanConfig.port, help="default: %(default)s")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="a file with the password (or set the variable SPOTTER_PASSWORD)",
    )
    parser.set_defaults(act=_open)

    def check(options: Options) -> None:
        from spotter.clean.session import clean_name

        if options.who is not None and not clean_name(options.who):
            parser.error("--as needs a name")

    parser.add_check(check)


def run(options: Options) -> str:
    """Open the page, or do what the command says; return the last line."""
    return options.act(options)


def _add_target(parser: Parser) -> None:
    parser.add_argument("target", type=Path, help="a store, such as models/bears, or the folder of a picture set")


def _open(options: Options) -> str:
    from spotter.clean.server import create_app
    from spotter.clean.session import Session, clean_name
    from spotter.data.training_run import find_pictures
    from spotter.serve.auth import CLEANING_PASSWORD, read_password, read_password_file
    from spotter.serve.server import serve

    who = clean_name(os.environ.get("USER", "") if options.who is None else options.who) or "me"
    session = Session(find_pictures(options.target), who)
    config = ServeConfig(host=options.host, port=options.port)
    file = options.password_file
    password = read_password_file(file) if file else read_password(variable=CLEANING_PASSWORD)
    serve(create_app(session, config, password), config)
    return "The page is closed. All decisions are saved."


def _apply(options: Options) -> str:
    """Move relabelled pictures into the folder of their class and permanently remove deleted ones."""
    from spotter.data.edits import write_to_disk
    from spotter.data.training_run import find_pictures
    from spotter.utils.text import plural

    moved, removed = write_to_disk(find_pictures(options.target))
    return f"{plural(moved, 'picture')} moved, {removed} removed"


def _export(options: Options) -> str:
    """Write the decisions to a file, to review or replay them elsewhere."""
    from spotter.data.edit_log import EditLog
    from spotter.data.training_run import find_pictures
    from spotter.utils.text import plural

    edits = EditLog(find_pictures(options.target)).read()
    try:
        options.file.write_bytes(b"".join(edit.as_line() for edit in edits))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be written: {error.strerror}.") from error
    return f"{plural(len(edits), 'line')} in {options.file}"


def _replay(options: Options) -> str:
    """Add the decisions in a file to the log of this set. Decisions that are in the log already are skipped."""
    from spotter.clean.state import read_cleaning_set
    from spotter.data.edit_log import EditLog, parse_edits
    from spotter.data.edits import judge_edits
    from spotter.data.training_run import find_pictures, read_run
    from spotter.utils.text import plural

    folder = find_pictures(options.target)
    try:
        edits = parse_edits(options.file.read_bytes(), str(options.file))
    except OSError as error:
        raise FolderMissing(f"{str(options.file)!r} cannot be read: {error.strerror}.") from error
    added = EditLog(folder).replay(edits)
    pictures = read_cleaning_set(read_run(folder))
    verdicts, elsewhere = judge_edits(EditLog(folder).read(), pictures.everything)
    disputed = sum(verdict.is_disputed for verdict in verdicts.values())
    say(
        f"decisions about {plural(len(verdicts), 'picture')} of this set, {elsewhere} of other sets; disputed: "
        f"{disputed}"
    )
    return f"{plural(added, 'line')} added"
