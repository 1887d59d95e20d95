"""docs/tutorial.md: every command and every piece of Python in it, in its order, on fewer drawn bears than it says.

With as many as it says, the notebook is run.
"""

import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spotter import cli
from spotter.data.edit_log import EDITS
from spotter.feedback.store import FeedbackFolder
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.publish.premortem import QUESTIONS
from spotter.stores import open_store
from tests.conftest import ROOT
from tests.helpers.hub import OWNER, Hub, point_client
from tests.helpers.pages import Block, blocks

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
FEWER = {"per_class = 20": "per_class = 8", 'bear", 24)': 'bear", 9)'}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What makes the environment in which the tests run already.
SETUP = (
    ["python3", "-m", "venv", ".venv"],
    ["source", ".venv/bin/activate"],
    ["pip", "install", ".[train]"],
)
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Reader:
    """Somebody who follows the page in an empty folder. `printed` is what each command said."""

    printed: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[str] | None = None
    url: str = ""

    def follow(self, block: Block) -> None:
        if block.language == "toml":
            Path(block.name).write_text(block.text)
        elif block.language == "python":
            self.remember(block.section, lambda: exec(block.text, {}))  # noqa: S102  (our own page)
        else:
            for line in block.text.splitlines():
                self.run(line)

    def run(self, line: str) -> None:
        words = shlex.split(line.replace("hf://owner/", f"hf://{OWNER}/"), comments=True)
        if words[0] in {"grep", "curl"}:
            told = ["bash", "-c", line.replace("http://127.0.0.1:7860", self.url).replace("curl ", "curl -fsS ")]
            self.printed[line] = subprocess.run(told, capture_output=True, text=True, check=True).stdout
        elif words in SETUP:
            assert words[0] != "pip" or "train" in PROJECT["optional-dependencies"]
        elif words[:2] == ["spotter", "serve"] or is_cleaning_page(words):
            self.serve(["-m", *words, "--port", "0"])
        else:
            # In this process: what takes seconds to import is imported once.
            main = program(words)
            self.remember(line, lambda: main(words[1:]))

    def remember(self, line: str, act: Callable[[], object]) -> None:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = act()
        self.printed[line] = output.getvalue()
        assert status in (0, None), output.getvalue()

    def serve(self, words: list[str]) -> None:
        self.stop()
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.server = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self.server.stdout
        for line in self.server.stdout:
            if found := ADDRESS.search(line):
                self.url = found[0]
                return
        raise AssertionError(f"{words} did not serve")

    def stop(self) -> None:
        if self.server:
            self.server.terminate()
            self.server.communicate(timeout=600)
            self.server = None


def is_cleaning_page(words: list[str]) -> bool:
    return words[:2] == ["spotter", "clean"] and words[2] not in {"apply", "export", "replay"}


def program(words: list[str]) -> Callable[[list[str]], int]:
    """The `main` that a command of the page runs."""
    if words[0] == "spotter":
        return cli.main
    script = re.search(r"exec \.venv/bin/python (\S+) ", (ROOT / words[0]).read_text())
    assert script, words[0]
    return importlib.import_module(script[1].removesuffix(".py").replace("/", ".")).main


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    # The simulation starts it in a process of its own, from the top of a checkout.
    Path("train.py").symlink_to(ROOT / "train.py")
    reader = Reader()
    yield reader
    reader.stop()


def decide(url: str) -> None:
    """Say in the browser's stead that the first suspect is none of the classes."""
    with urllib.request.urlopen(f"{url}/clean/queue?name=wrong") as answer:
        first = json.load(answer)["items"][0]
    body = json.dumps({"who": "me", "queue": "wrong", "items": [{"id": first[0], "action": "delete"}]})
    asked = urllib.request.Request(
        f"{url}/clean/decide", body.encode(), {"Content-Type": "application/json", "Origin": url}
    )
    with urllib.request.urlopen(asked) as answer:
        assert json.load(answer)["decided"] == 1


def visit() -> None:
    """Say in a visitor's stead that the answer is right, with consent."""
    picture = load_picture(Path("bear.jpg"))
    predictor = Predictor.load("models/small")
    FeedbackFolder(Path("visitors")).add(picture, predictor.predict(picture), "teddy", predictor.revision)


@pytest.mark.slow
def test_the_whole_page(reader: Reader, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_client(monkeypatch, hub.url, Path("hub").absolute())
    section = ""
    page = TUTORIAL
    for said, done in FEWER.items():
        assert page.count(said) == 1
        page = page.replace(said, done)
    for block in blocks(page):
        if block.section != section:
            if section.startswith("7."):
                assert Path("data/small/sample", EDITS).exists()
            reader.stop()
            section = block.section
        if "spotter premortem" in block.text:
            monkeypatch.setattr("sys.stdin", io.StringIO("I do.\n" * len(QUESTIONS)))
        reader.follow(block)
        if block.text.startswith("spotter clean models"):
            decide(reader.url)
        if "--feedback visitors" in block.text and reader.server:
            visit()
    check_what_was_said(reader.printed)
    run_snippets_of_other_pages(reader)


def check_what_was_said(printed: dict[str, str]) -> None:
    """What the page promises of some commands."""

    def of(words: str) -> str:
        return next(text for line, text in printed.items() if line.startswith(words))

    assert of("grep") == "24\n"
    assert "contact sheets" in of("spotter train small.toml --search sample --size 128 --show-batch")
    assert {name.name for name in Path("data/small/sample").iterdir()} > {
        "show_batch.png", "show_batch_unique.png", "report.html", "coverage.html",
    }  # fmt: skip
    assert "fine-tun" in of("spotter train small.toml --search sample --size 128 --fine-tune")
    assert of("6. Confusion").count("[") == 4
    assert len(Path("decisions.jsonl").read_text().splitlines()) == 1
    learner, predictor, *_ = of("9. Export").split()
    assert learner == predictor == "teddy"
    assert '"label":"teddy"' in of("curl")
    assert "hardware cpu-basic" in of("spotter deploy")
    assert "of 6 refused" in of("spotter train small.toml --search sample --unfamiliar")
    assert "entries: 1; 1 say" in of("spotter feedback")
    assert "monitor.html" in of("spotter report logs/small")
    assert Path("logs/rehearsal/monitor.html").exists()
    # Trained, fine-tuned, cleaned.
    assert of("spotter rollback models/small").count("push") >= 3


def run_snippets_of_other_pages(reader: Reader) -> None:
    """The Python of README and docs that reads a published model, with the model of this page."""
    shutil.copy("bear.jpg", "picture.jpg")
    _, revision = open_store("models/small").pull()
    ours = [
        block
        for page in ("README.md", "docs/serving.md")
        for block in blocks((ROOT / page).read_text())
        if block.language == "python" and "models/bears" in block.text
    ]
    assert len(ours) == 3
    for number, block in enumerate(ours):
        code = block.text.replace("models/bears", "models/small").replace("/REV/", f"/{revision}/")
        reader.remember(f"snippet {number}", lambda code=code: exec(code, {}))  # type: ignore[misc]  # noqa: S102
        assert "teddy" in reader.printed[f"snippet {number}"]
    assert Path("why.jpg").exists()


def test_it_names_every_step_once() -> None:
    titles = re.findall(r"^## (\d+)\.", TUTORIAL, re.MULTILINE)
    assert titles == [str(number) for number in range(1, len(titles) + 1)]
    assert shutil.which("grep")
