"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], seconds: float = 240) -> None:
    """Come back as soon as it holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
