"""What training leaves, made from features in a moment and without fastai."""

from typing import Any

import numpy as np

from spotter.train.head import Head
from spotter.train.trained import Trained


def make_trained_of(
    features: np.ndarray, judged: np.ndarray, probabilities: np.ndarray, head: Head | None = None, **more: Any
) -> Trained:
    """A trained learner without a learner. What is not judged was learnt from, or if all is judged, everything."""
    classes = probabilities.shape[1]
    own = head or Head(np.zeros((classes, features.shape[1]), np.float32), np.zeros(classes, np.float32), 0.1)
    facts: dict[str, Any] = {
        "features": features,
        "judged": judged,
        "learnt_from": judged if judged.all() else ~judged,
        "probabilities": probabilities,
        "shifted": None,
        "shifted_probabilities": None,
        "backbone": None,
        "head": own,
        "how": "a test",
    }
    return Trained(**(facts | more))
