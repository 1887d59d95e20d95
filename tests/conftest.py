"""Shared fixtures: drawn pictures, a small model that is there already, and one trained and published here."""

import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, expect

from spotter.inference.predictor import Predictor
from spotter.utils.console import log_to_stderr
from spotter.utils.locks import LockedFile
from tests.helpers.browser import CHROMIUM, COMPILER, PATIENCE_MS, running_browser
from tests.helpers.drawing import KINDS, write_folder
from tests.helpers.hub import WRITER, Hub, running_hub
from tests.helpers.window import Window

if TYPE_CHECKING:
    from spotter.web.browser import Browser as Gated

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
ASSETS = ROOT / "tests" / "assets"

# A test must never leave this machine: what would download weights has to fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Its own five seconds are few while other tests use the machine.
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(autouse=True)
def _logged() -> None:
    """What is logged is on stderr, as in the app."""
    log_to_stderr("app.py")


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Each call of httpx, and many of Gradio's client, would read those of the whole web anew, for a server here."""
    import httpx._transports.default
    import httpx2._transports.default

    with pytest.MonkeyPatch.context() as patch:
        for module in (httpx._transports.default, httpx2._transports.default):
            patch.setattr(module, "create_ssl_context", functools.cache(module.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers_here_have_two_minutes() -> Iterator[None]:
    """httpx, by which only tests ask, gives a server five seconds; on a busy machine one may need more."""
    from httpx._config import DEFAULT_TIMEOUT_CONFIG

    with pytest.MonkeyPatch.context() as patch:
        for part in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, part, 120.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _pages_have_the_apps_that_answer() -> Iterator[None]:
    """Gradio also makes one of a page that is begun, and one when it is left, and puts each in place of the other."""
    blocks = sys.modules.get("gradio.blocks")
    if blocks is None:
        yield
        return
    make = blocks.App.create_app

    def create_app(page: Any, **options: object) -> object:
        # The app has set this on its page when it asks for the first that is used.
        return make(page, **options) if page.has_launched or options != {"mcp_server": False} else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "App", SimpleNamespace(create_app=create_app))
        yield


# What takes long to make, or is not on every machine; and the folders of tests that start processes or a browser.
SLOW_FIXTURES = {
    "bare_python", "bear_photos", "stranger_photos", "tiny_network", "published", "browser", "chromium", "two",
}  # fmt: skip
SLOW_FOLDERS = {"e2e", "browser"}
# What takes longest, in this order: processor time and what is waited for, measured with six processes on two cores.
# Each takes over half a minute. Started last, one of them would keep one core busy while the others have nothing left.
LONGEST = (
    "e2e/test_train", "e2e/test_tutorial", "security/test_fire", "train/test_learner", "stores/test_hub",
    "browser/test_teach_page", "scale/test_scale", "e2e/test_adopt", "deploy/test_space", "browser/test_cleaning_page",
    "security/test_bad_input", "e2e/test_quickstart", "browser/test_page", "publish/test_convert",
    "browser/test_static_page", "test_image_files", "web/test_gate", "web/test_teach_adopt", "camera/test_watch",
    "browser/test_teach_hub", "e2e/test_notebook", "serve/test_admin_report", "deploy/test_static_space",
    "browser/test_rollout", "publish/test_quantize", "web/test_loading", "web/test_teach_parity",
    "security/test_threats", "monitor/test_log",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in SLOW_FOLDERS or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    # After them, those with most that is slow.
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    long = {ROOT / "tests" / f"{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (long.get(item.path, len(long)), -slow[item.path]))


@dataclass(frozen=True)
class Revision:
    """A model that learnt drawn discs, crosses and stripes: its pictures, and the store that it was published to."""

    pictures: Path
    store: Path
    revision: str

    @property
    def folder(self) -> Path:
        return self.store / "revisions" / self.revision


@dataclass(frozen=True)
class Published(Revision):
    """One that was trained here, with the folder of its run and what was printed."""

    data: Path
    output: str


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Revision:
    """A small revision that lies in tests/assets, for what is only served, pulled, logged or read.

    Nothing may write to its store: who does copies it first.
    """
    pictures = write_folder(tmp_path_factory.mktemp("small"), count=12, shrink=3)
    return Revision(pictures, ASSETS / "shapes", (ASSETS / "shapes" / "main").read_text().strip())


@pytest.fixture(scope="session")
def predictor(prebuilt: Revision) -> Predictor:
    """That of the small revision, for all tests: who changes one loads their own."""
    return Predictor.load(prebuilt.store)


@pytest.fixture(scope="session")
def built() -> dict[str, bytes]:
    """The files of the browser edition, where it is built."""
    from tests.helpers.built import built_or_skip

    return built_or_skip()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> "Gated":
    """The browser in which sites are tried before they are written."""
    from spotter.web.browser import Browser as Gated

    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    program = tmp_path_factory.mktemp("program") / "chromium"
    program.write_text(f'#!/bin/sh\nexec {CHROMIUM} {COMPILER} "$@"\n')
    program.chmod(0o755)
    return Gated(str(program))


@pytest.fixture(scope="session")
def firefox() -> "Gated":
    """Firefox, as Debian has it."""
    from spotter.web.browser import Browser as Gated

    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if not found:
        pytest.skip("Firefox is not on this machine")
    return Gated(found)


@pytest.fixture(scope="session")
def tiny_network() -> None:
    """`train.main` knows the network of tests/helpers/tiny.py."""
    from tests.helpers import tiny

    tiny.register()


@pytest.fixture(scope="session")
def trained(tiny_network: None, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A revision of that network, trained and published here: for what is about a run and its folders.

    Nothing may write to its folders: who does copies them first.
    """
    from tests.helpers import tiny

    with shared_by_all(tmp_path_factory, "trained") as base:
        return once_published(base, tiny.OPTIONS)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One of the network that is the default, for what is about that: it takes three times as long.

    Nothing may write to its folders: who does copies them first.
    """
    with shared_by_all(tmp_path_factory, "published") as base:
        return once_published(base)


# Two mistakes cost much more than to ask a person.
COSTS = ("--cost", "grizzly as teddy=50", "--cost", "black as teddy=50", "--cost", "ask=2")


@pytest.fixture(scope="session")
def real_bears(bear_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One that learnt from the real bears, with costs of mistakes. Nothing may write to its folders."""
    with shared_by_all(tmp_path_factory, "real-bears") as base:
        if not (base / "output").exists():
            train_and_publish(bear_photos, base, *COSTS, classes=(str(ROOT / "recipes" / "bears.toml"),))
    return read_published(bear_photos, base)


@contextlib.contextmanager
def shared_by_all(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder of this run for all workers, for one of them at a time: who comes first makes what all use."""
    base = factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with LockedFile(base.with_suffix(".lock")):
        yield base


SHAPES = tuple(word for kind in KINDS for word in ("--class", kind))


def train_and_publish(pictures: Path, base: Path, *options: str, classes: Sequence[str] = SHAPES) -> Published:
    import train

    output = io.StringIO()
    where = ["--search", f"folder:{pictures}", "--to", str(base / "store"), "--data", str(base / "data")]
    with contextlib.redirect_stdout(output):
        status = train.main([*classes, *where, *options])
    assert status == 0, output.getvalue()
    (base / "output").write_text(output.getvalue())
    return read_published(pictures, base)


def once_published(base: Path, options: Sequence[str] = ()) -> Published:
    """Drawn shapes, trained and published in a folder, unless they are."""
    pictures = base / "pictures"
    if (base / "output").exists():
        return read_published(pictures, base)
    return train_and_publish(write_folder(pictures), base, *options)


def read_published(pictures: Path, base: Path) -> Published:
    output = (base / "output").read_text()
    revision = output.splitlines()[-1].removeprefix("revision ")
    return Published(pictures, base / "store", revision, base / "data", output)


@pytest.fixture(scope="session")
def bear_photos() -> Path:
    folder = SHARED / "data" / "bears"
    if not folder.is_dir():
        pytest.skip("the real bear photos (../shared/data/bears) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def stranger_photos() -> Path:
    folder = SHARED / "data" / "not_bears"
    if not folder.is_dir():
        pytest.skip("the unfamiliar photos (../shared/data/not_bears) are not on this machine")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if mount("-t", "tmpfs", "-o", "size=160k", "tmpfs", place):
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def mount(*arguments: object) -> int:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, and its client in this process, logged in, allowed to talk to it."""
    from huggingface_hub import constants

    # The client has read these from the environment long before, for all the other tests.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", WRITER)
    with running_hub() as running:
        yield running


@pytest.fixture
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's client, which takes no clock from us, asks again at once."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None))


# Not for the session: as long as a browser runs, no other test could run an event loop in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Window]:
    """One of its windows, which tests have one after the other, emptied in between."""
    window = Window(browser)
    yield window
    window.leave()


@pytest.fixture(scope="session")
def bare_python(request: pytest.FixtureRequest) -> Path:
    """A Python with requirements.txt alone."""
    from tests.helpers.bare import make_bare_python

    with one_at_a_time(request, "bare") as folder:
        return make_bare_python(folder)


@pytest.fixture(scope="session")
def node_folder(request: pytest.FixtureRequest) -> Path:
    """A folder whose `node_modules` hold axe-core and the Gradio client for JavaScript."""
    from tests.helpers.node import make_node_folder

    with one_at_a_time(request, "node") as folder:
        return make_node_folder(folder)


@contextlib.contextmanager
def one_at_a_time(request: pytest.FixtureRequest, name: str) -> Iterator[Path]:
    """A folder that is kept between runs, for one process at a time: tests run in several."""
    assert request.config.cache
    folder = Path(request.config.cache.mkdir(name))
    with LockedFile(folder / "lock"):
        yield folder
