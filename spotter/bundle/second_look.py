"""The second look: where in a picture a network looks again when the whole of it is not familiar.

A subject that is small, or not in the middle, is a small part of the square that a network sees. Its map of evidence
tells where it is all the same: class activation maps find objects without having learnt where things are (Zhou et al.,
CVPR 2016).
"""

from dataclasses import dataclass

import numpy as np

from spotter.images import frame

# Places of the middle of a window, along a side of what the first look saw. On a grid, rounding that differs between
# machines moves no window.
STEPS = 64

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class SecondLook:
    """`window` is its side as a share of the first look's side. It answers if its familiarity, less `margin`, reaches
    the threshold: of two chances, a stranger has no more than of one."""

    window: float
    margin: float

    def find(self, activation: np.ndarray, label: int, picture: tuple[int, int], size: int, resize: str) -> Box | None:
        """Where to look again in a picture of (width, height) pixels: (left, top, right, bottom), inside of it.

        None where nothing speaks for the label, or the picture has fewer pixels than the network sees of it.

        Args:
            activation: (classes, rows, columns), what each place adds to each class. label: the number of the most
                probable one. size, resize: see `spotter.images.frame`.
        """
        evidence = np.maximum(evidence_for(activation, label), 0).astype(np.float64)
        left, top, right, bottom = frame(picture, size, resize)
        if min(right - left, bottom - top) < size or not evidence.sum() > 0:
            return None
        width, height = (max(1, int(side * self.window)) for side in (right - left, bottom - top))
        across = _place(_middle(evidence.sum(axis=0)), left, right, width, picture[0])
        down = _place(_middle(evidence.sum(axis=1)), top, bottom, height, picture[1])
        return across[0], down[0], across[1], down[1]


def evidence_for(activation: np.ndarray, label: int) -> np.ndarray:
    """What each place says for a label, by its number: (rows, columns) of (classes, rows, columns)."""
    # What speaks for all labels alike speaks for none.
    evidence: np.ndarray = activation[label] - activation.mean(axis=0)
    return evidence


def _middle(shares: np.ndarray) -> int:
    """The centre of mass of a row of numbers, in steps of `STEPS`."""
    places = np.arange(len(shares)) + 0.5
    return int(STEPS * float((places * shares).sum() / shares.sum()) / len(shares) + 0.5)


def _place(middle: int, start: int, end: int, length: int, most: int) -> tuple[int, int]:
    """The ends of a window of a length around a middle between two ends, inside of 0 to `most`."""
    first = start + (end - start) * middle // STEPS - length // 2
    first = max(0, min(first, most - length))
    return first, min(first + length, most)
