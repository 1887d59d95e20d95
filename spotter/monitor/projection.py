"""Principal components of embeddings (randomized PCA): a few coordinates that the answer log can keep."""

from dataclasses import dataclass

import numpy as np

POWERS = 6
# More pictures change the axes no more, and cost time and memory.
MOST_FITTED = 2000


@dataclass(frozen=True)
class Projection:
    """From embeddings to a few coordinates: the main `axes` (k, d) of the pictures learnt from, around `mean` (d,)."""

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, reference: np.ndarray, dimensions: int) -> "Projection":
        """Find the main axes of embeddings (m, d). The same embeddings give the same axes.

        Source: Halko, Martinsson, Tropp, Finding structure with randomness (2011), algorithm 4.4.
        """
        chosen = reference[:: 1 + len(reference) // MOST_FITTED]
        mean = chosen.mean(axis=0, dtype=np.float64)
        away = chosen - mean
        wide = min(dimensions + 8, *away.shape)
        basis = away.T @ np.random.default_rng(0).normal(size=(len(away), wide))
        for _ in range(POWERS):
            basis = away.T @ (away @ np.linalg.qr(basis)[0])
        basis = np.linalg.qr(basis)[0]
        turns = np.linalg.eigh((away @ basis).T @ (away @ basis))[1][:, ::-1][:, :dimensions]
        axes = (basis @ turns).T
        # An axis has two directions, and which of them comes out depends on the library.
        signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
        return cls(mean.astype(np.float32), (axes * signs[:, None]).astype(np.float32))

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Coordinates float16 (n, k) of embeddings (n, d)."""
        # Not "@": as in `familiarity.familiarity`.
        return np.einsum("nd,kd->nk", embeddings - self.mean, self.axes).astype(np.float16)
