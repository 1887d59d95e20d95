"""Write docs/cli.md, every command with its options, from the parsers.

    scripts/cli_docs

A test fails when the page is stale.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from spotter.cli import COMMANDS, load_command, make_parser
from spotter.utils.argument_parser import Parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """# Commands

Written by `scripts/cli_docs` from the commands themselves; a test fails when it is stale.

`pip install` gives one command, `spotter`, with all of these. In a checkout, `python train.py` is `spotter train`,
`python app.py` is `spotter serve`, and each file in `scripts` calls one of the others.

The exit status is 0 after success, 1 after a failure (printed as one sentence), 2 after wrong usage, and 130 when
stopped with Ctrl-C. The last line on stdout is the result.
"""
# The other commands start with the script of their name.
IN_CHECKOUT = {
    "train": "python train.py",
    "serve": "python app.py",
    "deploy": "scripts/deploy_space",
    "article": "scripts/blog",
    "ray-serve": "scripts/serve",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, and return the exit status."""
    parser = Parser(prog="scripts/cli_docs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    PAGE.write_text(make_page(), encoding="utf-8")
    print(PAGE)
    return 0


def make_page() -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    for name in COMMANDS:
        command = load_command(name)
        first, *more = str(command.__doc__).strip().split("\n\n")
        parts.append(f"## spotter {name}\n\n{first}\n")
        for paragraph in more:
            is_code = paragraph.startswith("    ")
            lines = "\n".join(line.removeprefix("    ") for line in paragraph.splitlines())
            parts.append(f"```sh\n{lines}\n```\n" if is_code else f"{paragraph}\n")
        parts.append(f"In a checkout: `{IN_CHECKOUT.get(name, f'scripts/{name}')}`.\n")
        parser = make_parser(command, f"spotter {name}")
        parts += [*_options(parser), ""]
        for own in parser.commands.values():
            parts += [f"### {own.prog}\n", f"{own.description}\n", *_options(own), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def _options(parser: Parser) -> Iterator[str]:
    """A line for each argument and option."""
    # Not as `format_help` lays them out: that differs between versions of Python.
    for action in parser._actions:
        if action.dest == "help":
            continue
        value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
        word = action.option_strings[-1] if action.option_strings else ""
        shown = f"{word} {value}".strip() if action.nargs != 0 else word
        needed = ", required" if action.required and word else ""
        told = str(action.help) % {"default": action.default} if action.help else ""
        line = f"- `{shown}`{needed}: {told}"
        yield textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
