"""Writing files so that nobody ever reads half of one."""

import os
from pathlib import Path
from threading import get_ident


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        # On a full disk half a file would only take what room there is.
        part.unlink(missing_ok=True)
        raise
