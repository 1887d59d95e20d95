"""Compares a model with what a browser taught from the same pictures, before it is published."""

from dataclasses import dataclass

import numpy as np

from spotter.collect.lesson import Taught
from spotter.data.dataset import Dataset
from spotter.errors import ParityError
from spotter.publish.candidate import Candidate
from spotter.train.views import SHIFTED, plan_cropped

# Probabilities so close are the same; of so large a share of the pictures they must be.
CLOSE, MOST_CLOSE = 0.02, 0.99
# Errors that one side may have more than the other, of so many pictures; one may always be.
ONE_OF = 376
# Somebody may take a lesson away before the browser has made all views. Of so large a share of the pictures
# another label may be the most probable one then, though by so much on both sides.
OTHER_LABELS, CLEAR = 0.02, 0.1


@dataclass(frozen=True)
class Agreement:
    """How close the answers of a browser and of this machine are, over `pictures` pictures.

    Of `near`, no probability differs by more than `CLOSE`; `largest` is the largest difference. `others` have another
    label here, though on both sides the two most probable ones are at least `CLOSE` apart, and `clear` those where they
    are at least `CLEAR` apart. `wrong` are the errors, in the browser and here.
    """

    pictures: int
    near: int
    largest: float
    others: int
    clear: int
    wrong: tuple[int, int]

    def complaint(self, strict: bool) -> str:
        """What is not close enough, in words; "" when all is.

        Args:
            strict: whether both sides learnt from the same numbers.
        """
        # Written so that NaN fails too.
        if not self.largest <= 1:
            return "some probabilities are no numbers"
        if not strict:
            is_fine = self.clear <= max(1, OTHER_LABELS * self.pictures)
            return "" if is_fine else f"{self.clear} of {self.pictures} pictures clearly get another label"
        if abs(self.wrong[0] - self.wrong[1]) > max(1, self.pictures // ONE_OF):
            return f"{self.wrong[0]} of {self.pictures} pictures are wrong there and {self.wrong[1]} here"
        if self.others:
            return f"{self.others} of {self.pictures} pictures get another label"
        if self.near < MOST_CLOSE * self.pictures:
            far = self.pictures - self.near
            return f"probabilities of {far} of {self.pictures} pictures differ by more than {CLOSE:g}"
        return ""

    def sentence(self, what: str) -> str:
        """How close they are, in words."""
        return (
            f"{what}: {self.near} of {self.pictures} pictures within {CLOSE:g} of what the browser said (largest "
            f"difference {self.largest:.2g}), {self.others} with another label; wrong there {self.wrong[0]}, here "
            f"{self.wrong[1]}"
        )


def compare_answers(there: np.ndarray, here: np.ndarray, targets: np.ndarray) -> Agreement:
    """Compare the probabilities of a browser with those of this machine, both (n, classes); `targets` (n,)."""
    distances = np.abs(there - here).max(axis=1)
    apart = np.minimum(_margins(there), _margins(here))[there.argmax(axis=1) != here.argmax(axis=1)]
    wrong = [int((answers.argmax(axis=1) != targets).sum()) for answers in (there, here)]
    return Agreement(
        pictures=len(targets),
        near=int((distances <= CLOSE).sum()),
        largest=float(distances.max()),
        others=int((apart >= CLOSE).sum()),
        clear=int((apart >= CLEAR).sum()),
        wrong=(wrong[0], wrong[1]),
    )


def check_adoption(taught: Taught, candidate: Candidate, answers: np.ndarray) -> list[str]:
    """Compare a model with what a browser taught from the same pictures.

    Args:
        answers: (n, classes), of the files that are to be published, to the pictures of the candidate.

    Returns:
        How close they are, a sentence each.

    Raises:
        ParityError: they are not close enough, or did not learn from the same pictures in the same folds.
    """
    cleaned, trained = candidate.cleaned, candidate.trained
    dataset, targets = cleaned.dataset, cleaned.dataset.targets
    _check_folds(taught, dataset, cleaned.folds)
    views_kept = bool(trained.head.spectrum and trained.head.spectrum.is_kept)
    shifted = len(trained.shifted.of) if trained.shifted else 0
    same_views = (taught.views, taught.shifted) == (SHIFTED.name, shifted)
    same_crops = taught.cropped in (None, len(plan_cropped(dataset, candidate.task.config)))
    strict = same_crops and (same_views or not (views_kept or taught.views_kept))
    said = []
    for what, given, own, is_strict in (
        ("held out, without shifted views", taught.plain, plain_probabilities(candidate), same_crops),
        ("held out", taught.held_out, trained.probabilities, strict),
        ("answers of the published model", taught.answers, answers, strict),
    ):
        found = compare_answers(_rows(given, dataset), own, targets)
        said.append(found.sentence(what))
        if complaint := found.complaint(is_strict):
            raise ParityError(
                f"The model would not answer like the one that was taught in the browser ({what}: {complaint}); "
                "nothing was published."
            )
    return said


def _margins(probabilities: np.ndarray) -> np.ndarray:
    """How much more probable the first label is than the second, (n,)."""
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _check_folds(taught: Taught, dataset: Dataset, folds: np.ndarray) -> None:
    here = {str(record.sha256): int(fold) for record, fold in zip(dataset.records, folds, strict=True)}
    if here.keys() != taught.fold.keys():
        raise ParityError(
            f"The browser learnt from {len(taught.fold)} pictures and this training from {len(here)}, of which "
            f"{len(here.keys() & taught.fold.keys())} are the same; nothing was published."
        )
    moved = sum(fold != taught.fold[key] for key, fold in here.items())
    if moved:
        raise ParityError(
            f"{moved} of {len(here)} pictures were held out in another fold in the browser; nothing was published."
        )


def _rows(given: dict[str, list[float]], dataset: Dataset) -> np.ndarray:
    missing = [record for record in dataset.records if str(record.sha256) not in given]
    if missing:
        raise ParityError(f"The lesson has no answer for {len(missing)} of its pictures; nothing was published.")
    return np.array([given[str(record.sha256)] for record in dataset.records], dtype=np.float64)


def plain_probabilities(candidate: Candidate) -> np.ndarray:
    """What heads that learnt from no shifted views say of pictures that they did not see, float64 (n, classes)."""
    cleaned, trained, config = candidate.cleaned, candidate.trained, candidate.task.config
    if trained.head.spectrum is None or not trained.head.spectrum.is_kept:
        return trained.probabilities
    from spotter.train.backbone import compute_views
    from spotter.train.head import choose_head
    from spotter.train.views import CROPPED

    dataset = cleaned.dataset
    plan = plan_cropped(dataset, config)
    cropped = compute_views(cleaned.backbone, dataset, CROPPED, plan) if plan else None
    return choose_head(cleaned.values, dataset.targets, cleaned.folds, config, cropped).probabilities
