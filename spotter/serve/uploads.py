"""Clean-up of uploads: old files on disk, and what Gradio remembers of finished sessions."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from spotter.errors import TemporaryUnwritable
from spotter.utils.files import claimed_folder

PERIOD_S = 5.0


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder of this process's own, gone at the end, and let Gradio keep uploads in it.

    What a killed app left, uploads of its visitors among it, is removed.
    """
    place = os.environ.get("GRADIO_TEMP_DIR")
    with contextlib.ExitStack() as stack:
        try:
            if place:
                os.makedirs(place, exist_ok=True)
            folder = stack.enter_context(claimed_folder(Path(place or tempfile.gettempdir()), "spotter-app-"))
        except OSError as error:
            raise TemporaryUnwritable(
                f"The app's temporary folder cannot be made: {error.strerror}; free some space, or name another in "
                "TMPDIR."
            ) from error
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(folder, "uploads")
        try:
            yield folder
        finally:
            os.environ.pop("GRADIO_TEMP_DIR")
            os.environ |= {"GRADIO_TEMP_DIR": place} if place else {}


@contextlib.asynccontextmanager
async def tidying(page: Any, folder: Path, most_bytes: int, keep_s: float) -> AsyncIterator[None]:
    """Tidy up after a Gradio page every few seconds for as long as the block lasts.

    Args:
        folder: where uploads are; nothing else may be in it.
    """
    task = asyncio.create_task(_tidy_for_ever(page, folder, most_bytes, keep_s))
    try:
        yield
    finally:
        task.cancel()


async def _tidy_for_ever(page: Any, folder: Path, most_bytes: int, keep_s: float) -> None:
    while True:
        await asyncio.sleep(PERIOD_S)
        gone = await run_in_threadpool(remove_old_files, folder, most_bytes, keep_s)
        forget(page, gone)


def remove_old_files(folder: Path, most_bytes: int, keep_s: float) -> set[str]:
    """Remove files older than `keep_s`, and the oldest until the rest takes at most `most_bytes`. Return their paths.

    Gradio knows only the uploads that arrived whole; those that were cut short would stay for ever.
    """
    files = []
    for path in folder.rglob("*"):
        # Gradio moves files while we look.
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            if path.is_file():
                files.append((state.st_mtime, state.st_size, path))
    files.sort(reverse=True)
    gone, total, oldest = set(), 0, time.time() - keep_s
    for modified, size, path in files:
        total += size
        if total > most_bytes or modified < oldest:
            path.unlink(missing_ok=True)
            gone.add(str(path))
            with contextlib.suppress(OSError):
                # Each upload has a folder of its own; this is refused where there is something left in it.
                path.parent.rmdir()
    return gone


def forget(page: Any, gone: set[str]) -> None:
    """Drop from Gradio's memory what it never drops itself: names of files, finished sessions."""
    for names in page.temp_file_sets:
        names -= gone
    events = page._queue.pending_event_ids_session
    for session in [session for session, ids in events.items() if not ids]:
        del events[session]
