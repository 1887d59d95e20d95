"""Thumbnails of training pictures with their credits: chosen and written when a revision is published."""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from safetensors.numpy import save as save_tensors

from spotter.bundle.thumbnails import Thumbnail
from spotter.data.cache import FOLDER, measure_once
from spotter.data.dataset import Record
from spotter.utils.licenses import may_be_shown

# Pixels of the longer side; JPEG quality; how many at most, so that the file stays near 3 MB.
SIDE, QUALITY, MOST = 144, 72, 600


def choose_thumbnails(
    records: Sequence[Record], embeddings: np.ndarray, reference: np.ndarray, most: int = MOST
) -> dict[int, int]:
    """Choose rows of the reference that get a thumbnail, and the picture for each: row -> index into `records`.

    Only pictures that may be published are chosen; of too many, the classes get the same number. Where the reference
    is thinned, a picture stands for the row that it is nearest to, of `most` rows spread evenly.

    Args:
        records, embeddings: of the pictures learnt from, in the same order; embeddings (n, d), length 1.
        reference: float (m, d): the embeddings themselves, or fewer that stand for them.
    """
    shown = [index for index, record in enumerate(records) if may_be_shown(record.backend, record.license_id)]
    if not shown:
        return {}
    if len(reference) == len(embeddings):
        seen: dict[str, int] = defaultdict(int)
        turns = []
        for index in shown:
            turns.append((seen[records[index].label], index))
            seen[records[index].label] += 1
        return {index: index for index in sorted(index for _, index in sorted(turns)[:most])}
    rows = np.unique(np.linspace(0, len(reference) - 1, most).round().astype(int))
    nearest = (reference[rows] @ embeddings[shown].T).argmax(axis=1)
    return {int(row): shown[index] for row, index in zip(rows, nearest, strict=True)}


def write_thumbnails(path: Path, chosen: dict[int, int], records: Sequence[Record], folder: Path) -> None:
    """Write the chosen pictures of `folder`, small, with their credits; nothing when none is chosen.

    Raises:
        DatasetUnwritable: what was made small cannot be kept for the next training.
    """
    if not chosen:
        return
    mine = [records[index] for index in chosen.values()]
    # What they are made by is in the name.
    place = folder / FOLDER / f"thumbnails-{SIDE}-{QUALITY}-{PIL.__version__}.json"
    made = measure_once(
        place, [each.sha256 for each in mine], lambda at: _encode(folder / str(mine[at].file)), otherwise=""
    )
    # One that is gone by now is not shown.
    thumbnails = {
        row: _credit(record, base64.b64decode(jpeg))
        for row, record, jpeg in zip(chosen, mine, made, strict=True)
        if jpeg
    }
    if thumbnails:
        path.write_bytes(encode_thumbnails(thumbnails))


def encode_thumbnails(thumbnails: dict[int, Thumbnail]) -> bytes:
    """The contents of `thumbnails.safetensors`: `rows` int64 (k,), where each JPEG of `jpegs` `ends` int64 (k,), and
    `credits`, a JSON list of objects; the last two uint8."""
    jpegs = [thumbnail.jpeg for thumbnail in thumbnails.values()]
    credits = [
        {name: value for name, value in asdict(thumbnail).items() if name != "jpeg"}
        for thumbnail in thumbnails.values()
    ]
    return save_tensors(
        {
            "rows": np.array(list(thumbnails), dtype=np.int64),
            "ends": np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64),
            "jpegs": np.frombuffer(b"".join(jpegs), dtype=np.uint8),
            "credits": np.frombuffer(json.dumps(credits, ensure_ascii=False).encode(), dtype=np.uint8),
        }
    )


def _encode(path: Path) -> str:
    """A stored picture, small, as a JPEG in base64."""
    buffer = io.BytesIO()
    with Image.open(path, formats=["JPEG"]) as picture:
        # Stored pictures are upright and bare; a JPEG decodes faster at half its size.
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        picture.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()


def _credit(record: Record, jpeg: bytes) -> Thumbnail:
    return Thumbnail(
        jpeg,
        record.label,
        creator=record.creator or "",
        license_id=record.license_id if record.backend != "folder" else "",
        license_url=record.license_url or "",
        page_url=record.page_url or "",
    )
