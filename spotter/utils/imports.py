"""Faster imports of heavy packages."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


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


@contextmanager
def changed_import(name: str, change: Callable[[ModuleType], None]) -> Iterator[None]:
    """Change a module as soon as it is loaded, before those that use it are, if the block loads it."""
    finder = _Changing(name, change)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Changing(MetaPathFinder):
    def __init__(self, name: str, change: Callable[[ModuleType], None]) -> None:
        self._name, self._change = name, change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self._name else None
        loader = spec.loader if spec else None
        if loader is None:
            return None
        execute = loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            self._change(module)

        loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec
