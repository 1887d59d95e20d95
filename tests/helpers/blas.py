"""The threads of BLAS."""

from threadpoolctl import threadpool_info


def blas_threads() -> set[int]:
    """On how many threads each BLAS of this process multiplies."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
