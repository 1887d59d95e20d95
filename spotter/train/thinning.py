"""Thinning: k-means centres in place of many embeddings, for what familiarity compares a picture with."""

import math
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from spotter.config import FamiliarityConfig

# Pictures thinned together: the cost grows with the product of these and of what is kept of them.
BLOCK = 2000
# What published embeddings are whole multiples of.
STEP = 2.0**-13


def thin(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> tuple[np.ndarray, np.ndarray]:
    """At most `config.most_reference` embeddings that stand for all: centres of k-means, over random blocks.

    No block reaches over two folds. So what stands for the other folds has never seen the pictures of one, and is as
    dense as the whole: a threshold chosen with it is true of the whole. Of a set within the limit all are kept.

    Args:
        embeddings: float32 (n, d), rows of length 1. folds: int64 (n,).

    Returns:
        float32 (m, d), rounded rows of length 1, and int64 (m,): the fold that each stands for.
    """
    if len(embeddings) <= config.most_reference:
        return round_embeddings(embeddings), folds
    kept, kept_folds = [], []
    rng = np.random.default_rng(0)
    # With one thread the sums are always added up in the same order.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A block of copies has fewer different pictures than centres.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for fold in np.unique(folds):
            members = rng.permutation(np.flatnonzero(folds == fold))
            for block in np.array_split(members, math.ceil(len(members) / BLOCK)):
                count = max(1, len(block) * config.most_reference // len(embeddings))
                means = KMeans(count, init="random", n_init=1, max_iter=5, random_state=0)
                centres = means.fit(embeddings[block]).cluster_centers_
                kept.append(centres / np.linalg.norm(centres, axis=1, keepdims=True))
                kept_folds.append(np.full(count, fold))
    return round_embeddings(np.concatenate(kept)), np.concatenate(kept_folds)


def round_embeddings(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings float32 (n, d) as they are published: to whole steps, so that they pack to half. The mean of a few
    cosines moves by 0.00006 at most on the bears."""
    return np.rint(embeddings / STEP).astype(np.float32) * np.float32(STEP)
