"""Following a folder: what the operating system tells of, and what it does not."""

import itertools
import os
import time
from pathlib import Path

import pytest

from spotter.camera.follow import Follower
from spotter.config import FollowConfig
from tests.helpers.patience import wait_until


def test_a_name_that_is_no_utf_8_keeps_back_no_other_file(tmp_path: Path) -> None:
    # Only what is told counts: the folder is listed once, and then not for a day.
    config = FollowConfig(settle_s=0.1, patience_s=1, list_s=86_400)
    given: set[str] = set()
    numbers = itertools.count()
    with Follower(tmp_path, config, lambda key: False) as follower:

        def are_there(*names: str) -> bool:
            given.update(key.name for key in follower.ready())
            return given >= set(names)

        def is_told() -> bool:
            # Of what comes before it listens, nothing is told.
            name = f"{next(numbers)}.jpg"
            (tmp_path / name).write_bytes(b"a picture")
            for _ in range(10):
                time.sleep(0.2)
                if are_there(name):
                    return True
            return False

        assert are_there()
        wait_until(is_told)
        old = os.fsdecode(b"caf\xe9.jpg")
        try:
            for name in ("one.jpg", old, "two.jpg"):
                (tmp_path / name).write_bytes(b"a picture")
        except OSError:
            pytest.skip("this disk takes no such names")
        wait_until(lambda: are_there("one.jpg", old, "two.jpg"))
        wait_until(is_told)
