"""When a picture was taken, by the clock of its camera."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from spotter.camera.frames import clock_words, taken_at
from tests.helpers.camera import shoot


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
def test_the_time_is_that_of_the_camera_wherever_it_is_read(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with_exif = shoot(tmp_path / "a.jpg", "disc", 1, 3661.25)
        without = shoot(tmp_path / "b.jpg", "disc", 1, 3661, exif=False)
        assert clock_words(taken_at(with_exif)[0]) == clock_words(taken_at(without)[0]) == "2026-06-01T13:01:01"
        assert taken_at(with_exif)[0] - taken_at(without)[0] == 0.25
        assert (taken_at(with_exif)[1], taken_at(without)[1]) == (None, without.stat().st_mtime)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("told", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2026:13:41 99:00:00", "yesterday", ""])
def test_a_clock_that_was_never_set_leaves_the_time_of_the_file(told: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = told
    path = tmp_path / "a.jpg"
    Image.new("RGB", (40, 40)).save(path, exif=exif)
    os.utime(path, (1_780_000_000, 1_780_000_000))
    assert taken_at(path)[0] == pytest.approx(1_780_000_000 + time.localtime(1_780_000_000).tm_gmtoff)


def test_what_is_no_picture_has_the_time_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    os.utime(path, (1_780_000_000, 1_780_000_000))
    assert taken_at(path)[0] == 1_780_000_000 + time.localtime(1_780_000_000).tm_gmtoff
