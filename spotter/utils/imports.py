"""Faster imports of heavy packages."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


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


@contextmanager
def put_off(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Keep modules from being loaded as long as the block asks them for nothing but what is given here, by name.

    Asked for more, they are loaded all the same; after the block, whenever somebody imports them.
    """
    stand_ins = {name: _StandIn(name) for name in modules if name not in sys.modules}
    for name, stand_in in stand_ins.items():
        vars(stand_in).update(modules[name], all_of_them=stand_ins, __path__=[])
        package, _, own = name.rpartition(".")
        if package in stand_ins:
            setattr(stand_ins[package], own, stand_in)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        _take_away(stand_ins)


class Later:
    """Stands for something in a module, which is loaded once that is called, or asked for something."""

    def __init__(self, module: str, name: str) -> None:
        self._where = module, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._it()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        # What looks like a promise is none.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._it(), name)

    def _it(self) -> Any:
        module, name = self._where
        return getattr(import_module(module), name)


# What scikit-learn imports for parts of it that are not used here: together two fifths of what it takes to import it.
STATISTICS: Mapping[str, Mapping[str, Any]] = {
    "scipy.stats": {name: Later("scipy.stats", name) for name in ("chi2", "gmean", "rankdata", "spearmanr")}
}
TABLES: Mapping[str, Mapping[str, Any]] = {"pandas": {}}


class _StandIn(ModuleType):
    all_of_them: "dict[str, _StandIn]"

    def __getattr__(self, name: str) -> Any:
        # Whoever looks through all loaded modules asks for such names.
        if name.startswith("__"):
            raise AttributeError(name)
        _take_away(self.all_of_them)
        return getattr(import_module(self.__name__), name)


def _take_away(stand_ins: Mapping[str, ModuleType]) -> None:
    for name, stand_in in stand_ins.items():
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


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
