"""Which files of a checkout serving needs. Runs without anything installed:

    python -I spotter/serving.py CHECKOUT FOLDER

copies them.
"""

import ast
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

APP, REQUIREMENTS, TEMPLATES = "app.py", "requirements.txt", "spotter/templates"
NAMED = re.compile(r"\"([a-z]+\.(?:html|css))\"")
# The packages whose other files go along: templates, style sheets, scripts, texts.
PACKAGES = ("spotter/serve", "spotter/utils")


def serving_files(root: Path) -> list[str]:
    """The modules that `app.py` imports, directly or not, as paths below `root`, and itself, and what they fill in or
    send as it is."""
    found = {file for name in PACKAGES for file in (root / name).rglob("*") if file.is_file() and _is_no_code(file)}
    waiting = [root / APP]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        text = path.read_text(encoding="utf-8")
        waiting += [root / TEMPLATES / name for name in NAMED.findall(text) if (root / TEMPLATES / name).is_file()]
        for name in _imports(ast.parse(text).body) if path.suffix == ".py" else ():
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:end])
                waiting += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _is_no_code(file: Path) -> bool:
    return file.suffix not in {".py", ".pyc"}


def _imports(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from _imports(statement.orelse)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _copy(root: Path, folder: Path) -> None:
    for name in [*serving_files(root), REQUIREMENTS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)


if __name__ == "__main__":
    _copy(Path(sys.argv[1]), Path(sys.argv[2]))
