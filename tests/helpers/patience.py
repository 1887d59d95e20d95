"""Waiting for what other threads and processes do, on a machine that may be busy."""

import contextlib
import time
from collections.abc import Callable

# The most that installing what a test needs may take.
INSTALL_S = 1200


def wait_until(holds: Callable[[], object], seconds: float = 240) -> None:
    """Come back as soon as it holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_some_pace(check: Callable[[float], object]) -> None:
    """Check what is about short times, each multiplied by a factor: in slow motion where a busy machine misses them."""
    for pace in (1, 8):
        # What comes too late ends in many ways.
        with contextlib.suppress(Exception):
            check(pace)
            return
    check(64)
