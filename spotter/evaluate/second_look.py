"""The second look, calibrated on held-out pictures: whether it helps, and by how much it has to be more familiar."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spotter.bundle.second_look import SecondLook
from spotter.config import FamiliarityConfig, SecondLookConfig
from spotter.data.dataset import Dataset
from spotter.data.splits import choose_some
from spotter.evaluate.held_out import held_out_probabilities
from spotter.evaluate.metrics import Familiarity, SecondLookFigures
from spotter.evaluate.ood import make_reference, score_known, score_pictures, score_strange, without_own
from spotter.inference.familiarity import score, weigh
from spotter.train.features import embed
from spotter.train.views import FAMILIES, SHIFTED, ViewKind, family_of
from spotter.train.windows import Look, look_again, look_cache

if TYPE_CHECKING:
    # For its fields alone.
    from spotter.train.trained import Trained


@dataclass(frozen=True)
class Looked:
    """What second looks gave: `scores` (k,), familiarity without the margin, -1 where there was no look;
    `probabilities` (k, classes), by heads that did not see the picture; `features` (k, width)."""

    scores: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray


def choose_second_look(
    trained: "Trained", dataset: Dataset, folds: np.ndarray, known: Familiarity, config: SecondLookConfig
) -> tuple[SecondLookFigures | None, str]:
    """Choose the margin of a second look; None where it does not help, or there is too little to choose it on.

    It is tried on held-out pictures and shifted views of them that are not familiar, and on strangers: the same
    pictures, and a model that lacks their class. The margin is the smallest one by which at most the share
    `config.strangers` of these get an answer more. It is kept if more answers are right than before, and at most the
    share `config.wrong` of those that come in addition is wrong, or one. Where there are so few strangers that one is
    more than that share, it is the largest margin; one of them may get an answer then, and nothing may be added at all:
    what is not sure in a small set is hardly ever what is far away.

    Returns:
        It with what it was chosen by, and what there is to say.
    """
    if trained.shifted is None:
        return None, "no second look: it is chosen on shifted views of held-out pictures, and there are none"
    if (there := int(trained.judged.sum())) < config.least:
        return None, f"no second look: it is chosen on {config.least} held-out pictures or more, and there are {there}"
    targets, familiar = dataset.targets, FamiliarityConfig()
    looks = _unsure(trained, dataset, folds, known, config.most)
    asked = len(looks)
    rows = np.flatnonzero(trained.judged)
    rows = rows[choose_some(dataset, rows, config.most, "strangers")]
    without = without_own(trained.probabilities[np.isin(np.flatnonzero(trained.judged), rows)], targets[rows])
    far = score_strange(trained, trained.embeddings[rows], rows, targets, folds, known, familiar)[1]
    refused = weigh(far, without, known.certainty) < known.threshold
    looks += [
        Look(*pair) for pair in zip(rows[refused].tolist(), without[refused].argmax(axis=1).tolist(), strict=True)
    ]
    seen = look(trained, dataset, folds, known, looks, SecondLook(config.window, 0.0), SHIFTED)
    of = np.array([each.row for each in looks], dtype=np.int64)
    far = score_strange(trained, embed(seen.features[asked:]), of[asked:], targets, folds, known, familiar)[1]
    strange = weigh(far, without_own(seen.probabilities[asked:], targets[of[asked:]]), known.certainty)
    strange[seen.scores[asked:] < 0] = -1
    right = seen.probabilities[:asked].argmax(axis=1) == targets[of[:asked]]
    may = config.strangers * len(rows)
    is_small = may < 1
    of_these = config.margins[-1:] if is_small else config.margins
    margins = [m for m in of_these if (strange - m >= known.threshold).sum() <= max(1, may)]
    if not margins:
        return None, "no second look: it would answer too many strangers"
    answered = seen.scores[:asked] - margins[0] >= known.threshold
    found = SecondLookFigures(
        SecondLook(config.window, margins[0]),
        unsure=asked,
        answered=int(answered.sum()),
        wrong=int((answered & ~right).sum()),
        strangers=len(rows),
        let_in=int((strange - margins[0] >= known.threshold).sum()),
    )
    if not is_right_enough(found.answered, found.wrong, config.wrong) and (found.answered or not is_small):
        return None, f"no second look: {found.sentence()}"
    return found, f"a second look where the first is not sure: {found.sentence()}"


def is_right_enough(answered: int, wrong: int, share: float) -> bool:
    """Whether at most this share of some answers is wrong, or one of them. One says little about the share of few; but
    half as many wrong answers as right ones are too many, however few there are."""
    return answered > 2 * wrong and wrong <= max(1, share * answered)


def answer_again(
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    known: Familiarity,
    second_look: SecondLook,
    kind: ViewKind,
    first: Sequence[Look],
    probabilities: np.ndarray,
    familiar: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What was said of pictures and views, with the second looks that answer.

    Args:
        first: k looks, for the labels that they gave. probabilities: (k, classes). familiar: bool (k,).

    Returns:
        `probabilities` and `familiar` anew.
    """
    unsure = np.flatnonzero(~familiar)
    seen = look(trained, dataset, folds, known, [first[place] for place in unsure.tolist()], second_look, kind)
    answers = seen.scores - second_look.margin >= known.threshold
    probabilities, familiar = probabilities.copy(), familiar.copy()
    probabilities[unsure[answers]], familiar[unsure[answers]] = seen.probabilities[answers], True
    return probabilities, familiar


def look_again_at_strangers(
    trained: "Trained",
    folds: np.ndarray,
    known: Familiarity,
    second_look: SecondLook,
    paths: Sequence[Path],
    features: np.ndarray,
) -> np.ndarray:
    """Familiarity of pictures of none of the classes by a second look, less its margin: (k,), -1 where there is none.

    Args:
        features: (k, width), of the first look at each of `paths`.
    """
    labels = trained.head.probabilities(features).argmax(axis=1).tolist()
    looks, keys = [Look(row, label) for row, label in enumerate(labels)], [""] * len(paths)
    found = look_again(trained.backbone, trained.head.weight, paths, keys, looks, second_look, SHIFTED)
    reference = make_reference(trained, folds, known, FamiliarityConfig())[0]
    cosines = score(embed(found), reference, known.neighbours)
    scores = weigh(cosines, trained.head.probabilities(found), known.certainty) - second_look.margin
    return np.where(found.any(axis=1), scores, -1.0)


def look(
    trained: "Trained",
    dataset: Dataset,
    folds: np.ndarray,
    known: Familiarity,
    looks: Sequence[Look],
    second_look: SecondLook,
    kind: ViewKind,
) -> Looked:
    """Look again, and judge what is seen by heads and a reference without the picture's fold.

    Where to look is told by the head that is published. It has seen the picture, but says only where the evidence for
    a label lies, not for which label.
    """
    paths, keys = dataset.paths, [str(record.sha256) for record in dataset.records]
    # Of a network that was fine-tuned, the next training makes another.
    cache = None if trained.fine_tune_epochs else look_cache(trained.backbone, kind, dataset.folder)
    features = look_again(trained.backbone, trained.head.weight, paths, keys, looks, second_look, kind, cache)
    of = np.array([each.row for each in looks], dtype=np.int64)
    probabilities = held_out_probabilities(trained, features, folds[of])
    cosines = score_pictures(trained, features, folds[of], folds, known, FamiliarityConfig())
    scores = weigh(cosines, probabilities, known.certainty)
    return Looked(np.where(features.any(axis=1), scores, -1.0), probabilities, features)


def _unsure(trained: "Trained", dataset: Dataset, folds: np.ndarray, known: Familiarity, most: int) -> list[Look]:
    """Looks to be taken again: at held-out pictures that are not familiar, and at shifted views, so many of each."""
    views, said, config = trained.shifted, trained.shifted_probabilities, FamiliarityConfig()
    places = np.flatnonzero(score_known(trained, folds, known, config) < known.threshold)
    rows, labels = np.flatnonzero(trained.judged), trained.probabilities.argmax(axis=1)
    places = places[choose_some(dataset, rows[places], most, "unsure")]
    looks = [Look(int(rows[place]), int(labels[place])) for place in places.tolist()]
    if views is None or said is None:
        return looks
    cosines = score_pictures(trained, views.features, folds[views.of], folds, known, config)
    unsure = trained.judged[views.of] & (weigh(cosines, said, known.certainty) < known.threshold)
    places = np.flatnonzero(unsure)
    for place in places[choose_some(dataset, views.of[places], most, "unsure")].tolist():
        row = int(views.of[place])
        key = str(dataset.records[row].sha256)
        number = next(each for each in range(len(FAMILIES)) if family_of(each, key) == views.names[place])
        looks.append(Look(row, int(said[place].argmax()), number))
    return looks
