"""Leave-one-source-out error: pictures of a source, or of a web site, that training never saw."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from spotter.data.dataset import Dataset
from spotter.train.head import judge_features
from spotter.train.views import Views
from spotter.utils.stats import wilson_interval
from spotter.utils.text import percent, plural

if TYPE_CHECKING:
    # For its fields alone.
    from spotter.train.trained import Trained

# Sites are left out in so many groups, as there may be hundreds of them.
GROUPS = 5
# With fewer pictures of other sources than of one, there is little left to learn from.
LEAST_PER_CLASS = 5


@dataclass(frozen=True)
class SourceErrors:
    """Errors on pictures of sources that training never saw: (name, pictures, wrong) of each source or group of sites.

    `kind` is "source" (a search source) or "site" (a web site, of pictures from one search source).
    """

    kind: str
    left_out: tuple[tuple[str, int, int], ...]

    @property
    def pictures(self) -> int:
        return sum(pictures for _, pictures, _ in self.left_out)

    @property
    def wrong(self) -> int:
        return sum(wrong for _, _, wrong in self.left_out)

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson 95 % interval of the error."""
        return wilson_interval(self.wrong, self.pictures)

    def sentence(self) -> str:
        """The error in words."""
        low, high = (percent(end, 1, "words") for end in self.interval)
        return (
            f"on pictures of {self.kind}s that training never saw, {self.wrong} of {self.pictures} wrong: error "
            f"{percent(self.wrong / self.pictures, 1, 'words')} (95 % interval {low} to {high}; each of "
            f"{plural(len(self.left_out), self.kind if self.kind == 'source' else 'group of sites')} left out in turn)"
        )


# Where `leave_sources_out` gives None.
NOBODY_KNOWS = (
    "nobody knows the error on pictures from elsewhere: all are from one source, or without it too few are left to "
    "learn from, or only a part of the pictures was judged"
)


def leave_sources_out(trained: "Trained", dataset: Dataset) -> SourceErrors | None:
    """Judge the pictures of each source by heads that learnt from the other sources; None where that cannot be.

    Near duplicates of a judged picture are not learnt from either, wherever they are from.
    """
    if not trained.judged.all():
        return None
    kind, names = _sources(dataset)
    targets, groups, found = dataset.targets, dataset.groups, []
    for name in sorted(set(names)):
        rows = np.flatnonzero([own == name for own in names])
        # What looks the same as a picture that is left out would tell what it is.
        out = np.isin(groups, groups[rows])
        left = np.bincount(targets[~out], minlength=len(dataset.labels))
        if left.min() < LEAST_PER_CLASS:
            continue
        judged = Views(trained.features[rows], rows, rows.astype(str))
        # All that is left out is one fold, and the rest another.
        probabilities = judge_features(
            trained.features, judged, targets, out.astype(np.int64), trained.head, trained.views
        )
        wrong = int((probabilities.argmax(axis=1) != targets[rows]).sum())
        found.append((name, len(rows), wrong))
    return SourceErrors(kind, tuple(found)) if len(found) > 1 else None


def _sources(dataset: Dataset) -> tuple[str, list[str]]:
    """What kind of sources the pictures are from, and that of each picture."""
    backends = [record.backend for record in dataset.records]
    if len(set(backends)) > 1:
        return "source", backends
    sites = [urlsplit(record.page_url or record.image_url or "").hostname or "" for record in dataset.records]
    counted = Counter(sites)
    # The largest sites one by one into the group that is smallest by then.
    sizes, groups = [0] * GROUPS, {}
    for site, count in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])):
        smallest = sizes.index(min(sizes))
        groups[site], sizes[smallest] = f"sites, group {smallest + 1}", sizes[smallest] + count
    return "site", [groups[site] for site in sites]
