"""scripts/quickstart without internet, in a copy of the checkout: it must end with a working page.

It is also the test of `train.py` as a process of its own, on bears that are drawn.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from spotter.recipe import read_recipe
from spotter.search.sample import Sample
from tests.conftest import ROOT

STATIC = ROOT / "spotter" / "web" / "static"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".venv" / "installed").exists():
        pytest.skip("the tests do not run in the .venv that scripts/setup makes")
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # What was compiled is kept, as in all other tests.
    for compiled in (ROOT / "spotter").rglob("__pycache__"):
        shutil.copytree(compiled, folder / compiled.relative_to(ROOT))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # `scripts/setup` has built the browser edition on this machine already.
    if (ROOT / "web" / "node_modules").exists() and STATIC.exists():
        (folder / "web" / "node_modules").symlink_to(ROOT / "web" / "node_modules")
        shutil.copytree(STATIC, folder / STATIC.relative_to(ROOT))
    # Eight drawn bears of each kind take the same way as 80.
    recipe = folder / "recipes" / "bears.toml"
    recipe.write_text(re.sub(r"^per_class = \d+$", "per_class = 8", recipe.read_text(), flags=re.MULTILINE))
    assert read_recipe(recipe).per_class == 8
    return folder


def quickstart(checkout: Path) -> tuple[list[str], bytes]:
    """Run it until it serves; return what it printed and what the app said about a drawn bear."""
    # A proxy that nobody listens on: no internet, whatever the machine has.
    environment = os.environ | {"DDGS_PROXY": "http://127.0.0.1:9"}
    process = subprocess.Popen(
        ["bash", "scripts/quickstart", "--port", "0"],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            if re.fullmatch(r"http://127\.0\.0\.1:\d+", lines[-1]):
                bear = next(iter(Sample().search("teddy bear", 1))).content
                with urllib.request.urlopen(f"{lines[-1]}/api/classify", data=bear) as answer:
                    return lines, answer.read()
        raise AssertionError("\n".join(lines))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=600)
        process.stdout.close()


@pytest.mark.slow
def test_without_internet_it_says_so_and_serves_the_drawn_bears(checkout: Path) -> None:
    lines, answer = quickstart(checkout)
    text = "\n".join(lines)
    assert "DuckDuckGo cannot be reached" in text
    assert "built-in drawn bears" in text
    assert any(re.fullmatch(r"revision [0-9a-f]{40}", line) for line in lines)
    assert set(json.loads(answer)["probabilities"]) == {"grizzly", "black", "teddy"}
    assert b'"label":"teddy"' in answer
    assert "Traceback" not in text
    assert "Warning" not in text
