"""Which files of a checkout serving needs. Runs without anything installed:

    python -I spotter/deploy/serving_files.py CHECKOUT FOLDER

copies them.
"""

import shutil
import sys
from pathlib import Path

APP, REQUIREMENTS = "app.py", "requirements.txt"
# What `scripts/lock` writes: every package of a Space, and of the Docker image, in exact versions.
SPACE_VERSIONS, DOCKER_VERSIONS = "constraints.txt", "locked.txt"
# The serving set: `scripts/lint` checks that none of these imports anything of training.
PACKAGES = ("bundle", "decide", "feedback", "inference", "monitor", "rollout", "serve", "stores", "utils")
MODULES = (
    "__init__",
    "config",
    "errors",
    "image_bmp",
    "image_files",
    "image_stats",
    "images",
    "names",
    "recipe",
    "cli/__init__",
    "cli/serve",
)


def serving_files(root: Path) -> list[str]:
    """The files that serving needs, as paths below `root`: code, templates, style sheets, scripts and texts."""
    found = [root / APP, *(root / "spotter" / f"{name}.py" for name in MODULES)]
    for name in PACKAGES:
        found += [path for path in (root / "spotter" / name).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _copy(root: Path, folder: Path) -> None:
    for name in [*serving_files(root), DOCKER_VERSIONS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)


if __name__ == "__main__":
    _copy(Path(sys.argv[1]), Path(sys.argv[2]))
