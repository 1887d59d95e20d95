"""Faster imports of heavy packages: the garbage collector rests meanwhile."""

import contextlib
import gc
import importlib
import threading
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


_running: list[threading.Thread] = []


def import_meanwhile(*modules: str) -> None:
    """Import modules for good, in the background. `wait_for_imports` has to be called before anything imports them.

    What goes wrong is raised by the import that comes afterwards.
    """

    def load() -> None:
        with lasting_imports(), contextlib.suppress(Exception):
            for module in modules:
                importlib.import_module(module)

    # Not a daemon: a process must not end in the middle of loading a library.
    thread = threading.Thread(target=load, name="imports")
    thread.start()
    _running.append(thread)


def wait_for_imports() -> None:
    """Wait for `import_meanwhile`."""
    while _running:
        _running.pop().join()
