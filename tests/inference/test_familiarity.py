"""A thinned reference set: at its limit, of the same density for every fold, and honest about what it accepts."""

import numpy as np
import pytest

from spotter.config import FamiliarityConfig
from spotter.evaluate.ood import familiarity_on_folds, score_folds
from spotter.inference.familiarity import familiarity, score, weigh
from spotter.train.thinning import STEP, round_embeddings, thin

CONFIG = FamiliarityConfig(most_reference=300)


def points(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Directions around twenty centres, the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(20, 32))
    rng = np.random.default_rng(seed)
    found = centres[rng.integers(0, 20, count)] + 0.5 * rng.normal(size=(count, 32)) + shift
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_of_a_set_within_the_limit_all_are_kept_but_rounded() -> None:
    embeddings, folds = points(300, 1), np.arange(300) % 5
    reference, stands_for = thin(embeddings, folds, CONFIG)
    assert np.abs(reference - embeddings).max() <= STEP / 2
    assert (reference % np.float32(STEP) == 0).all()
    assert reference.dtype == np.float32
    assert (round_embeddings(reference) == reference).all()
    assert stands_for is folds
    # What is published, and not what it was made of, is what the threshold is chosen with.
    expected = [familiarity(embeddings[folds == fold], reference[folds != fold], 3) for fold in range(5)]
    scores = score_folds(embeddings, folds, CONFIG)
    for fold in range(5):
        assert scores[folds == fold] == pytest.approx(expected[fold], abs=1e-6)


def test_a_larger_one_is_thinned_to_the_limit_evenly_and_always_alike() -> None:
    embeddings, folds = points(3000, 1), np.arange(3000) % 5
    reference, stands_for = thin(embeddings, folds, CONFIG)
    assert len(reference) == CONFIG.most_reference
    assert np.bincount(stands_for).tolist() == [60] * 5
    assert np.linalg.norm(reference, axis=1) == pytest.approx(np.ones(300), abs=1e-3)
    assert reference.dtype == np.float32
    assert (reference == thin(embeddings, folds, CONFIG)[0]).all()


def test_what_stands_for_a_fold_has_not_seen_the_others() -> None:
    embeddings, folds = points(3000, 1), np.arange(3000) % 5
    reference, stands_for = thin(embeddings, folds, CONFIG)
    moved = embeddings.copy()
    moved[folds == 4] = -moved[folds == 4]
    again, _ = thin(moved, folds, CONFIG)
    assert (again[stands_for != 4] == reference[stands_for != 4]).all()
    assert (again[stands_for == 4] != reference[stands_for == 4]).any()


def test_the_promised_share_of_new_pictures_is_accepted_and_strangers_are_refused() -> None:
    embeddings, folds = points(5000, 1), np.arange(5000) % 5
    known = familiarity_on_folds(embeddings, folds, CONFIG)
    reference, _ = thin(embeddings, folds, CONFIG)
    new = familiarity(points(4000, 2), reference, CONFIG.neighbours)
    # Three standard errors either way; a threshold from the whole of the other folds would be off by more.
    assert (new >= known.threshold).mean() == pytest.approx(CONFIG.accept, abs=0.01)
    assert (familiarity(points(500, 3, shift=2.0), reference, CONFIG.neighbours) >= known.threshold).mean() < 0.1
    unthinned = familiarity_on_folds(embeddings, folds, FamiliarityConfig())
    assert abs((new >= unthinned.threshold).mean() - CONFIG.accept) > 0.01


def test_copies_do_not_stop_it() -> None:
    embeddings = np.repeat(points(3, 1), 400, axis=0)
    reference, _ = thin(embeddings, np.arange(1200) % 5, CONFIG)
    assert np.isfinite(reference).all()
    assert familiarity(embeddings[:1], reference, 3) == pytest.approx([1.0], abs=1e-3)


def test_scoring_in_blocks_is_scoring() -> None:
    embeddings, reference = points(3000, 1), points(500, 2)
    assert score(embeddings, reference, 3) == pytest.approx(familiarity(embeddings, reference, 3), abs=1e-5)
    assert score(embeddings[:0], reference, 3).shape == (0,)


def test_doubts_lower_the_score_and_are_nothing_without_a_weight() -> None:
    cosines, probabilities = np.array([0.8, 0.8, 0.8]), np.array([[1.0, 0.0], [0.5, 0.5], [0.75, 0.25]])
    assert (weigh(cosines, probabilities, 0.0) == cosines).all()
    assert weigh(cosines, probabilities, 0.3) == pytest.approx([0.8, 0.8 * 0.5**0.3, 0.8 * 0.75**0.3])
