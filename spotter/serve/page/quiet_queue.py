"""Gradio's queue without its idle work: two loops that look every millisecond and every ten whether there is something.

They rest until something is queued, and an answer comes sooner, not later. This uses what Gradio does not document; a
test names it, and fails when Gradio changes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from gradio.queueing import Queue

Loop = Callable[[], Coroutine[Any, Any, None]]


def rest_while_empty(queue: Queue) -> None:
    """Let the loops of a queue that has not started sleep while nothing waits in it and nothing is answered."""
    queued = asyncio.Event()
    push, close = queue.push, queue.close

    def is_idle() -> bool:
        return not (queue.stopped or len(queue) or any(queue.active_jobs))

    def resting(loop: Loop) -> Loop:
        async def rest() -> None:
            await _Resting(loop(), is_idle, queued)

        return rest

    async def push_and_wake(*words: Any, **more: Any) -> Any:
        pushed = await push(*words, **more)
        queued.set()
        return pushed

    def close_and_wake() -> None:
        close()
        queued.set()

    queue.start_processing = resting(queue.start_processing)  # type: ignore[method-assign]
    queue.start_progress_updates = resting(queue.start_progress_updates)  # type: ignore[method-assign]
    queue.push = push_and_wake  # type: ignore[method-assign]
    queue.close = close_and_wake  # type: ignore[method-assign]


class _Resting:
    """Runs a coroutine that sleeps between two looks; while it is idle, each of its sleeps lasts until an event."""

    def __init__(self, loop: Coroutine[Any, Any, None], is_idle: Callable[[], bool], queued: asyncio.Event) -> None:
        self._loop, self._is_idle, self._queued = loop, is_idle, queued

    def __await__(self) -> Generator[Any, Any, None]:
        step = self._loop.__await__()
        while True:
            try:
                slept = next(step)
            except StopIteration:
                return
            try:
                if self._is_idle():
                    self._queued.clear()
                    yield from self._queued.wait().__await__()
                yield slept
            except BaseException as error:
                # Mostly that it is cancelled: it ends in its own way, and raises that again.
                self._loop.throw(error)
                raise
