"""What a model advises besides its answers: by what mistakes cost, and which labels may be true."""

from typing import Any

import numpy as np

from spotter.bundle.format import ModelSpec


def advise(card: ModelSpec, probabilities: np.ndarray, familiar: np.ndarray) -> list[dict[str, Any]]:
    """The fields of `Advice` for each of some pictures, as far as the model has what they need.

    Args:
        probabilities: (n, classes). familiar: bool (n,).
    """
    told: list[dict[str, Any]] = [{} for _ in range(len(probabilities))]
    if card.costs:
        done, expected = card.costs.decide(probabilities, familiar)
        for each, action, cost in zip(told, done.tolist(), expected.tolist(), strict=True):
            each |= {"decision": card.costs.actions[action], "expected_cost": cost}
    if card.sets:
        inside = card.sets.choose(probabilities, familiar)
        for each, row, mine in zip(told, probabilities, inside, strict=True):
            ranked = np.argsort(-row, kind="stable").tolist()
            each["set"] = [card.labels[number] for number in ranked if mine[number]]
    return told
