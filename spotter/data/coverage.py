"""Coverage: what a picture set shows and what it lacks, in counts, look-alikes and gaps, and as an offline report.

A classifier of skin trained on pictures of skin diseases has never seen healthy skin. Counting cannot find what nobody
thought of, so the report also shows the pictures and says what was not measured.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from spotter.data.dataset import Dataset, Record
from spotter.data.manifest import read_searched
from spotter.data.previews import make_thumbnails, short_title
from spotter.data.quality import QUALITY_FLAGS, measure_tones
from spotter.data.subject_size import FILLING, SMALL
from spotter.utils.templates import write_page
from spotter.utils.text import percent, plural

CLUSTERABLE = 10
MOST_CLUSTERS = 8
EXEMPLARS = 12
SHOWN_FLAGGED = 24
SHOWN_PAIRS = 30
# Below this share something counts as hardly shown, above the others as shown too often.
RARE = 0.05
ONE_ORIGIN = 0.6
ONE_CLUSTER = 0.7
MANY_DRAWN = 0.2
# docs/decisions/0002-collecting.md has the whole check.
SMALL_TRUST = "a quarter or less; checked by eye on 96 photos of animals and toys, 10 of 14 called so were, 6 missed"
FILLING_TRUST = "three fifths or more; checked in the same way, 7 of 14 called so were, 6 missed"
# Fewer pictures than this say nothing about shares.
JUDGEABLE = 20


@dataclass(frozen=True)
class Cluster:
    """Pictures that look alike to the network. `exemplars` are file names: half from the middle, half from all over."""

    size: int
    exemplars: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """The source, site or creator that most of a class's pictures come from; `known` pictures name theirs at all."""

    name: str
    pictures: int
    known: int


@dataclass(frozen=True)
class Flagged:
    """A picture's file name and its flags, keys of `QUALITY_FLAGS`."""

    file: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Gap:
    """What seems to be missing, in words, and a query that may find it (None: no query would help).

    `measured` is False for what no figure here shows, and a person has to judge by looking.
    """

    sentence: str
    query: str | None
    measured: bool = True


@dataclass(frozen=True)
class ClassCoverage:
    """What the pictures of one class show. All numbers are numbers of pictures; `site` and `creator` may be unknown.

    `small` and `filling` are rough, and None where nothing measured how far the subject spreads.
    """

    label: str
    query: str
    pictures: int
    clusters: tuple[Cluster, ...]
    source: Origin | None
    site: Origin | None
    creator: Origin | None
    black_and_white: int
    dark: int
    small: int | None
    filling: int | None
    flagged: tuple[Flagged, ...]
    missing: tuple[Gap, ...]

    def count(self, flag: str) -> int:
        """How many pictures have this flag."""
        return sum(flag in picture.flags for picture in self.flagged)


def measure_coverage(
    dataset: Dataset, features: np.ndarray, flags: Sequence[tuple[str, ...]], spreads: np.ndarray | None = None
) -> list[ClassCoverage]:
    """Describe each class of `dataset`, in the order of its labels.

    Args:
        features: float32 (n, features), pooled features of `dataset.records` in their order.
        flags: for each record the flags from `find_quality_flags`.
        spreads: float (n,), for each record `measure_spread` of its picture, if that could be measured.

    Raises:
        DatasetUnwritable: what was measured cannot be stored.
    """
    tones = measure_tones(dataset)
    targets = dataset.targets
    coverages = []
    for target, label in enumerate(dataset.labels):
        members = [int(index) for index in np.flatnonzero(targets == target)]
        records = [dataset.records[index] for index in members]
        dark, grey = int(tones[members, 0].sum()), int(tones[members, 1].sum())
        small = None if spreads is None else int((spreads[members] <= SMALL).sum())
        filling = None if spreads is None else int((spreads[members] >= FILLING).sum())
        flagged = tuple(Flagged(str(dataset.records[index].file), flags[index]) for index in members if flags[index])
        own = features[members]
        directions = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
        # For so few dimensions, threads cost more than they give.
        with threadpool_limits(1):
            clusters = _cluster(directions, [str(record.file) for record in records])
        site = _main_origin(_host(record.page_url) or _host(record.image_url) for record in records)
        creator = _main_origin(record.creator for record in records)
        queries = Counter(record.query for record in records)
        query = queries.most_common(1)[0][0] if queries else label
        drawn = sum("drawing" in picture.flags for picture in flagged)
        gaps = _measured_gaps(query, len(records), dark, drawn, clusters, site, creator)
        if small is None or filling is None or len(records) < JUDGEABLE:
            unmeasured = _unmeasured_gaps(query) + _unmeasured_size_gaps(query)
        else:
            gaps += _size_gaps(query, len(records), small, filling)
            unmeasured = _unmeasured_gaps(query)
        gaps += [gap for gap in unmeasured if gap.query not in queries]
        source = _main_origin(record.backend for record in records)
        coverages.append(
            ClassCoverage(
                label,
                query,
                len(records),
                clusters,
                source,
                site,
                creator,
                grey,
                dark,
                small,
                filling,
                flagged,
                tuple(gaps),
            )
        )
    return coverages


def write_coverage(
    coverages: Sequence[ClassCoverage],
    dataset: Dataset,
    path: Path,
    cross_pairs: Sequence[tuple[Record, Record, float]] = (),
) -> None:
    """Write the coverage report: one HTML file that holds its thumbnails and needs neither network nor scripts.

    Args:
        cross_pairs: near duplicates in two classes, both stored under the set's folder, with their cosine.

    Raises:
        DatasetUnwritable: `path` cannot be written, or what the set's folder remembers cannot be read.
    """
    records = {str(record.file): record for record in dataset.records}
    functions: dict[str, Callable[..., Any] | None] = {
        "thumbnail": make_thumbnails(dataset),
        "name": lambda file: _name(records[file]),
        "command": _command if read_searched(dataset.folder) else None,
        "share": _share,
        "rows": _rows,
    }
    write_page(
        path,
        "data",
        "coverage.html",
        **functions,
        coverages=coverages,
        pairs=cross_pairs[:SHOWN_PAIRS],
        more_pairs=len(cross_pairs) - SHOWN_PAIRS,
        pictures=len(dataset.records),
        reasons=QUALITY_FLAGS,
        shown_flagged=SHOWN_FLAGGED,
        pair_name=_name,
    )


def _cluster(directions: np.ndarray, files: Sequence[str]) -> tuple[Cluster, ...]:
    """Group directions of shape (n, features), the largest group first; the best silhouette decides how many."""
    if not len(files):
        return ()
    # Copies of one picture cannot be told apart.
    different = len({row.tobytes() for row in directions.round(4) + 0.0})
    if different < CLUSTERABLE:
        return (_make_cluster(directions, files),)
    # In a few dimensions distances tell more, and k-means is quick.
    points = PCA(min(20, len(files) - 1), random_state=0).fit_transform(directions)
    best, best_score = np.zeros(len(files), dtype=np.int64), 0.05
    for count in range(2, min(MOST_CLUSTERS, different // 5) + 1):
        assigned = KMeans(count, n_init=4, random_state=0).fit_predict(points)
        sample = min(len(files), 1000)
        score = float(silhouette_score(points, assigned, sample_size=sample, random_state=0))
        if score > best_score:
            best, best_score = assigned, score
    groups = [np.flatnonzero(best == number) for number in np.unique(best)]
    groups.sort(key=len, reverse=True)
    return tuple(_make_cluster(directions[group], [files[int(index)] for index in group]) for group in groups)


def _make_cluster(directions: np.ndarray, files: Sequence[str]) -> Cluster:
    centre = directions.mean(axis=0)
    order = [int(index) for index in np.argsort(-(directions @ centre), kind="stable")]
    chosen = order[: EXEMPLARS // 2]
    nearest = (directions @ directions[chosen].T).max(axis=1)
    while len(chosen) < min(EXEMPLARS, len(files)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, directions @ directions[chosen[-1]])
    return Cluster(len(files), tuple(files[index] for index in chosen))


def _main_origin(names: Iterable[str | None]) -> Origin | None:
    counts = Counter(name.strip() for name in names if name and name.strip())
    if not counts:
        return None
    name, pictures = counts.most_common(1)[0]
    return Origin(name, pictures, counts.total())


def _host(address: str | None) -> str | None:
    try:
        host = urlsplit(address or "").hostname
    except ValueError:
        # Addresses come from the web, broken ones too.
        return None
    return host.removeprefix("www.") if host else None


def _measured_gaps(
    query: str,
    pictures: int,
    dark: int,
    drawn: int,
    clusters: tuple[Cluster, ...],
    site: Origin | None,
    creator: Origin | None,
) -> list[Gap]:
    if pictures < JUDGEABLE:
        return [Gap(f"{_of(pictures).capitalize()} in all: too few to say what is missing.", None)]
    gaps = []
    if dark < RARE * pictures:
        gaps.append(
            Gap(f"{_only(dark, pictures)} dark: the set has hardly any pictures taken at night.", f"{query} at night"),
        )
    if clusters[0].size > ONE_CLUSTER * pictures:
        gaps.append(Gap(f"{clusters[0].size} of {pictures} pictures look much alike.", f"{query} in different places"))
    if drawn > MANY_DRAWN * pictures:
        gaps.append(Gap(f"{drawn} of {pictures} pictures look drawn, not photographed.", f"{query} photo"))
    if site and site.pictures > ONE_ORIGIN * pictures:
        words = f"{site.pictures} of {pictures} pictures come from {site.name}: ask another source too, with --search."
        gaps.append(Gap(words, None))
    if creator and creator.pictures > ONE_ORIGIN * pictures:
        words = f"{creator.pictures} of {pictures} pictures are by {creator.name}: they may show one place, or one day."
        gaps.append(Gap(words, f"{query} photo"))
    return gaps


def _unmeasured_gaps(query: str) -> list[Gap]:
    return [
        Gap("Seen from every side?", f"{query} from behind", measured=False),
        Gap("Sometimes partly hidden?", f"{query} partly hidden", measured=False),
    ]


def _unmeasured_size_gaps(query: str) -> list[Gap]:
    return [
        Gap("Sometimes small in the picture?", f"{query} far away", measured=False),
        Gap("Sometimes filling it?", f"{query} close up", measured=False),
    ]


def _size_gaps(query: str, pictures: int, small: int, filling: int) -> list[Gap]:
    gaps = []
    if small < RARE * pictures:
        words = (
            f"Small in {_only_in(small, pictures)}, by a rough measure: the set has hardly any pictures taken "
            f"from far away."
        )
        gaps.append(Gap(words, f"{query} far away"))
    if filling < RARE * pictures:
        words = f"Fills {_only_in(filling, pictures)}, by a rough measure: the set has hardly any close pictures."
        gaps.append(Gap(words, f"{query} close up"))
    return gaps


def _only(count: int, pictures: int) -> str:
    if count == 0:
        return f"None of {pictures} pictures is"
    return f"Only {count} of {pictures} pictures {'is' if count == 1 else 'are'}"


def _only_in(count: int, pictures: int) -> str:
    return f"only {count} of {pictures} pictures" if count else f"none of {pictures} pictures"


def _of(count: int) -> str:
    return "no picture" if count == 0 else plural(count, "picture")


def _share(count: int, pictures: int) -> str:
    """Say a share as a count, and in per cent where there are enough pictures for that to mean something."""
    return f"{count} of {pictures}" + (f" ({percent(count / pictures, 0, 'words')})" if pictures >= JUDGEABLE else "")


def _rows(coverage: ClassCoverage) -> list[tuple[str, str | None, int | None]]:
    """The table of shares: what is counted, its name or meaning, and how many pictures (None: not known)."""
    rows: list[tuple[str, str | None, int | None]] = []
    origins = {"source": coverage.source, "site": coverage.site, "creator": coverage.creator}
    for kind, origin in origins.items():
        if origin is None:
            rows.append((f"Most frequent {kind}", None, None))
        else:
            unknown = coverage.pictures - origin.known
            name = origin.name + (f" (not known for {unknown})" if unknown else "")
            rows.append((f"Most frequent {kind}", name, origin.pictures))
    rows += [("Black and white", None, coverage.black_and_white)]
    rows += [("Dark", "or filled by something dark", coverage.dark)]
    if coverage.small is not None and coverage.filling is not None:
        rows.append(("Small in the picture (rough)", SMALL_TRUST, coverage.small))
        rows.append(("Fills the picture (rough)", FILLING_TRUST, coverage.filling))
    return rows + [
        (f"Flagged {flag}", why, coverage.count(flag)) for flag, why in QUALITY_FLAGS.items() if coverage.count(flag)
    ]


def _name(record: Record) -> str:
    return short_title(record) or f"{record.label}, {Path(str(record.file)).stem[:8]}"


def _command(label: str, query: str) -> str:
    words = " ".join(query.split())
    return f"--more {shlex.quote(f'{label}={words}')}"
