"""A frame: one picture of a camera, when it was taken, and what was said of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from spotter.errors import BadPicture
from spotter.images import own_reason
from spotter.inference.prediction import Prediction

EXIF_IFD, TAKEN, FRACTION = 0x8769, 0x9003, 0x9291


@dataclass(frozen=True)
class FileKey:
    """A state of a file: its name below the folder, its size in bytes, and when it was last changed, in nanoseconds."""

    name: str
    size: int
    changed: int


@dataclass(frozen=True)
class Frame:
    """A picture of a camera.

    `file` is its name for people, below the folder that is watched, or in a video its time; `camera` tells cameras
    apart. `at` is the time by the camera's own clock, in seconds since 1970 as if that clock showed UTC, or in a video
    since its start. `answer` is None where it cannot be read. `key` is its file, None in a video. `moment` is its
    time in seconds since 1970 in UTC, where that is known.
    """

    file: str
    camera: str
    at: float
    answer: Prediction | None = None
    key: FileKey | None = None
    moment: float | None = None


def seconds_between(one: Frame, other: Frame) -> float:
    """How long it was from one frame to another; negative where the other was first."""
    if one.moment is not None and other.moment is not None:
        return other.moment - one.moment
    return other.at - one.at


def in_order(frames: Iterable[Frame]) -> list[Frame]:
    """Frames by the times at which they were taken, then by camera and file, also through the hour that comes twice."""
    frames = list(frames)
    # To the clock as it was at the first one, so that frames that tell nothing else than their clock fit in.
    moment, at = min(((each.moment, each.at) for each in frames if each.moment is not None), default=(0.0, 0.0))
    shift = at - moment
    return sorted(
        frames,
        key=lambda frame: (frame.at if frame.moment is None else frame.moment + shift, frame.camera, frame.file),
    )


def taken_at(path: Path) -> tuple[float, float | None]:
    """When a picture was taken: by its EXIF data, else by the time of the file, both as the clocks on site showed it.

    Returns:
        Seconds since 1970, as if that clock showed UTC, and the `moment`, None by EXIF data: those of most cameras say
        nothing of a time zone.

    Raises:
        OSError: there is no such file.
    """
    try:
        with own_reason(_unreadable), Image.open(path) as picture:
            exif = picture.getexif().get_ifd(EXIF_IFD)
        if TAKEN in exif:
            with own_reason(_unreadable):
                moment = datetime.strptime(str(exif[TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
                return _seconds(moment) + _fraction(exif.get(FRACTION)), None
    except BadPicture:
        # It is no picture, its metadata are damaged, or the clock was never set.
        pass
    changed = path.stat().st_mtime
    return _seconds(datetime.fromtimestamp(changed)), changed


def clock_words(at: float) -> str:
    """A time by the camera's clock, as ISO 8601 without a zone."""
    return datetime.fromtimestamp(at, tz=UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def _unreadable() -> BadPicture:
    return BadPicture("corrupt", "The metadata cannot be read.")


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()


def _fraction(value: object) -> float:
    """The part of a second in digits, as EXIF gives it beside the time."""
    digits = str(value).strip("\0 ") if value is not None else ""
    if not (digits.isascii() and digits.isdecimal()):
        return 0.0
    return float(f"0.{digits}")
