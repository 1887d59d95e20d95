"""ONNX Runtime sessions: opened with fixed settings, and tried within bounds of memory and time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

from spotter.errors import BrokenModel
from spotter.inference.cpu import has_vnni

# What a network may take for one picture, besides eight times its own size.
MOST_MEMORY, MOST_SECONDS = 2 << 30, 30.0


def try_network(onnx: bytes, name: str, size: int, threads: int) -> None:
    """Run one grey picture through a network, step by step as its file says, within bounds of memory and time.

    To open it for use, ONNX Runtime computes what it can in advance, and nothing stops that; it is no more than this.

    Raises:
        BrokenModel: it is no network, cannot run on such a picture, or wants more than any classifier.
    """
    options = onnxruntime.RunOptions()
    timer = threading.Timer(MOST_SECONDS, setattr, (options, "terminate", True))
    timer.daemon = True
    with bounded_memory(MOST_MEMORY + 8 * len(onnx)):
        session = open_session(onnx, name, threads, is_plain=True)
        timer.start()
        try:
            session.run(None, {"pixels": grey_pixels(size)}, options)
        except Exception as error:
            if options.terminate:
                raise BrokenModel(f"The model's {name} gave no answer within {MOST_SECONDS:g} s.") from error
            raise BrokenModel("The model's network cannot run on a picture of the size in model.json.") from error
        finally:
            timer.cancel()


@contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let this process take no more than `more` bytes more than now, where the system can see to that (Linux)."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    # Here, because other systems may not have it.
    import resource

    with _one_bound:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        taken = int(status.read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        bounds = [taken + more, *(bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


# Of two at once, the second would take the bound of the first for that of the process.
_one_bound = threading.Lock()


def grey_pixels(size: int) -> np.ndarray:
    return np.full((1, size, size, 3), 127, dtype=np.uint8)


def open_session(
    onnx: bytes, name: str, threads: int | None = None, *, is_plain: bool = False
) -> onnxruntime.InferenceSession:
    """Open a network from a file called `name`, on so many threads (None: one a core); with `is_plain`, as it is.

    Raises:
        BrokenModel: it is no network.
    """
    options = onnxruntime.SessionOptions()
    if is_plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    # Set explicitly: by default, ONNX Runtime ties its threads to cores, perhaps to the one that decodes pictures.
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    # ONNX Runtime would keep the most that it ever needed, in blocks of which each is twice as large as the one before.
    # The C library's allocator gives it back, and answers take no longer.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # Enough from one layer to the next; longer, its threads would take the cores from decoding and the web server.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "200")
    # Bytes that pass for ONNX in our own look could be read in its other format instead.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if not has_vnni():
        # Older x86 processors would let sums of int8 products overflow: other answers than those that were measured.
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BrokenModel(f"The model's {name} cannot be opened as a network.") from error
