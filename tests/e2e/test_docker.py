"""The Dockerfile: its steps, replayed in folders and a bare virtual environment, end with a healthy app."""

import json
import re
import shlex
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spotter.deploy.serving_files import serving_files
from tests.conftest import ROOT, Revision
from tests.helpers.bare import bare_environment
from tests.helpers.processes import stop


@dataclass
class Stage:
    """One image: its files are below `root`; `command` is what it runs."""

    root: Path
    workdir: str = "/"
    user: str = "root"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def at(self, path: str) -> Path:
        return self.root / str(Path(self.workdir, path)).lstrip("/")


def replay(folder: Path, python: Path) -> Stage:
    """Do what `docker build` would; what pip installs is in `python`'s environment already."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?!#)\S.*", text, re.MULTILINE):
        word, rest = line.split(" ", 1)
        if word == "FROM":
            image, name = re.fullmatch(r"(\S+)(?: AS (\w+))?", rest).groups()  # type: ignore[union-attr]
            assert image == "python:3.12-slim"
            stage = stages.setdefault(name or "last", Stage(folder / (name or "last")))
            stage.root.mkdir()
        elif word == "COPY":
            words = shlex.split(rest)
            origin = stages[words.pop(0).removeprefix("--from=")] if words[0].startswith("--from=") else None
            *sources, target = words
            for source in sources:
                path = origin.at(source) if origin else ROOT / source
                place = stage.at(target)
                if path.is_dir():
                    shutil.copytree(path, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, place)
        elif word == "RUN" and rest.startswith("python "):
            arguments = [str(stage.at(part)) if part.startswith("/") else part for part in shlex.split(rest)[1:]]
            subprocess.run([python, *arguments], check=True, env=bare_environment(folder))
        elif word == "RUN":
            assert rest in {
                "useradd --create-home --uid 1000 spotter",
                "pip install --no-cache-dir --require-hashes --only-binary :all: -r locked.txt",
            }
            if rest.startswith("pip"):
                assert stage.at("locked.txt").read_bytes() == (ROOT / "locked.txt").read_bytes()
        elif word == "HEALTHCHECK":
            stage.health = json.loads(rest.partition("CMD ")[2])
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word == "ENV":
            stage.environment |= dict([rest.split("=")])
        elif word in {"WORKDIR", "USER"}:
            setattr(stage, word.lower(), rest)
        else:
            assert word == "EXPOSE", line
    return stage


def test_an_image_holds_the_serving_set_and_serves_as_nobody_special(
    bare_python: Path, prebuilt: Revision, tmp_path: Path
) -> None:
    image = replay(tmp_path, bare_python)
    assert image.user == "spotter"
    files = {path.relative_to(image.at(".")).as_posix() for path in image.at(".").rglob("*.*")}
    assert files == {*serving_files(ROOT), "locked.txt"}

    assert (image.command[0], image.health[0]) == ("python", "python")
    assert image.command[1:] == ["app.py", "--host", "0.0.0.0"]
    settings = bare_environment(tmp_path, MODEL_STORE=str(prebuilt.store), **image.environment)
    # The last --host and --port count: a free port of this machine alone, in place of the container's.
    command = [bare_python, *image.command[1:], "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=image.at("."), env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stderr
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), process.stderr.read()
        check = [part.replace("http://127.0.0.1:7860", address) for part in image.health[1:]]
        assert check != image.health[1:]
        assert subprocess.run([bare_python, *check], env=settings, check=False).returncode == 0
        with urllib.request.urlopen(f"{address}/healthz") as answer:
            assert json.load(answer)["revision"] == prebuilt.revision
    finally:
        stop(process)
    assert subprocess.run([bare_python, *check], env=settings, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("kept", ["app.py", "locked.txt", "spotter"])
def test_what_the_build_copies_is_not_ignored(kept: str) -> None:
    assert f"!{kept}" in (ROOT / ".dockerignore").read_text().splitlines()
