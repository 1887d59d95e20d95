"""Near duplicates: found by perceptual hashes, confirmed by features, and grouped."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spotter.data.dataset import FROM_VISITORS, IN_TWO_CLASSES, NEAR_IN_TWO_CLASSES, TAKEDOWN, Dataset, Record

NEAR_BITS = 8
NEAR_COSINE = 0.7
# Cropped or brightened copies: their hashes differ more, so the backbone has to be surer.
FAR_BITS = 16
FAR_COSINE = 0.85
# A page with a few pictures shows one animal from several sides; one with more is a gallery.
MOST_OF_ONE_PAGE = 10
# Pairs looked at in one go; their embeddings are copied.
PART = 8192
MOST_TWINS = 10_000


@dataclass(frozen=True)
class Twins:
    """Two near duplicates in different classes; `cosine` of their embeddings."""

    first: Record
    second: Record
    cosine: float


def group_duplicates(records: Sequence[Record]) -> list[Record]:
    """Drop exact copies (in two classes: all of them) and what looks like a picture that was taken down; number
    groups of near duplicates by their hashes alone.

    Near means at most `NEAR_BITS` different bits of the 64-bit perceptual hash, mirrored or not. The same records in
    any order give the same answer.
    """
    records = sorted(
        records, key=lambda record: (record.label, record.backend, record.query, record.rank, record.backend_id)
    )
    # What a visitor calls a picture of the set, nobody has reviewed: it must not put the picture in two classes.
    collected = {record.sha256 for record in records if record.sha256 and record.backend != FROM_VISITORS}
    labels_of: dict[str, set[str]] = {}
    for record in records:
        if record.sha256 and (record.backend != FROM_VISITORS or record.sha256 not in collected):
            labels_of.setdefault(record.sha256, set()).add(record.label)
    taken_down = [int(record.phash, 16) for record in records if record.reason == TAKEDOWN and record.phash]
    seen: set[str] = set()
    checked: list[Record] = []
    for record in records:
        digest = record.sha256
        if record.kept and record.backend == FROM_VISITORS and digest in collected:
            record = replace(record, decision="dropped", reason="copy")
        elif record.kept and digest and len(labels_of[digest]) > 1:
            record = replace(record, decision="dropped", reason=IN_TWO_CLASSES)
        elif record.kept and digest in seen:
            record = replace(record, decision="dropped", reason="copy")
        elif record.kept and taken_down and _is_near(record, taken_down):
            record = replace(record, decision="dropped", reason=TAKEDOWN)
        elif record.kept and digest:
            seen.add(digest)
        checked.append(record)
    kept = sorted((record for record in checked if record.kept), key=lambda record: record.place)
    families = _Families(len(kept))
    for first, second, _ in near_pairs(kept, NEAR_BITS):
        families.join(first, second)
    groups = families.numbers()
    grouped = [replace(record, group=group, flags=()) for record, group in zip(kept, groups, strict=True)]
    return grouped + [replace(record, group=None, file=None, flags=()) for record in checked if not record.kept]


def confirm_duplicates(dataset: Dataset, embeddings: np.ndarray) -> tuple[Dataset, list[Twins]]:
    """Group near duplicates again, now that the backbone has looked at the pictures too.

    Two pictures are near duplicates when their perceptual hashes differ in at most `NEAR_BITS`, mirrored or not, and
    the cosine of their embeddings is at least `NEAR_COSINE`; or in at most `FAR_BITS` with at least `FAR_COSINE`.
    Pictures of one page, such as one observation of an animal, are of one group too.

    Args:
        embeddings: float32 (n, d), of length 1, in the order of `dataset.records`.

    Returns:
        The set with new groups, and the pairs that stand in two classes, the most alike first (`MOST_TWINS` of them at
        most); these are flagged.
    """
    targets = dataset.targets
    families = _Families(len(targets))
    families.join(*_pairs_of_one_page(dataset.records))
    flagged = np.zeros(len(targets), dtype=bool)
    twins = np.zeros((2, 0), dtype=np.int64), np.zeros(0, dtype=embeddings.dtype)
    for first, second, distances in near_pairs(dataset.records, FAR_BITS):
        crossing = targets[first] != targets[second]
        # What others have joined already needs no look: a thousand copies would be half a million pairs.
        open_ = crossing | families.are_apart(first, second)
        first, second, distances, crossing = (values[open_] for values in (first, second, distances, crossing))
        cosines = _cosines(embeddings, first, second)
        alike = cosines >= np.where(distances <= NEAR_BITS, NEAR_COSINE, FAR_COSINE)
        families.join(first[alike], second[alike])
        crossing &= alike
        flagged[first[crossing]] = flagged[second[crossing]] = True
        twins = _most_alike(*twins, np.stack([first[crossing], second[crossing]]), cosines[crossing])
    records = tuple(
        replace(record, group=group, flags=(NEAR_IN_TWO_CLASSES,) if is_flagged else ())
        for record, group, is_flagged in zip(dataset.records, families.numbers(), flagged, strict=True)
    )
    (firsts, seconds), cosines = twins
    found = [Twins(records[i], records[j], float(c)) for i, j, c in zip(firsts, seconds, cosines, strict=True)]
    return replace(dataset, records=records), found


def perceptual_hash(picture: Image.Image) -> int:
    """64-bit perceptual hash: the signs of the 8 x 8 lowest frequencies (DCT) of a 32 x 32 grey thumbnail.

    On photos, half the size at JPEG quality 60 changes at most 4 bits.
    """
    # Here, as it takes a third of all that a command imports before it can start on anything else.
    from scipy.fft import dctn

    grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    return int.from_bytes(np.packbits(dctn(grey)[:8, :8] > 0).tobytes())


# Mirroring a picture turns the sign of its odd horizontal frequencies round.
_MIRROR = np.uint64(int.from_bytes(np.packbits(np.tile(np.arange(8) % 2 == 1, (8, 1))).tobytes()))


def near_pairs(records: Sequence[Record], bits: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs whose perceptual hashes differ in at most `bits`, mirrored or not; in parts, as there may be many.

    Returns:
        Three int64 arrays of shape (pairs,): the positions of the two records, the first before the second, and the
        bits that differ.
    """
    own = np.array([int(str(record.phash), 16) for record in records], dtype=np.uint64)
    found: list[np.ndarray] = []
    waiting = 0
    for index in range(len(own) - 1):
        rest = own[index + 1 :]
        distance = np.minimum(
            np.bitwise_count(rest ^ own[index]),
            np.bitwise_count(rest ^ (own[index] ^ _MIRROR)),
        )
        near = np.flatnonzero(distance <= bits)
        if len(near):
            found.append(np.stack([np.full(len(near), index), near + index + 1, distance[near]]))
            waiting += len(near)
        if found and (waiting >= PART or index == len(own) - 2):
            first, second, distances = np.concatenate(found, axis=1)
            found, waiting = [], 0
            yield first, second, distances


class _Families:
    """Which of `count` pictures belong together, by pairs that arrive in parts."""

    def __init__(self, count: int) -> None:
        self._of = np.arange(count)

    def are_apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Bool (pairs,): whether nothing has joined the two yet."""
        return self._of[first] != self._of[second]

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Join the two of each pair, int64 (pairs,) both, and with them their families."""
        if len(first):
            count = len(self._of)
            graph = coo_array(
                (np.ones(len(first), dtype=bool), (self._of[first], self._of[second])), shape=(count, count)
            )
            self._of = connected_components(graph, directed=False)[1][self._of]

    def numbers(self) -> list[int]:
        """The number of each picture's family: 0 for the first picture's, and so on in the order of the pictures."""
        _, starts, inverse = np.unique(self._of, return_index=True, return_inverse=True)
        return [int(number) for number in np.argsort(np.argsort(starts))[inverse]]


def _cosines(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    parts = [slice(start, start + PART) for start in range(0, len(first), PART)]
    cosines = [np.einsum("nd,nd->n", embeddings[first[part]], embeddings[second[part]]) for part in parts]
    return np.concatenate([np.zeros(0, dtype=embeddings.dtype), *cosines])


def _most_alike(
    pairs: np.ndarray, cosines: np.ndarray, more_pairs: np.ndarray, more_cosines: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The `MOST_TWINS` pairs, int64 (2, pairs), with the highest cosines, these first."""
    pairs, cosines = np.concatenate([pairs, more_pairs], axis=1), np.concatenate([cosines, more_cosines])
    order = np.lexsort((pairs[0], pairs[1], -cosines))[:MOST_TWINS]
    return pairs[:, order], cosines[order]


def _pairs_of_one_page(records: Sequence[Record]) -> np.ndarray:
    """Positions of pictures of the same page, int64 (2, pairs): each with the next one of its page."""
    pages: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        if record.page_url:
            pages.setdefault(record.page_url, []).append(index)
    pairs = [pair for page in pages.values() if len(page) <= MOST_OF_ONE_PAGE for pair in itertools.pairwise(page)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _is_near(record: Record, hashes: Sequence[int]) -> bool:
    own = int(str(record.phash), 16)
    return any(
        min((own ^ other).bit_count(), (own ^ other ^ int(_MIRROR)).bit_count()) <= NEAR_BITS for other in hashes
    )
