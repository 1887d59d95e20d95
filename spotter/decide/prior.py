"""What is known of a place or a season before a picture is seen: how frequent each label is there.

A classifier expects labels as often as it learnt them. Where they come in other shares, and each looks as before, its
probabilities are to be multiplied by the new share and divided by the old one, and made to add up to 1 again (Bayes;
Saerens, Latinne and Decaestecker, Neural Computation 14, 2002).
"""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from spotter.errors import BadPrior, did_you_mean

# Shares may add up to so much more or less than 1.
SLACK = 0.01
# A label, which may hold commas and colons itself, and its share.
_PART = re.compile(r"(.+?):([^:,]*)(?:,|$)")


def read_prior(text: str, labels: Sequence[str]) -> dict[str, float]:
    """Read "grizzly:0.8,black:0.2": the share of each label. Those that are not named are taken not to occur: 0.

    Returns:
        A share for each label, in their order; they add up to 1.

    Raises:
        BadPrior: it is nothing of the kind, names a label twice or one that there is not, or does not add up to 1.
    """
    if "".join(found[0] for found in _PART.finditer(text)) != text or not text:
        raise BadPrior(f'The prior {text[:60]!r} is not like "{labels[0]}:0.8,{labels[1]}:0.2".')
    named: dict[str, float] = {}
    for label, share in ((found[1].strip(), found[2]) for found in _PART.finditer(text)):
        if label in named:
            raise BadPrior(f"The prior names {label[:60]!r} twice.")
        try:
            named[label] = float(share)
        except ValueError as error:
            raise BadPrior(f"The prior of {label[:60]!r} must be a number, not {share[:20]!r}.") from error
    return check_prior(named, labels)


def check_prior(named: Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
    """The same as `read_prior`, of shares by label."""
    for label, share in named.items():
        if label not in labels:
            guess = did_you_mean(label, labels) or "."
            raise BadPrior(f"The prior names {label[:60]!r}, which is no label; there are: {', '.join(labels)}{guess}")
        if not (math.isfinite(share) and share >= 0):
            raise BadPrior(f"The prior of {label!r} must be 0 or more, not {share:g}.")
    total = sum(named.values())
    if abs(total - 1) > SLACK + 1e-9:
        raise BadPrior(f"The prior must add up to 1, and it adds up to {total:.4g}; what is not named counts as 0.")
    return {label: named.get(label, 0.0) / total for label in labels}


def learnt_shares(targets: np.ndarray, labels: Sequence[str], balanced: bool) -> tuple[float, ...]:
    """In which shares a classifier learnt its labels: those of its pictures, int64 (n,), or equal ones where each class
    counts the same."""
    if balanced:
        return (1 / len(labels),) * len(labels)
    return tuple((np.bincount(targets, minlength=len(labels)) / len(targets)).tolist())


def reweigh(probabilities: np.ndarray, learnt: Sequence[float], prior: Sequence[float]) -> np.ndarray:
    """Probabilities (n, labels) as they are where labels come in the shares `prior` instead of `learnt`: float64.

    Where a picture speaks only for labels that do not occur, the prior is all that is known.
    """
    now = np.array(prior, dtype=np.float64)
    weighed = np.asarray(probabilities, dtype=np.float64) * (now / np.array(learnt, dtype=np.float64))
    total = weighed.sum(axis=1, keepdims=True)
    return np.where(total > 0, weighed / np.where(total > 0, total, 1), now)
