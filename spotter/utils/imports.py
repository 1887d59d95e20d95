"""Faster imports of heavy packages: the garbage collector rests meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import what stays to the end: the garbage collector neither runs meanwhile nor looks at any of it again.

    Of a few hundred thousand objects none is garbage, and looking through them takes a third of the time to import
    fastai, and nearly all of the time to end the process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
