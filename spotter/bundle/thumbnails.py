"""Thumbnails of training pictures with their credits: read when a revision is served."""

import json
from dataclasses import dataclass

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from spotter.errors import BrokenModel


@dataclass(frozen=True)
class Thumbnail:
    """A training picture, small, and whom to name for it ("" where there is nothing to say)."""

    jpeg: bytes
    label: str
    creator: str = ""
    license_id: str = ""
    license_url: str = ""
    page_url: str = ""


def decode_thumbnails(data: bytes) -> dict[int, Thumbnail]:
    """Read what `encode_thumbnails` wrote: row of the reference -> thumbnail.

    Raises:
        BrokenModel: it does not hold what it should.
    """
    try:
        tensors = load_tensors(data)
        credits = json.loads(tensors["credits"].tobytes())
        jpegs, ends = tensors["jpegs"].tobytes(), tensors["ends"].tolist()
        starts = [0, *ends][: len(ends)]
        return {
            row: Thumbnail(jpegs[start:end], **{str(name): str(value) for name, value in credit.items()})
            for row, start, end, credit in zip(tensors["rows"].tolist(), starts, ends, credits, strict=True)
        }
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenModel("The model's thumbnails.safetensors cannot be read.") from error
