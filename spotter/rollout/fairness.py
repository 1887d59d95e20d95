"""Whose answers may move a rollout: none of one client alone, and no picture twice.

Who a client is stays in the memory of the app. The answer log holds only whether an answer counts, and in which of a
few groups of clients, so that an alert can be looked for without each of them.
"""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock

import numpy as np

from spotter.monitor.log import Answers
from spotter.rollout.stages import place_of

# Of the last so many answers that count, one client has at most a third of what all others have, and so many more.
REMEMBERED, ALONE, PART = 1000, 2, 3
# Too few to tell anybody by, and enough to hear all others when one is left out. Earlier logs have group 1 alone.
GROUPS, UNKNOWN = 8, 1
# What is the same of the same picture and of hardly any other.
_FIGURES = ("brightness", "contrast", "colourfulness", "sharpness", "side", "probability", "familiarity")


class FairShares:
    """Decides for each answer whether it counts, so that no client has more than a quarter of those that do.

    Args:
        place: where in [0, 1) a client stands, for its group; the same in all processes with one log. None: by a key
            of this process.
    """

    def __init__(self, place: Callable[[str], float] | None = None) -> None:
        self._place = place or partial(place_of, key=secrets.token_bytes())
        self._last: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        # Answers are made in several threads.
        self._lock = Lock()

    def count(self, client: str) -> int:
        """The group of a client (2 or more) if the next answer to it counts, otherwise 0."""
        with self._lock:
            own = self._counts[client]
            if own >= (len(self._last) - own) // PART + ALONE:
                return 0
            self._last.append(client)
            self._counts[client] += 1
            if len(self._last) > REMEMBERED:
                oldest = self._last.popleft()
                self._counts[oldest] -= 1
                if not self._counts[oldest]:
                    del self._counts[oldest]
        return UNKNOWN + 1 + int(self._place(client) * GROUPS)


def fair_answers(answers: Answers) -> Answers:
    """The answers that count, and of several about equal pictures the first."""
    mine = answers.take(answers.counts > 0)
    if not len(mine):
        return mine
    figures = np.column_stack([getattr(mine, name).astype(np.float64) for name in _FIGURES])
    _, first = np.unique(figures, axis=0, return_index=True)
    return mine.take(np.sort(first))


def without_each_group(answers: Answers) -> Iterator[Answers]:
    """The answers without those of each group of clients in turn. What is in all of them, no client does alone."""
    for group in np.unique(answers.counts):
        if group > UNKNOWN:
            yield answers.take(answers.counts != group)
