"""Work in processes of its own: what needs torch and fastai, while the process that trains needs neither.

A server process loads these libraries once and then waits. Each piece of work runs in a fork of it; where the system
has no forks, in a server of its own. Not `multiprocessing`: its children would first run the user's script again.
"""

import atexit
import contextlib
import functools
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from importlib import import_module
from typing import Any, TypeVar

from spotter.errors import TrainingFailed
from spotter.utils.files import import_root
from spotter.utils.imports import STATISTICS, Later, lasting_imports, put_off

T = TypeVar("T")
# What the server loads before it is asked for anything.
LOADED = ("spotter.train.learner", "spotter.train.export", "spotter.evaluate.plots")
# Blocks of memory up to so many bytes are kept when they are free: getting and clearing a network's maps anew for each
# batch takes a quarter as long as computing them.
KEPT_BYTES = 64 * 2**20
HAS_FORKS = hasattr(os, "fork")
# Milliseconds between two looks whether what has been loaded is still wanted.
LOOK_MS = 100

_server: "subprocess.Popen[bytes] | None" = None
_one_at_a_time = threading.Lock()
# In the server, the fork that works; 0 when there is none.
_fork = 0


def in_first_process(train: Callable[[Namespace], str]) -> Callable[[Namespace], str]:
    """Train. If a launcher such as `torchrun` started several processes, the first one trains and the others help
    it."""

    @functools.wraps(train)
    def start(options: Namespace) -> str:
        if os.environ.get("RANK", "0") == "0":
            # First of all: it loads on one core what takes seconds, and this process has enough to load on another.
            start_server()
            return train(options)
        if options.config.fine_tune:
            with lasting_imports():
                from spotter.train.distributed import help_first
            help_first()
        return ""

    return start


def start_server(loaded: Sequence[str] = LOADED) -> None:
    """Start the process that loads these modules, if there is none, and go on at once. It ends with this process,
    however that ends."""
    global _server
    if _server is None or _server.poll() is not None:
        path = os.pathsep.join(filter(None, [str(import_root()), os.environ.get("PYTHONPATH")]))
        _server = subprocess.Popen(  # noqa: S603  (this Python, and code of ours)
            [sys.executable, "-c", f"from spotter.train.processes import serve; serve({tuple(loaded)})"],
            # One thread: the other cores have work of their own, and threads that wait for each other spin.
            env={"MALLOC_MMAP_THRESHOLD_": str(KEPT_BYTES), "MALLOC_TRIM_THRESHOLD_": str(2 * KEPT_BYTES)}
            | os.environ
            | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )


def run_apart(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module, both by their names, in a process that has torch and fastai; wait for what it
    returns. What it raises is raised here.

    Raises:
        TrainingFailed: the process ended without an answer, as when the system had no memory left and killed it.
    """
    with _one_at_a_time:
        start_server()
        server = _server
        if server is None or server.stdin is None or server.stdout is None:
            raise RuntimeError("a server without pipes")
        try:
            # A relative path and a setting mean what they mean here and now, not where and when the server was started.
            pickle.dump((module, function, arguments, os.getcwd(), dict(os.environ)), server.stdin)
            server.stdin.flush()
            # Of a process that this one has started, through a pipe that nobody else has.
            returned, error = pickle.load(server.stdout)  # noqa: S301
        except (EOFError, OSError, pickle.UnpicklingError):
            server.kill()
            returned, error = None, _ended(server.wait())
        if not HAS_FORKS:
            server.kill()
            server.wait()
    if error is not None:
        raise error
    return returned


def run_in_fork(module: str, function: str, *arguments: Any) -> Any:
    """As `run_apart` where a server has nothing else to do, by a fork of it; else here, without waiting for it."""
    is_free = HAS_FORKS and _server is not None and _server.poll() is None and not _one_at_a_time.locked()
    if is_free:
        return run_apart(module, function, *arguments)
    return getattr(import_module(module), function)(*arguments)


def drop_work() -> None:
    """Leave undone what is being done for `run_apart`, which then raises. A server that has loaded stays."""
    if _server is not None:
        _server.terminate()


def in_background(function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Call a function in a thread that keeps nobody from ending this process."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=call, name="background", daemon=True).start()
    return future


@contextlib.contextmanager
def meanwhile(function: Callable[..., object], *arguments: Any) -> Iterator[None]:
    """Call a function in the background of a block, which ends after it. What it raises is raised there, unless the
    block has failed."""
    future = in_background(function, *arguments)
    try:
        yield
    finally:
        wait((future,))
    future.result()


def serve(loaded: Sequence[str]) -> None:
    """Load the modules; then do what is asked for on stdin, until that ends."""
    # Ctrl-C is for the process that waits for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print must not come between the answers.
    os.dup2(2, 1)
    # A warning about timm's own code.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    # What goes wrong here, the work meets again, and tells.
    with _ending_with_stdin(), lasting_imports(), contextlib.ExitStack() as stack:
        for modules in (_COMPILER, _FITTING, STATISTICS):
            stack.enter_context(put_off(modules))
        with contextlib.suppress(Exception):
            for name in loaded:
                import_module(name)
    # Until here it ends this process.
    signal.signal(signal.SIGTERM, _kill_fork)
    while True:
        try:
            work = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            # Only what was registered for the end, as matplotlib's removal of the temporary folder that it makes where
            # the home folder cannot be written. Not sys.exit: tidying up so many modules takes as long as loading some.
            atexit._run_exitfuncs()
            os._exit(0)
        answers.write(_in_fork(*work) if HAS_FORKS else _call(*work))
        answers.flush()


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """Nothing is compiled here, so nothing has to be kept from it."""
    return function or _as_it_is


def _can_compile(device: str) -> bool:
    return bool(import_module("torch._dynamo.utils").is_compile_supported(device))


# torch's compiler, a third of all that there is to import: torchvision and timm import it for these two alone.
_COMPILER: Mapping[str, Mapping[str, Any]] = {
    "torch._dynamo": {"disable": _as_it_is},
    "torch._dynamo.utils": {"is_compile_supported": _can_compile},
}


# What fits heads, splits sets and measures: none of it makes or opens an export.
_FITTING: Mapping[str, Mapping[str, Any]] = {
    "scipy.optimize": {"minimize": Later("scipy.optimize", "minimize")},
    "sklearn": {},
    "sklearn.metrics": {},
    "sklearn.model_selection": {"train_test_split": Later("sklearn.model_selection", "train_test_split")},
}


@contextlib.contextmanager
def _ending_with_stdin() -> Iterator[None]:
    """End this process, in the middle of an import too, when nobody can ask it for anything any more."""
    is_done = threading.Event()

    def watch() -> None:
        hangup = select.poll()
        # Of what may be read nothing is wanted: that stdin is closed is always told.
        hangup.register(sys.stdin, 0)
        while not is_done.is_set():
            if hangup.poll(LOOK_MS):
                os._exit(0)

    watching = threading.Thread(target=watch)
    if hasattr(select, "poll"):
        watching.start()
    yield
    is_done.set()
    if watching.ident is not None:
        # Forks are made of a process with one thread.
        watching.join()


def _in_fork(*work: Any) -> bytes:
    """What `_call` gives, by a fork of this process."""
    global _fork
    reader, writer = os.pipe()
    _fork = os.fork()
    if _fork == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(reader)
            with os.fdopen(writer, "wb") as file:
                file.write(_call(*work))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        ready, _, _ = select.select([file, sys.stdin], [], [])
        if sys.stdin in ready:
            # Nothing comes before the answer: the process that asked is gone.
            _kill_fork()
            os._exit(0)
        content = file.read()
    _, status = os.waitpid(_fork, 0)
    _fork = 0
    return content or pickle.dumps((None, _ended(os.waitstatus_to_exitcode(status))))


def _kill_fork(*_: object) -> None:
    if _fork:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_fork, signal.SIGKILL)


def _call(module: str, function: str, arguments: tuple[Any, ...], folder: str, environment: dict[str, str]) -> bytes:
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        answer: tuple[Any, Exception | None] = getattr(import_module(module), function)(*arguments), None
    except Exception as error:  # noqa: BLE001 - it is raised in the process that waits
        answer = None, error
    return pickle.dumps(answer)


def _ended(status: int) -> TrainingFailed:
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return TrainingFailed(
        f"The process that makes the export and the plots ended without an answer ({how}); the system may have too "
        "little memory left: close other programs, and run the same command again."
    )
