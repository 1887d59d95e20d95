"""Write docs/api.md, the reference of the public names, from their signatures and docstrings.

    scripts/api_docs

What is public is listed here, by hand: a name in this list is one that others may rely on. A test fails when
the page is stale.
"""

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import spotter
import spotter.search
import spotter.stores
from spotter import errors
from spotter.bundle import thumbnails
from spotter.config import ServeConfig
from spotter.inference import predictor
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from spotter.serve.startup import no_answer
from spotter.stores import hub
from spotter.utils.argument_parser import Parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
PUBLIC: tuple[tuple[str, str, ModuleType, tuple[str, ...]], ...] = (
    ("Answers", "from spotter import Predictor", spotter, ("Predictor", "Prediction")),
    ("", "", predictor, ("Neighbour",)),
    ("", "", thumbnails, ("Thumbnail",)),
    (
        "Stores",
        "from spotter.stores import open_store",
        spotter.stores,
        ("open_store", "Store", "Event", "FolderStore"),
    ),
    ("", "", hub, ("HubStore",)),
    (
        "Picture sources",
        "from spotter.search import get_backend",
        spotter.search,
        ("get_backend", "get_backends", "SearchBackend", "ImageHit"),
    ),
)
HEAD = """# API

Written by `scripts/api_docs` from the docstrings; a test fails when it is stale. What stands here is public: it
changes only with a line in the [CHANGELOG](../CHANGELOG.md). Everything else may change at any time.
"""
SECTION = re.compile(r"^(Args|Returns|Raises)(.*):$")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, and return the exit status."""
    parser = Parser(prog="scripts/api_docs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    PAGE.write_text(make_page(), encoding="utf-8")
    print(PAGE)
    return 0


def make_page() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD]
    for title, code, module, names in PUBLIC:
        parts += [f"## {title}\n", f"```python\n{code}\n```\n"] if title else []
        parts += [describe(getattr(module, name)) for name in names]
    parts += ["## Errors\n", "```python\nfrom spotter.errors import SpotterError\n```\n", describe_errors()]
    parts += ["## HTTP routes\n", describe_routes()]
    return "\n".join(parts)


def describe(thing: Any) -> str:
    """A class with its public methods, or a function."""
    if inspect.isfunction(thing):
        return f"### {thing.__name__}\n\n{signature(thing)}\n{text(thing)}"
    parts = [f"### {thing.__name__}\n", text(thing)]
    if dataclasses.is_dataclass(thing):
        parts.append(fields(thing))
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            kind = annotation(inspect.signature(member.fget).return_annotation) if member.fget else ""
            parts.append(f"**`{name}`**: `{kind}`\n\n{text(member)}".rstrip() + "\n")
        elif isinstance(member, classmethod | staticmethod) or inspect.isfunction(member):
            function = getattr(thing, name)
            parts.append(f"**`{thing.__name__}.{name}`**\n\n{signature(function)}\n{text(function)}")
    return "\n".join(parts)


def signature(function: Any) -> str:
    """How it is called, as code."""
    given = inspect.signature(function)
    kept = [parameter for name, parameter in given.parameters.items() if name != "self" and not name.startswith("_")]
    shown = [
        f"{parameter.name}: {annotation(parameter.annotation)}"
        + ("" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}")
        for parameter in kept
    ]
    stars = [number for number, parameter in enumerate(kept) if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    if stars:
        shown.insert(stars[0], "*")
    return f"```python\n{function.__name__}({', '.join(shown)}) -> {annotation(given.return_annotation)}\n```\n"


def annotation(kind: Any) -> str:
    """A type as one would write it."""
    if isinstance(kind, str):
        return kind.strip('"')
    plain = kind.__name__ if inspect.isclass(kind) and not hasattr(kind, "__origin__") else str(kind)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", "None" if plain == "NoneType" else plain)


def fields(thing: Any) -> str:
    """The fields of a dataclass, as a list."""
    lines = []
    for field in dataclasses.fields(thing):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        lines.append(f"- `{field.name}: {annotation(field.type)}{default}`")
    return "\n".join(lines) + "\n"


def text(thing: Any) -> str:
    """A docstring, its sections as lists."""
    found = inspect.getdoc(thing)
    if not found:
        return ""
    lines: list[str] = []
    is_item = False
    for line in found.splitlines():
        if section := SECTION.match(line):
            lines += [f"{section[1]}{section[2]}:", ""]
            is_item = True
        elif is_item and line.startswith("    "):
            begins = re.match(r"    (?:[\w, ()]+(?:: asked too often\))?: |As )", line) or lines[-1] == ""
            lines.append(f"- {line.strip()}" if begins else f"  {line.strip()}")
        else:
            is_item = is_item and not line
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


def describe_errors() -> str:
    """A table of every exception."""
    rows = ["| | |", "|---|---|"]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.SpotterError):
            above = (
                ""
                if kind in (errors.SpotterError, *errors.SpotterError.__subclasses__())
                else (f" A kind of `{kind.__mro__[1].__name__}`.")
            )
            rows.append(f"| `{name}` | {' '.join(str(inspect.getdoc(kind)).split())}{above} |")
    return "\n".join(rows) + "\n"


def describe_routes() -> str:
    """The plain routes, from what the app itself tells programs."""
    told = create_app(no_answer, ModelInfo("Spotter", ("a", "b")), ServeConfig(metrics=True)).openapi()
    rows = ["| | | Answers |", "|---|---|---|"]
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            about = f"{route['summary']}. {route.get('description', '')}".replace("?.", "?").strip()
            statuses = ", ".join(sorted(route["responses"]))
            rows.append(f"| `{method.upper()} {path}` | {about} | {statuses} |")
    parts = ["\n".join(rows) + "\n", "What they answer in JSON:\n"]
    for name in ("Classified", "Batch", "Problem", "Health", "Failing"):
        parts.append(
            f"- `{name}`: {', '.join(f'`{field}`' for field in told['components']['schemas'][name]['properties'])}"
        )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
