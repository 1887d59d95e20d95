"""Out-of-distribution detection: the familiarity threshold, and how many strangers it refuses (AUROC)."""

import math
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from sklearn.metrics import auc, roc_curve

from spotter.config import FamiliarityConfig
from spotter.evaluate.metrics import Familiarity
from spotter.inference.familiarity import mean_of_nearest, score, weigh
from spotter.train.features import embed
from spotter.train.head import Head, Judged
from spotter.train.thinning import thin
from spotter.train.views import Views
from spotter.utils.stats import wilson_interval

T = TypeVar("T")


@dataclass(frozen=True)
class Strangers:
    """Pictures of none of the classes against held-out ones of them: how well familiarity tells them apart.

    `auroc` in [0, 1] (0.5: not at all); `refused` of the `pictures` are below the threshold, with the Wilson 95 %
    interval of that share; `accepted_known` is the share of known pictures at or above it; `roc` has points
    (share of strangers accepted, share of known pictures accepted).
    """

    pictures: int
    auroc: float
    refused: int
    refused_interval: tuple[float, float]
    accepted_known: float
    roc: tuple[tuple[float, float], ...]

    def as_json(self) -> dict[str, Any]:
        """All but the curve."""
        return {name: value for name, value in asdict(self).items() if name != "roc"}


def judge_strangers(
    known: Familiarity,
    trained: Judged,
    head: Head,
    folds: np.ndarray,
    strangers: np.ndarray,
    config: FamiliarityConfig,
    again: np.ndarray | None = None,
) -> Strangers:
    """Judge the published threshold on features, float32 (k, width), of pictures of none of the classes.

    Args:
        again: what their second looks scored, less the margin (k,); None: the model does not look twice.
    """
    cosines = score(embed(strangers), make_reference(trained, folds, known, config)[0], known.neighbours)
    scores = weigh(cosines, head.probabilities(strangers), known.certainty)
    if again is not None:
        scores = np.where((scores < known.threshold) & (again >= known.threshold), again, scores)
    return evaluate_strangers(score_known(trained, folds, known, config), scores, known.threshold)


def evaluate_strangers(known_scores: np.ndarray, scores: np.ndarray, threshold: float) -> Strangers:
    """Judge how well familiarity tells pictures of none of the classes from held-out pictures of them.

    Args:
        known_scores: (n,), from `score_known`. scores: (k,), familiarity of pictures of none of the classes.
    """
    is_known = np.repeat([1, 0], [len(known_scores), len(scores)])
    false, true, _ = roc_curve(is_known, np.concatenate([known_scores, scores]))
    refused = int((scores < threshold).sum())
    return Strangers(
        pictures=len(scores),
        auroc=float(auc(false, true)),
        refused=refused,
        refused_interval=wilson_interval(refused, len(scores)),
        accepted_known=float((known_scores >= threshold).mean()),
        roc=tuple(zip(false.tolist(), true.tolist(), strict=True)),
    )


def make_reference(
    trained: Judged, folds: np.ndarray, known: Familiarity, config: FamiliarityConfig
) -> tuple[np.ndarray, int]:
    """The published reference embeddings, float32 (m, d): of what was learnt from, or what stands for it.

    Returns:
        These, and how many of them, at the end, are of views and not of pictures.
    """
    reference, _, count = _thinned(trained, folds, known, config)
    # What stands for many is neither.
    return reference, count - int(trained.learnt_from.sum()) if len(reference) == count else 0


def score_known(trained: Judged, folds: np.ndarray, known: Familiarity, config: FamiliarityConfig) -> np.ndarray:
    """Familiarity of the judged pictures, shape (judged.sum(),): each is compared with others than its own fold's."""
    judged = trained.judged

    def compute() -> np.ndarray:
        return score_pictures(trained, trained.features[judged], folds[judged], folds, known, config)

    cosines = _once(trained, ("known", known.with_views, known.neighbours, config, folds.tobytes()), compute)
    return weigh(cosines, trained.probabilities, known.certainty)


def score_pictures(
    trained: Judged,
    features: np.ndarray,
    of_folds: np.ndarray,
    folds: np.ndarray,
    known: Familiarity,
    config: FamiliarityConfig,
) -> np.ndarray:
    """Mean cosine, shape (k,), of features (k, width) to the reference, without what is of their own fold.

    Args:
        of_folds: int64 (k,), the folds of the pictures that the features are of. folds: those of the set.
    """
    embeddings = embed(features)
    reference, stands_for, _ = _thinned(trained, folds, known, config)
    if not trained.judged.all():
        # They were left out of it as they are.
        return score(embeddings, reference, known.neighbours)
    return _score_apart(embeddings, of_folds, reference, stands_for, known.neighbours)


def choose_threshold_without(
    trained: Judged, left_out: np.ndarray, folds: np.ndarray, known: Familiarity, config: FamiliarityConfig
) -> Familiarity:
    """As `choose_threshold`, from at most `config.chosen_on` of the judged pictures without some, bool (n,)."""
    rows = evenly(np.flatnonzero(trained.judged & ~left_out), config.chosen_on)
    cosines = score_pictures(trained, trained.features[rows], folds[rows], folds, known, config)
    return choose_threshold(weigh(cosines, trained.said_of(rows), known.certainty), known, config)


def choose_familiarity(
    trained: Judged, targets: np.ndarray, folds: np.ndarray, config: FamiliarityConfig
) -> Familiarity:
    """Choose the score, and the threshold that accepts `config.accept` of the held-out pictures.

    Without shifted views it is the mean cosine to the pictures. With them it is tried whether they go into the
    reference, and how much the classifier's doubts count. The best is what tells right answers, to held-out pictures
    and shifted views of them, from wrong ones and from strangers (failure detection: Jaeger et al., ICLR 2023; full
    spectrum: Yang et al., 2022): the mean of the two areas under the curve. The strangers are the same pictures and a
    model that lacks their class.

    Args:
        targets: int64 (n,) of the set. folds: int64 (n,).
    """
    plain = Familiarity(0.0, 0.0, config.neighbours)
    if trained.shifted is None or trained.shifted_probabilities is None:
        return choose_threshold(score_known(trained, folds, plain, config), plain, config)
    best, most = plain, -1.0
    for with_views in (False, True):
        tried = replace(plain, with_views=with_views)
        scores = _spectrum(trained, trained.shifted, trained.shifted_probabilities, targets, folds, tried, config)
        for certainty in config.certainties:
            value = scores.separation(certainty)
            if value > most:
                best, most = replace(tried, certainty=certainty), value
    return choose_threshold(score_known(trained, folds, best, config), best, config)


@dataclass(frozen=True)
class _Scores:
    """Of held-out pictures and shifted views: mean cosines `near` (k,), and `far` (k,) without the pictures of their
    own class; `probabilities` (k, classes) and `targets` (k,)."""

    near: np.ndarray
    far: np.ndarray
    probabilities: np.ndarray
    targets: np.ndarray

    def separation(self, certainty: float) -> float:
        """In [0, 1]: how well right answers are told from wrong ones and from strangers."""
        without = without_own(self.probabilities, self.targets)
        scores = weigh(self.near, self.probabilities, certainty)
        strange = weigh(self.far, without, certainty)
        right = self.probabilities.argmax(axis=1) == self.targets
        areas = [_area(scores[right], others) for others in (scores[~right], strange) if len(others)]
        return float(np.mean(areas)) if right.any() else 0.0


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows of a set, int64 (k,), as many as tell: evenly spread, as the set lies class by class."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)]


def _area(above: np.ndarray, below: np.ndarray) -> float:
    false, true, _ = roc_curve(np.repeat([1, 0], [len(above), len(below)]), np.concatenate([above, below]))
    return float(auc(false, true))


def _spectrum(
    trained: Judged,
    views: Views,
    said: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    known: Familiarity,
    config: FamiliarityConfig,
) -> _Scores:
    rows = evenly(np.flatnonzero(trained.judged), config.chosen_on)
    chosen = np.isin(views.of, rows)
    of = np.concatenate([rows, views.of[chosen]])
    embeddings = embed(np.concatenate([trained.features[rows], views.features[chosen]]))
    probabilities = np.concatenate([trained.said_of(rows), said[chosen]])
    near, far = score_strange(trained, embeddings, of, targets, folds, known, config)
    return _Scores(near, far, probabilities, targets[of])


def score_strange(
    trained: Judged,
    embeddings: np.ndarray,
    of: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    known: Familiarity,
    config: FamiliarityConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosines, (k,) each, of embeddings (k, d) of held-out pictures `of` (k,): to the reference without their own
    fold, and to what is left of that without their own class."""
    reference, its_rows = _reference(trained, known)
    step = math.ceil(len(reference) / config.most_reference)
    reference, its_rows = reference[::step], its_rows[::step]
    near, far = np.zeros(len(of)), np.zeros(len(of))
    for fold in np.unique(folds[of]):
        out = folds[of] == fold
        inside = folds[its_rows] != fold if trained.judged.all() else np.ones(len(its_rows), dtype=bool)
        cosines = embeddings[out] @ reference[inside].T
        near[out] = mean_of_nearest(cosines, known.neighbours)
        cosines[targets[of[out]][:, None] == targets[its_rows[inside]][None]] = -1
        far[out] = mean_of_nearest(cosines, known.neighbours)
    return near, far


def without_own(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What the other classes would share if there were no such class: probabilities (k, classes), targets (k,)."""
    without = probabilities.copy()
    without[np.arange(len(targets)), targets] = 0
    return without / np.maximum(without.sum(axis=1, keepdims=True), 1e-12)


def _reference(trained: Judged, known: Familiarity) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the pictures learnt from, then of their shifted views if these belong to it; and whose they are."""
    rows = np.flatnonzero(trained.learnt_from)
    if not known.with_views or trained.shifted is None:
        return trained.embeddings[rows], rows
    there = trained.learnt_from[trained.shifted.of]
    embeddings = [trained.embeddings[rows], embed(trained.shifted.features[there])]
    return np.concatenate(embeddings), np.concatenate([rows, trained.shifted.of[there]])


def _thinned(
    trained: Judged, folds: np.ndarray, known: Familiarity, config: FamiliarityConfig
) -> tuple[np.ndarray, np.ndarray, int]:
    """What stands for the reference, the fold that each stands for (see `thin`), and for how many they all stand."""

    def compute() -> tuple[np.ndarray, np.ndarray, int]:
        embeddings, of = _reference(trained, known)
        return *thin(embeddings, folds[of], config), len(of)

    return _once(trained, ("reference", known.with_views, config, folds.tobytes()), compute)


def _once(trained: Judged, key: Hashable, compute: Callable[[], T]) -> T:
    if key not in trained.computed:
        trained.computed[key] = compute()
    found: T = trained.computed[key]
    return found


def score_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> np.ndarray:
    """Mean cosine, shape (n,), of each picture to the reference embeddings that stand for the other folds."""
    return _score_apart(embeddings, folds, *thin(embeddings, folds, config), config.neighbours)


def _score_apart(
    embeddings: np.ndarray, folds: np.ndarray, reference: np.ndarray, stands_for: np.ndarray, neighbours: int
) -> np.ndarray:
    """Mean cosine, shape (k,), of embeddings (k, d) of `folds` (k,) to the rows that stand for other folds."""
    scores = np.zeros(len(embeddings))
    for fold in np.unique(folds):
        out = folds == fold
        scores[out] = score(embeddings[out], reference[stands_for != fold], neighbours)
    return scores


def familiarity_on_folds(embeddings: np.ndarray, folds: np.ndarray, config: FamiliarityConfig) -> Familiarity:
    """Choose the threshold on held-out folds: each picture is compared with those of the other folds only."""
    plain = Familiarity(0.0, 0.0, config.neighbours)
    return choose_threshold(score_folds(embeddings, folds, config), plain, config)


def choose_threshold(scores: np.ndarray, known: Familiarity, config: FamiliarityConfig) -> Familiarity:
    """The threshold for scores (n,) of held-out pictures."""
    # A score of the data itself, not one between two: at least `accept` of the held-out pictures pass it.
    threshold = float(np.quantile(scores, 1 - config.accept, method="lower"))
    return replace(known, threshold=threshold, accepted=float((scores >= threshold).mean()))
