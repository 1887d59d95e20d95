"""Films of high dynamic range: written with the curves of ITU-R BT.2100, and read in the colours of other films."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from spotter.camera.tone_mapping import HLG, PQ, to_standard_range
from spotter.camera.video import read_frames

SIZE = 160
COLOURS = [(200, 40, 40), (40, 160, 60), (40, 60, 200), (128, 128, 128), (225, 225, 225), (60, 40, 30), (0, 0, 0)]
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
RED, BLUE = 0.2627, 0.0593


def light_of(colour: tuple[int, int, int]) -> np.ndarray:
    """Of a colour of sRGB: linear, of BT.2020, 1 for paper."""
    share = np.array(colour) / 255
    return TO_BT2020 @ np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def write_pq(light: np.ndarray) -> np.ndarray:
    root = (203 * light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375


def write_hlg(light: np.ndarray) -> np.ndarray:
    shown = 203 * light / 1000
    brightness = max(float(shown @ [RED, 1 - RED - BLUE, BLUE]), 1e-12)
    scene = shown * brightness ** (1 / 1.2 - 1)
    curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)


def write_film(path: Path, signal: np.ndarray, transfer: int, told: bool = True) -> Path:
    """A film of one colour, of ten bits."""
    bright = signal @ [RED, 1 - RED - BLUE, BLUE]
    values = (
        64 + 876 * bright,
        512 + 896 * (signal[2] - bright) / (2 * (1 - BLUE)),
        512 + 896 * (signal[0] - bright) / (2 * (1 - RED)),
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p10le"
        coded = stream.codec_context
        coded.colorspace, coded.color_primaries, coded.color_range = 9, 9, 1
        coded.color_trc = transfer if told else 1
        frame = av.VideoFrame(SIZE, SIZE, "yuv420p10le")
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(np.full(plane.buffer_size // 2, round(float(value)), dtype="<u2").tobytes())
        frame.colorspace, frame.color_primaries, frame.color_trc = 9, 9, coded.color_trc
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(("transfer", "write"), [(PQ, write_pq), (HLG, write_hlg)], ids=["PQ", "HLG"])
def test_colours_are_those_of_a_film_of_standard_range(transfer: int, write, ending: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for colour in COLOURS:
        path = write_film(tmp_path / f"film.{ending}", write(light_of(colour)), transfer)
        ((_, picture),) = read_frames(path, 1)
        assert picture.getpixel((80, 80)) == pytest.approx(colour, abs=9), colour


def test_the_same_numbers_in_a_film_of_standard_range_stay_as_they_are(tmp_path: Path) -> None:
    signal = write_pq(light_of((200, 40, 40)))
    ((_, picture),) = read_frames(write_film(tmp_path / "film.mp4", signal, PQ, told=False), 1)
    assert picture.getpixel((80, 80)) == pytest.approx(tuple(255 * signal), abs=3)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_is_brighter_than_paper_is_still_told_apart(transfer: int) -> None:
    picture = Image.fromarray(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2))
    values = np.asarray(to_standard_range(picture, transfer)).astype(int)[:, 0]
    assert (np.diff(values, axis=0) >= 0).all()
    assert np.ptp(values, axis=1).max() <= 2  # grey stays grey
    assert values[0].max() == 0
    assert values[-1].min() == 255
    paper = 148 if transfer == PQ else 191
    assert 235 < values[paper, 0] < 248
    assert len(np.unique(values[paper:, 0])) > 5


def test_other_films_are_left_alone() -> None:
    picture = Image.effect_noise((20, 20), 90).convert("RGB")
    for transfer in (1, 2, 13):
        assert to_standard_range(picture, transfer) is picture
