"""Pictures as a camera writes them: with the time in their EXIF data, or the time of the file alone; and films."""

import csv
import io
import os
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from tests.helpers.drawing import draw

NOON = datetime(2026, 6, 1, 12)


def shoot(path: Path, kind: str, seed: int, second: float, *, exif: bool = True, shrink: int = 3) -> Path:
    """Write a drawn picture, or an empty one ("empty"), taken so many seconds after noon."""
    picture = Image.effect_noise((60, 47), 90).convert("RGB") if kind == "empty" else draw(kind, seed).reduce(shrink)
    moment = NOON + timedelta(seconds=int(second))
    told = Image.Exif()
    if exif:
        told.get_ifd(0x8769)[0x9003] = moment.strftime("%Y:%m:%d %H:%M:%S")
        told.get_ifd(0x8769)[0x9291] = f"{second % 1:.3f}"[2:]
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92, exif=told)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    if not exif:
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table of events in CSV, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def film(path: Path, pictures: list[Image.Image], per_second: int = 5, aspect: Fraction = Fraction(1)) -> Path:
    """Write a film of pictures of one size. `aspect` is the width of a pixel divided by its height."""
    width, height = (side // 2 * 2 for side in pictures[0].size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=per_second)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.sample_aspect_ratio = aspect
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_image(picture.resize((width, height)))
            frame.pts, frame.time_base = number, Fraction(1, per_second)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
