"""Whose answers may move a rollout: none of one client alone, and no picture twice.

Who a client is stays in the memory of the app; the answer log holds only whether an answer counts.
"""

from collections import Counter, deque
from threading import Lock

import numpy as np

from spotter.monitor.log import Answers

# Of the last so many answers that count, one client has at most a third of what all others have, and so many more.
REMEMBERED, ALONE, PART = 1000, 2, 3
# What is the same of the same picture and of hardly any other.
_FIGURES = ("brightness", "contrast", "colourfulness", "sharpness", "side", "probability", "familiarity")


class FairShares:
    """Decides for each answer whether it counts, so that no client has more than a quarter of those that do."""

    def __init__(self) -> None:
        self._last: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        # Answers are made in several threads.
        self._lock = Lock()

    def count(self, client: str) -> bool:
        """Whether the next answer to a client counts."""
        with self._lock:
            own = self._counts[client]
            if own >= (len(self._last) - own) // PART + ALONE:
                return False
            self._last.append(client)
            self._counts[client] += 1
            if len(self._last) > REMEMBERED:
                oldest = self._last.popleft()
                self._counts[oldest] -= 1
                if not self._counts[oldest]:
                    del self._counts[oldest]
            return True


def fair_answers(answers: Answers) -> Answers:
    """The answers that count, and of several about equal pictures the first."""
    mine = answers.take(answers.counts)
    if not len(mine):
        return mine
    figures = np.column_stack([getattr(mine, name).astype(np.float64) for name in _FIGURES])
    _, first = np.unique(figures, axis=0, return_index=True)
    return mine.take(np.sort(first))
