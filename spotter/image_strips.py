"""Strips of text along an edge, as trail cameras print them: found, and told where one class alone has them.

What matters is that a model can tell classes by them. So a strip that is missed, or seen where there is none, does no
harm, as long as that does not go by the class.
"""

from collections.abc import Sequence

import numpy as np

from spotter.utils.stats import wilson_interval

# Of the height: no strip is thinner or thicker.
LEAST, MOST = 0.025, 0.2
# Levels from the colour of the edge: so far is its ground, and from so far on it is writing.
GROUND, WRITING = 24, 70
# Shares of the pixels that are ground: in the first rows, where no letters are, and in each row.
MARGIN, PLAIN = 0.9, 0.35
# The share of the strip that is written on.
WRITTEN = (0.01, 0.5)
# The share of the columns in which it ends where the strip does, and at most so much of what is beyond looks like it.
ENDING, BEYOND = 0.6, 0.35


def has_strip(pixels: np.ndarray) -> bool:
    """Whether there is a strip of text along the upper or lower edge of a picture, uint8 (h, w, 3)."""
    return any(_is_strip(each) for each in (pixels, pixels[::-1]))


def _is_strip(pixels: np.ndarray) -> bool:
    """Whether the first rows are one."""
    rows = len(pixels)
    first, most = max(2, rows // 40), int(MOST * rows)
    if most <= first:
        return False
    color = np.median(pixels[:first].reshape(-1, 3), axis=0)
    # Most pictures end here, before the other rows were looked at.
    if (_distances(pixels[:2], color) <= GROUND).mean() < MARGIN:
        return False
    away = _distances(pixels[: most + 3], color)
    # Up to the first row that is none of it, or to `most`.
    thick = int(np.append((away[:most] <= GROUND).mean(axis=1) < PLAIN, True).argmax())
    if thick == most or thick < LEAST * rows:
        return False
    inside, outside = away[max(thick - 3, 0)] <= GROUND, away[min(thick + 1, rows - 1)] > GROUND
    written = (away[:thick] >= WRITING).mean()
    return bool(
        (inside & outside).mean() >= ENDING
        and WRITTEN[0] <= written <= WRITTEN[1]
        and (away[thick : thick + 3] <= GROUND).mean() < BEYOND
    )


def _distances(pixels: np.ndarray, color: np.ndarray) -> np.ndarray:
    """How far each pixel is from a colour in the channel where it is farthest: (h, w)."""
    return np.abs(pixels - color).max(axis=2)


def describe_strips(labels: Sequence[str], targets: np.ndarray, strips: np.ndarray) -> str:
    """A warning where one class has strips far more often than another; "" where none has.

    "Far more" is more than twice as often, whatever the true shares are within their 95 % intervals.

    Args:
        targets: int64 (n,), places in `labels`. strips: bool (n,).
    """
    counts = [(int(strips[targets == target].sum()), int((targets == target).sum())) for target in range(len(labels))]
    there = [place for place, (_, pictures) in enumerate(counts) if pictures]
    if len(there) < 2:
        return ""
    high = max(there, key=lambda place: wilson_interval(*counts[place])[0])
    low = min(there, key=lambda place: wilson_interval(*counts[place])[1])
    if wilson_interval(*counts[high])[0] <= 2 * wilson_interval(*counts[low])[1]:
        return ""
    most, least = (f"{counts[place][0]} of {counts[place][1]} {labels[place]}" for place in (high, low))
    return (
        f"strips of text along the edge: {most}, but {least}. A model may take the strip for the class: crop it off, "
        "or collect such pictures of all classes"
    )
