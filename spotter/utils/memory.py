"""Memory that goes back to the system: how the C library's allocator is set when an app starts."""

import ctypes
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# A decoded photo of two million pixels has its place in the heap, where it costs least; a larger one a place of its
# own, which goes back as soon as it is freed.
LARGE_BYTES = 8 * 2**20


def give_back_free_blocks() -> bool:
    """Let glibc give back what is free now, also where something in use lies above it; return whether it could."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError, TypeError):
        return False


def give_back_large_blocks() -> bool:
    """Let glibc give every block of more than `LARGE_BYTES` back to the system when it is freed.

    By itself it learns from the first large picture to keep such blocks, in as many pools as there are threads: three
    pictures of 49 million pixels at once left 3.3 GB behind. Other C libraries are left as they are, and so is glibc
    where the variables `MALLOC_MMAP_THRESHOLD_` or `GLIBC_TUNABLES` say something else.

    Returns:
        Whether it was set.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    # Setting one stops glibc from choosing the other, too: it would take twice the first.
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES))
