"""Who may import whom, and what no file may say."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.conftest import ROOT

SOURCES = [*sorted((ROOT / "spotter").rglob("*.py")), ROOT / "app.py", ROOT / "train.py"]
# Who may import whom within `spotter` is a contract that `scripts/lint` checks.
ONLY_IN = {
    "gradio": {"serve/app.py", "serve/page/", "clean/server.py"},
    "gradio_client": {"deploy/space.py"},
    "fastai": {"train/", "publish/convert_worker.py"},
    "torch": {"train/", "publish/convert_worker.py"},
    "timm": {"train/body.py"},
    "accelerate": {"train/distributed.py"},
    "onnx": {"publish/quantize.py", "train/graph.py"},
    "huggingface_hub": {"stores/", "feedback/hub.py", "deploy/", "publish/model_card.py"},
    "httpx": set(),
    "httpx2": {"search/", "stores/", "collect/", "deploy/", "utils/http.py"},
    "httpcore": set(),
    "httpcore2": {"collect/"},
    "ddgs": {"search/"},
    "protego": {"collect/robots.py"},
    "av": {"camera/video.py"},
    "watchfiles": {"camera/follow.py"},
    "ray": {"scale/cluster.py", "scale/endpoint.py"},
    "pyarrow": {"search/parquet.py", "scale/answers.py", "camera/event_log.py", "utils/tables.py"},
}


@cache
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


@pytest.mark.slow
def test_importing_the_app_loads_nothing_heavy() -> None:
    modules = ["spotter", "spotter.search", "spotter.evaluate.stress_folder", "app", "spotter.serve.app"]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'fastai', 'timm', 'sklearn', 'scipy', 'matplotlib', 'ddgs', 'ray'} & set(sys.modules)\n"
        "    print(name, *heavy)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.split("\n")[:-1] == modules


@pytest.mark.slow
def test_heavy_libraries_are_loaded_in_their_stage_and_cost_nothing_at_the_end() -> None:
    """What is imported later slows garbage collection, and the end of the process by seconds. torch, fastai and
    matplotlib are for another process."""
    code = (
        "import gc, sys\nfrom spotter import pipeline\npipeline.load_libraries()\nbefore = set(sys.modules)\n"
        "from spotter.evaluate import held_out, report, stress\n"
        "from spotter.publish import exporting, writing\nfrom spotter.train import backbone, graph\n"
        "print({'sklearn', 'scipy'} <= before, not {'torch', 'fastai', 'timm', 'matplotlib'} & set(sys.modules), "
        "len(set(sys.modules) - before) < 100, gc.get_freeze_count() > 50_000)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "True True True True"


def test_requirements_are_exact_and_the_serving_set_is_light() -> None:
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            assert re.fullmatch(r"#.*|-r requirements[\w-]*\.txt|[\w-]+==[\w.]+", line), (path.name, line)
    serving = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"torch|fastai|timm|scikit|scipy|matplotlib", re.sub(r"#.*", "", serving))


def test_packages_and_modules_stay_small() -> None:
    for package in (ROOT / "spotter").rglob("__init__.py"):
        modules = [path.name for path in package.parent.glob("*.py") if path != package]
        # A file for each source.
        assert len(modules) <= 14 or package.parent.name == "search", package.parent
    assert [str(path) for path in SOURCES if len(path.read_text().splitlines()) > 450] == []


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("spotter", exclude_type_checking_imports=False, cache_dir=None)
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()
