"""One command, `spotter COMMAND`: a module for each, with `add_arguments(parser)` and `run(options)`.

`run` returns the last line to print, or "". Nothing heavy is loaded before `run`, and nothing that an app does not
need.
"""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

import spotter
from spotter.errors import ExtraMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import run_command

# The module of each, in the order in which they are used.
COMMANDS = {
    "train": "spotter.cli.train",
    "serve": "spotter.cli.serve",
    "collect": "spotter.cli.collect",
    "features": "spotter.cli.scale.features",
    "adopt": "spotter.cli.deploy.adopt",
    "clean": "spotter.cli.clean",
    "premortem": "spotter.cli.premortem",
    "convert": "spotter.cli.convert",
    "classify": "spotter.cli.scale.classify",
    "watch": "spotter.cli.camera.watch",
    "stress": "spotter.cli.stress",
    "forecast": "spotter.cli.camera.forecast",
    "web": "spotter.cli.deploy.web",
    "deploy": "spotter.cli.deploy.space",
    "article": "spotter.cli.deploy.article",
    "rollback": "spotter.cli.rollback",
    "promote": "spotter.cli.promote",
    "report": "spotter.cli.report",
    "feedback": "spotter.cli.feedback",
    "ray-serve": "spotter.cli.scale.ray_serve",
}
# What comes with another extra than "train".
EXTRAS = {"av": "camera", "watchfiles": "camera"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spotter COMMAND ...`; return the exit status.

    0 after success, 1 after an expected failure, 2 after wrong usage, 130 when stopped with Ctrl-C. An expected failure
    is printed as one sentence.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return start(load_command(words[0]), words[1:], f"spotter {words[0]}")
    _usage().parse_args(words)
    raise AssertionError("wrong usage ends the process")


def start(
    command: ModuleType, argv: Sequence[str] | None, program: str, work: Callable[[Options], str] | None = None
) -> int:
    """Read a command's options and do its work; return the exit status.

    Args:
        program: the name of the command in its messages. work: called instead of the command's own `run`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = make_parser(command, program).parse_args(words)
    options.program = program
    return run_command(program, lambda: _run(work or command.run, options), words)


def load_command(name: str) -> ModuleType:
    """Import the module of a command."""
    return import_module(COMMANDS[name])


def make_parser(command: ModuleType, program: str) -> Parser:
    """Make the parser of a command."""
    parser = Parser(prog=program, description=str(command.__doc__).splitlines()[0])
    command.add_arguments(parser)
    return parser


def _run(work: Callable[[Options], str], options: Options) -> str:
    try:
        return work(options)
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "spotter":
            raise
        extra = EXTRAS.get(error.name.split(".")[0], "train")
        raise ExtraMissing(
            f"This needs the package {error.name!r}, which is not installed: pip install 'spotter[{extra}]', or "
            f"pip install -r requirements-{extra}.txt."
        ) from error


def _usage() -> Parser:
    """The parser of `spotter` without a command, which lists all commands."""
    lines = [f"  {name:10}  {str(load_command(name).__doc__).splitlines()[0]}" for name in COMMANDS]
    parser = Parser(
        prog="spotter",
        usage="spotter COMMAND [options]",
        description="From a list of things to tell apart to a live, honest image classifier.",
        epilog="\n".join(["commands:", *lines, "", "spotter COMMAND --help lists the options of a command."]),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"spotter {spotter.__version__}", help="show the version"
    )
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="a command from the list below")
    return parser
