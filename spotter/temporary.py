"""A folder for files on their way."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotter.errors import TemporaryUnwritable


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards, in the system's temporary folder (`TMPDIR`).

    Raises:
        TemporaryUnwritable: it cannot be made, or something in it cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="spotter-") as folder:
            yield Path(folder)
    except OSError as error:
        raise TemporaryUnwritable(
            f"The system's temporary folder cannot be written: {error.strerror or error}; free some space there, or "
            "name another folder in TMPDIR."
        ) from error
