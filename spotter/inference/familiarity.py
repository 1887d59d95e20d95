"""Familiarity: a k-nearest-neighbour out-of-distribution score on embeddings, lowered where the classifier doubts.

A picture may be near to training pictures, and yet between two classes: a dark bear, too dark to say which. Such an
answer is not to be trusted either, so the score is the mean cosine times the largest probability to the power of
`certainty`, a figure of the model (0 leaves the cosine as it is).
"""

import numpy as np

# Rows of a table of cosines that is made in parts.
BLOCK = 500


def familiarity(embeddings: np.ndarray, reference: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean cosine to the nearest of the reference embeddings, clipped to [0, 1].

    Args:
        embeddings: (n, d), length 1. reference: (m, d), length 1.

    Returns:
        Array of shape (n,).
    """
    # Not "@": the threads of BLAS and those of ONNX Runtime would fight for the same cores, ten times slower.
    cosines = np.einsum("nd,md->nm", embeddings, reference)
    return mean_of_nearest(cosines, neighbours)


def mean_of_nearest(cosines: np.ndarray, neighbours: int) -> np.ndarray:
    """The mean of the highest of each row of cosines (n, m), clipped to [0, 1]: shape (n,)."""
    nearest = min(neighbours, cosines.shape[1])
    return np.clip(np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1), 0, 1)


def weigh(cosines: np.ndarray, probabilities: np.ndarray, certainty: float) -> np.ndarray:
    """Familiarity, shape (n,) in [0, 1], from mean cosines (n,) and class probabilities (n, classes)."""
    return cosines * probabilities.max(axis=1) ** certainty if certainty else cosines


def score(embeddings: np.ndarray, reference: np.ndarray, neighbours: int) -> np.ndarray:
    """Familiarity of many pictures, as `familiarity`, by a faster product that differs from it in the last digit."""
    starts = range(0, max(1, len(embeddings)), BLOCK)
    tables = (embeddings[start : start + BLOCK] @ reference.T for start in starts)
    return np.concatenate([mean_of_nearest(cosines, neighbours) for cosines in tables])
