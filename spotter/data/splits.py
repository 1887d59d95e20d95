"""Folds for cross-validation: classes in equal shares, near duplicates together. And a few that stand for many."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np

from spotter.config import TrainConfig
from spotter.data.dataset import Dataset
from spotter.errors import TooFewPictures


def assign_folds(dataset: Dataset, folds: int, seed: int) -> np.ndarray:
    """Deal the pictures into folds, classes in equal shares, near duplicates always together.

    Returns:
        int64 array of shape (n,) with values in 0..k-1, where k is `folds` or fewer when a class has too few groups.

    Raises:
        TooFewPictures: a class has so few different pictures that none could be held out.
    """
    # Here rather than at the top: the cleaning page opens a second sooner.
    from sklearn.model_selection import StratifiedGroupKFold

    targets, groups = dataset.targets, dataset.groups
    different = [len(np.unique(groups[targets == index])) for index in range(len(dataset.labels))]
    smallest = min(different)
    if smallest < 2:
        label = dataset.labels[different.index(smallest)]
        raise TooFewPictures(
            f"The class {label!r} has only copies of one picture; it needs different pictures to learn from."
        )
    splitter = StratifiedGroupKFold(n_splits=min(folds, smallest), shuffle=True, random_state=seed)
    assigned = np.zeros(len(targets), dtype=np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(targets, targets, groups)):
        assigned[held_out] = fold
    for index, label in enumerate(dataset.labels):
        if len(np.unique(assigned[targets == index])) < 2:
            raise TooFewPictures(
                f"The class {label!r} has too few different pictures: too many are near duplicates of each other or of "
                "another class's; it needs more different pictures."
            )
    return assigned


def deal_folds(dataset: Dataset, edited: Dataset, config: TrainConfig) -> np.ndarray:
    """Deal the pictures of `edited` into folds, int64 (n,), as `dataset` would be without any edits.

    So an edit moves no other picture into another fold, and errors before and after it can be compared. Pictures that
    the author of the set keeps for judging are fold 0, and the others are dealt into the folds after it.

    Raises:
        TooFewPictures: a class has so few different pictures that none could be held out.
    """
    held_out = edited.held_out
    if held_out.any():
        for number, label in enumerate(edited.labels):
            if not held_out[edited.targets == number].any():
                raise TooFewPictures(f"The class {label!r} has no picture among those for validation; add some.")
        folds = np.zeros(len(edited.records), dtype=np.int64)
        folds[~held_out] = 1 + deal_folds(_to_learn_from(dataset), _to_learn_from(edited), config)
        return folds
    is_settled = np.array([not record.waits for record in dataset.records])
    plain = replace(dataset, records=tuple(record for record in dataset.records if not record.waits))
    folds = np.zeros(len(dataset.records), dtype=np.int64)
    folds[is_settled] = dealt = assign_folds(plain, config.folds, config.seed)
    of_group = dict(zip(plain.groups.tolist(), dealt.tolist(), strict=True))
    sizes = np.bincount(dealt)
    groups = dataset.groups
    for index in np.flatnonzero(~is_settled):
        folds[index] = of_group.setdefault(int(groups[index]), int(sizes.argmin()))
        sizes[folds[index]] += 1
    own = folds[positions(dataset, edited)]
    if min(len(np.unique(own[edited.targets == target])) for target in range(len(edited.labels))) < 2:
        # What is left of a class lies in one fold, and no head could learn it there.
        return assign_folds(edited, config.folds, config.seed)
    return np.unique(own, return_inverse=True)[1]


def _to_learn_from(dataset: Dataset) -> Dataset:
    return replace(dataset, records=tuple(record for record in dataset.records if not record.is_held_out))


def positions(dataset: Dataset, edited: Dataset) -> np.ndarray:
    """Where the pictures of `edited` are in `dataset`: int64 (n,)."""
    rows = {record.sha256: index for index, record in enumerate(dataset.records)}
    return np.array([rows[record.sha256] for record in edited.records], dtype=np.int64)


def choose_some(dataset: Dataset, rows: np.ndarray, most: int, name: str) -> np.ndarray:
    """Choose at most so many of some pictures, of each class the same number as far as there are.

    It goes by the pictures' hashes alone, and by a name: with another name, others are chosen. So it depends neither on
    the order of the pictures nor on their folds, and each is there or not whatever most others are.

    Args:
        rows: int64 (k,), of the set; the same row may be there more than once.

    Returns:
        Their places in `rows`, int64, in order.
    """
    targets = dataset.targets[rows].tolist()
    keys = [hashlib.sha256(f"{name}/{dataset.records[row].sha256}".encode()).digest() for row in rows.tolist()]
    rank: Counter[int] = Counter()
    order = []
    for place in sorted(range(len(keys)), key=keys.__getitem__):
        order.append((rank[targets[place]], keys[place], place))
        rank[targets[place]] += 1
    return np.array(sorted(place for *_, place in sorted(order)[:most]), dtype=np.int64)
