"""Who may import whom, and what no file may say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = [*sorted((ROOT / "spotter").rglob("*.py")), ROOT / "app.py", ROOT / "train.py"]
ONLY_IN = {
    "gradio": {"web.py", "page.py", "page_rollout.py", "payload.py", "look.py", "cleaner.py"},
    "gradio_client": {"deploy.py"},
    "fastai": {"backbone.py", "learner.py", "processes.py", "evaluate.py", "bundle.py", "foreign.py"},
    "torch": {"backbone.py", "learner.py", "evaluate.py", "bundle.py", "foreign.py"},
    "timm": {"backbone.py"},
    "accelerate": {"processes.py"},
    "onnx": {"int8.py"},
    "huggingface_hub": {"stores/", "card.py", "deploy.py"},
    "httpx": set(),
    "httpx2": {"search/", "stores/", "download.py", "safe_network.py", "deploy.py", "alerts.py"},
    "httpcore": set(),
    "httpcore2": {"safe_network.py", "download.py"},
    "ddgs": {"search/"},
    "protego": {"robots.py"},
    "ray": {"scale/cluster.py", "scale/endpoint.py"},
    "pyarrow": {"scale/listing.py", "scale/answers.py"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", ONLY_IN)
def test_each_library_has_its_room(package: str) -> None:
    for path in SOURCES:
        if any(name.split(".")[0] == package for name in imported(path)):
            place = path.relative_to(ROOT).as_posix().removeprefix("spotter/")
            assert any(place == room or (place.startswith(room) and room.endswith("/")) for room in ONLY_IN[package]), (
                place
            )


def test_sources_and_downloads_know_only_errors_config_and_images() -> None:
    allowed = {
        "spotter.errors",
        "spotter.config",
        "spotter.images",
        "spotter.robots",
        "spotter.safe_network",
        "spotter.utils.http",
        "spotter.feedback",
        "spotter.drawn.picture",
    }
    for path in [
        *(ROOT / "spotter" / "search").glob("*.py"),
        ROOT / "spotter" / "download.py",
        ROOT / "spotter" / "robots.py",
        ROOT / "spotter" / "images.py",
    ]:
        ours = {name for name in imported(path) if name.startswith("spotter") and not name.startswith("spotter.search")}
        assert ours <= allowed, path


def test_training_needs_no_page_and_the_app_no_training() -> None:
    assert not {"spotter.web", "app"} & imported(ROOT / "train.py")
    assert imported(ROOT / "app.py") & {"spotter.learner", "spotter.dataset", "spotter.evaluate"} == set()


@pytest.mark.parametrize("module", ["app", "spotter", "spotter.web"])
def test_importing_the_app_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print({'torch', 'fastai', 'timm', 'sklearn', 'scipy', 'matplotlib', 'ddgs', 'ray'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"


def test_requirements_are_exact_and_the_serving_set_is_light() -> None:
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            assert re.fullmatch(r"#.*|-r requirements[\w-]*\.txt|[\w-]+==[\w.]+", line), (path.name, line)
    serving = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"torch|fastai|timm|scikit|scipy|matplotlib", re.sub(r"#.*", "", serving))
