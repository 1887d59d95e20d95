"""Video files: a picture every so often, and the times at which something was to be seen.

Decoded by FFmpeg through PyAV. What cannot be decoded in the middle is left out; a file that is cut short is read up to
there.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image

from spotter.camera.events import Event, make_event
from spotter.camera.frames import Frame
from spotter.camera.tone_mapping import to_standard_range
from spotter.errors import AnswersUnwritable, BadPicture, BadVideo
from spotter.inference.prediction import table_cells, table_columns
from spotter.inference.predictor import Predictor
from spotter.utils.tables import write_rows

_log = logging.getLogger(__name__)

# Demuxers that read one file, and no list of others somewhere else.
FORMATS = "asf,avi,matroska,mov,mpeg,mpegts,mpegvideo"
COLUMNS = ("start_s", "end_s", "best_s", "pictures")
# Stretches with less than this between them are one, and less than so many pictures.
GAP_S, GAP_PICTURES = 5.0, 2
# Packets that cannot be decoded, in a row, after which nothing better is expected.
MOST_BAD = 100
# Pictures that are decoded ahead of their answers.
AHEAD = 16
# What FFmpeg calls the colours of a film that does not tell how they were written (AVCOL_SPC_UNSPECIFIED).
UNSPECIFIED = 2
# Pixels of the longer side from which films are in high definition, and their colours in those of ITU-R BT.709.
HIGH_DEFINITION = 1280
# Pixels that are told to be longer than this are a mistake: no camera has them.
MOST_STRETCHED = 4.0


def read_frames(path: Path, every_s: float) -> Iterator[tuple[float, Image.Image]]:
    """Pictures of a video, upright: the first one, and then one every `every_s` seconds of its own time.

    Returns:
        The time of each in seconds since the start, and the picture.

    Raises:
        BadVideo: it cannot be opened, has no video in it, or none of its pictures can be decoded.
    """
    found, due, start = 0, 0.0, None
    try:
        # Bytes that are no text in the names of tracks and the like end nothing.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        with av.open(f"file:{path.absolute()}", metadata_errors="replace", container_options=options) as container:
            if not container.streams.video:
                raise BadVideo(f"There is no video in {str(path)!r}.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in _decode(container, stream):
                at = frame.time if frame.time is not None else found * every_s
                start = at if start is None else start
                if at - start >= due:
                    found += 1
                    due = max(due + every_s, at - start)
                    yield at - start, as_shown(frame, float(stream.sample_aspect_ratio or 1))
    except av.FFmpegError as error:
        if not found:
            raise BadVideo(f"{str(path)!r} cannot be read as a video: {error.strerror}.") from error
        _log.warning("%s is cut short or damaged: read up to %.0f s (%s)", path, due, error.strerror)
    if not found:
        raise BadVideo(f"There is no picture in the video {str(path)!r}.")


def _decode(container: "av.container.InputContainer", stream: "av.VideoStream") -> Iterator[VideoFrame]:
    bad = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
            bad = 0
        except av.InvalidDataError:
            bad += 1
            if bad > MOST_BAD:
                raise


def as_shown(frame: VideoFrame, pixel_aspect: float = 1.0) -> Image.Image:
    """A frame as an RGB picture, as players show it: of standard range (see `tone_mapping`), turned as its metadata
    say, as phones write films on their side, and stretched. Recorders of security cameras write half of all columns,
    and PAL cameras pixels that are no squares.

    Args:
        pixel_aspect: the width of a pixel divided by its height.
    """
    picture = to_standard_range(frame.to_image(src_colorspace=_colour_matrix(frame)), frame.color_trc)
    if pixel_aspect != 1 and 1 / MOST_STRETCHED <= pixel_aspect <= MOST_STRETCHED:
        picture = picture.resize((max(1, round(picture.width * pixel_aspect)), picture.height))
    turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    turn = turns.get(round(frame.rotation) % 360)
    return picture.transpose(turn) if turn is not None else picture


def _colour_matrix(frame: VideoFrame) -> Colorspace | None:
    """How the colours of a frame were written; None: as it says itself. Films of many cameras do not say it, and then
    players go by the size. FFmpeg would take all of them for the old way, BT.601."""
    if frame.colorspace != UNSPECIFIED or max(frame.width, frame.height) < HIGH_DEFINITION:
        return None
    return Colorspace.ITU709


def find_events(path: Path, predictor: Predictor, every_s: float) -> Iterator[Event]:
    """The events of a video: stretches in which something is shown that the model knows.

    Raises:
        BadVideo: as `read_frames`.
    """
    event: list[Frame] = []
    gap = max(GAP_S, GAP_PICTURES * every_s)
    for frame in _answer(path, predictor, every_s):
        if event and frame.at - event[-1].at > gap:
            yield make_event(event, predictor)
            event = []
        if frame.answer and frame.answer.familiar:
            event.append(frame)
    if event:
        yield make_event(event, predictor)


def write_events(events: Iterable[Event], path: Path, predictor: Predictor) -> int:
    """Write a CSV table of events, with their times in seconds; return how many there are.

    Raises:
        AnswersUnwritable: it is to be something else, it is there already, or it cannot be written.
        BadVideo: as `find_events`.
    """
    if path.suffix != ".csv":
        raise AnswersUnwritable(f"The events of a video go to a .csv file, not to {str(path)!r}.")
    rows = [_cells(event, predictor) for event in events]
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            columns = table_columns(predictor.labels, predictor.card.advice, (*COLUMNS, "revision"))
            write_rows(file, [[*COLUMNS, *columns, "revision"]])
            write_rows(file, rows)
    except FileExistsError as error:
        raise AnswersUnwritable(f"{str(path)!r} already exists; remove it, or name another file.") from error
    except OSError as error:
        raise AnswersUnwritable(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    return len(rows)


def _cells(event: Event, predictor: Predictor) -> list[Any]:
    times = [round(at, 3) for at in (event.start, event.end, event.best.at)]
    return [
        *times,
        len(event.frames),
        *table_cells(event.answer, predictor.labels, predictor.card.advice),
        predictor.revision,
    ]


def _answer(path: Path, predictor: Predictor, every_s: float) -> Iterable[Frame]:
    frames = read_frames(path, every_s)
    while part := list(islice(frames, AHEAD)):
        for (at, _), answer in zip(part, predictor.predict_each(picture for _, picture in part), strict=True):
            if isinstance(answer, BadPicture):
                _log.info("the picture at %.1f s cannot be used: %s", at, answer)
                continue
            yield Frame(f"{at:.1f} s", "", at, answer)
