"""Faster imports of heavy packages: the garbage collector rests meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import modules that stay loaded to the end. The garbage collector is off meanwhile and ignores their objects
    later.

    Of a few hundred thousand objects none is garbage, and looking through them takes a third of the time to import
    fastai, and nearly all of the time to end the process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
