"""The page that teaches on a disk that is full."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from spotter.inference.predictor import Predictor
from tests.conftest import Revision, mount
from tests.helpers.browser import CHROMIUM, running_profile
from tests.helpers.site import make_site, serving_site
from tests.helpers.teach import LONG_MS, Lesson, picture

LEFT = 200_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 60 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not CHROMIUM.exists() or mount("-t", "tmpfs", "-o", "size=60m", "tmpfs", place):
        pytest.skip("there is no browser, or a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_the_page_goes_on(disk: Path, prebuilt: Revision, tmp_path: Path) -> None:
    make_site(prebuilt.folder, Predictor.load(str(prebuilt.store)), tmp_path / "site")
    many = [picture("cross", seed) for seed in range(30)]
    with serving_site(tmp_path / "site") as server, running_profile(disk / "profile") as context:
        lesson = Lesson(context.new_page()).open(server.url("teach/"))
        lesson.add(0, [picture("disc", seed) for seed in range(5)])
        (disk / "full").write_bytes(bytes(shutil.disk_usage(disk).free - LEFT))
        lesson.card(1).locator("input[type=file]").set_input_files(many)
        expect(lesson.said).to_contain_text("no room left", timeout=LONG_MS)
        # Some of the many may have found room.
        assert lesson.counts()[0] == 5
        (disk / "full").unlink()
        lesson.add(1, many)
        assert lesson.counts() == [5, 30]
        lesson.page.close()
        # Chromium may have given up what it kept (docs/teaching.md).
        again = Lesson(context.new_page()).open(server.url("teach/"))
        gone = 35 - sum(again.counts())
        said = re.fullmatch(r"Pictures that were kept here and are gone: at least (\d+)\..*", again.said.inner_text())
        # It is never said of more than are gone. What was noted of the last ones, or of all, may be gone with them.
        assert not said or 0 < int(said[1]) <= gone
        again.add(1, many)
        # Those that it kept without their class are in a new one.
        assert sum(again.counts()) >= 30, (again.counts(), again.said.inner_text())
