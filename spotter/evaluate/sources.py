"""Leave-one-source-out error: pictures of a source, or of a web site, that training never saw."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from spotter.data.dataset import Dataset
from spotter.train.head import judge_features
from spotter.train.views import Views
from spotter.utils.stats import wilson_interval
from spotter.utils.text import in_one_line, percent

if TYPE_CHECKING:
    # For its fields alone.
    from spotter.train.trained import Trained

# Sites are left out in so many groups, as there may be hundreds of them.
GROUPS = 5
# Of a group of so many sites or fewer, each is named.
NAMED = 3
# What stands for the site of a picture that came as a file.
NO_SITE = "files"
# With fewer pictures of other sources than of one, there is little left to learn from.
LEAST_PER_CLASS = 5


@dataclass(frozen=True)
class SourceErrors:
    """Errors on pictures of sources that training never saw: (name, pictures, wrong) of each source or group of sites.

    `kind` is "source" (a search source, or a folder of several) or "site" (a web site, of pictures from one source). A
    group of sites has their names, or those of the largest and how many more there are.
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
            f"{self._those()} left out in turn)"
        )

    def _those(self) -> str:
        names = [name for name, _, _ in self.left_out]
        # The name of a site or a source has no blank, one of several sites has.
        if self.kind == "site" and any(" " in name for name in names):
            return f"{len(names)} groups of sites"
        # There are more than one.
        count = f"{len(names)} {self.kind}s"
        return f"{count}, {', '.join(names)}," if len(names) <= GROUPS else count


def leave_sources_out(trained: "Trained", dataset: Dataset) -> SourceErrors | None:
    """Judge the pictures of each source by heads that learnt from the other sources; None where that cannot be.

    Near duplicates of a judged picture are not learnt from either, wherever they are from.
    """
    if not trained.judged.all():
        return None
    kind, names = _sources(dataset)
    targets, found = dataset.targets, []
    for name in sorted(set(names)):
        rows, out = _leave_out(name, names, dataset)
        if not _can_learn_without(out, dataset):
            continue
        judged = Views(trained.features[rows], rows, rows.astype(str))
        # All that is left out is one fold, and the rest another.
        probabilities = judge_features(
            trained.features, judged, targets, out.astype(np.int64), trained.head, trained.views
        )
        wrong = int((probabilities.argmax(axis=1) != targets[rows]).sum())
        found.append((name, len(rows), wrong))
    return SourceErrors(kind, tuple(found)) if len(found) > 1 else None


def why_unknown(trained: "Trained", dataset: Dataset) -> str:
    """Why `leave_sources_out` gives None, in words."""
    if not trained.judged.all():
        return "only a part of the pictures was judged"
    kind, names = _sources(dataset)
    every = sorted(set(names))
    if len(every) == 1:
        return f"all are from one site, {every[0]}" if kind == "site" else "all are from one source"
    needed = [name for name in every if not _can_learn_without(_leave_out(name, names, dataset)[1], dataset)]
    without = " or ".join(needed if len(needed) <= NAMED else [*needed[:NAMED], "others"])
    return f"without {without}, fewer than {LEAST_PER_CLASS} pictures of a class are left to learn from"


def _leave_out(name: str, names: Sequence[str], dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The rows (k,) of a source's pictures, and which of the set's, bool (n,), are not to be learnt from."""
    rows = np.flatnonzero([own == name for own in names])
    # What looks the same as a picture that is left out would tell what it is.
    return rows, np.isin(dataset.groups, dataset.groups[rows])


def _can_learn_without(out: np.ndarray, dataset: Dataset) -> bool:
    left = np.bincount(dataset.targets[~out], minlength=len(dataset.labels))
    return bool(left.min() >= LEAST_PER_CLASS)


def _sources(dataset: Dataset) -> tuple[str, list[str]]:
    """What kind of sources the pictures are from, and that of each picture."""
    # The name of a folder may hold anything.
    sources = [
        f"{each.backend}:{in_one_line(each.origin)}" if each.origin else each.backend for each in dataset.records
    ]
    sites = [urlsplit(each.page_url or each.image_url or "").hostname or NO_SITE for each in dataset.records]
    if len(set(sources)) > 1 or set(sites) == {NO_SITE}:
        return "source", sources
    # The largest sites one by one into the group that is smallest by then.
    sizes: list[int] = [0] * GROUPS
    groups: list[list[str]] = [[] for _ in sizes]
    for site, count in sorted(Counter(sites).items(), key=lambda pair: (-pair[1], pair[0])):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(site)
        sizes[smallest] += count
    names = {site: _name_group(group) for group in groups for site in group}
    return "site", [names[site] for site in sites]


def _name_group(sites: Sequence[str]) -> str:
    """The name of a group, of which the largest sites come first."""
    if len(sites) <= NAMED:
        return ", ".join(sites)
    return f"{', '.join(sites[: NAMED - 1])} and {len(sites) - NAMED + 1} more sites"
