"""What a model advises besides its answers: by what mistakes cost, which labels may be true, and with a prior."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spotter.bundle.format import ModelSpec
from spotter.decide.prior import reweigh


def advise(
    card: ModelSpec, probabilities: np.ndarray, familiar: np.ndarray, prior: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """The fields `closest` and `probabilities` of each of some pictures, and those of `Advice` as far as the model has
    what they need.

    Sets stay as they are without the prior, but for labels that it says do not occur: by class, they hold the truth as
    often in whatever shares the labels come.

    Args:
        probabilities: (n, classes), of the network. familiar: bool (n,). prior: a share for each label, in their order.
    """
    weighed = probabilities
    if prior:
        weighed = reweigh(probabilities, card.shares, list(prior.values()))
    told: list[dict[str, Any]] = [
        {"closest": card.labels[int(row.argmax())], "probabilities": _by_label(card, row)} for row in weighed
    ]
    if card.costs:
        done, expected = card.costs.decide(weighed, familiar)
        for each, action, cost in zip(told, done.tolist(), expected.tolist(), strict=True):
            each |= {"decision": card.costs.actions[action], "expected_cost": cost}
    if card.sets:
        inside = card.sets.choose(probabilities, familiar)
        if prior:
            inside &= np.array(list(prior.values())) > 0
        for each, row, mine in zip(told, weighed, inside, strict=True):
            ranked = np.argsort(-row, kind="stable").tolist()
            each["set"] = [card.labels[number] for number in ranked if mine[number]]
    if prior:
        for each, row in zip(told, probabilities, strict=True):
            each |= {"prior": dict(prior), "unweighted": _by_label(card, row)}
    return told


def _by_label(card: ModelSpec, row: np.ndarray) -> dict[str, float]:
    return dict(zip(card.labels, row.tolist(), strict=True))
