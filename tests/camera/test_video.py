"""Films: a picture every so often, upright, and the stretches in which something is shown."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from spotter.camera.video import read_frames
from spotter.cli import main
from spotter.errors import BadVideo
from tests.conftest import Revision
from tests.helpers.camera import film, read_table
from tests.helpers.drawing import draw

PER_SECOND = 5
# The shares of red and of blue in the brightness (ITU-R BT.601 and BT.709).
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
# The matrix of a track, as phones write it for films on their side: a quarter turn clockwise, and half a turn.
UPRIGHT = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
TURNS = {
    90: np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes(),
    180: np.array([-0x10000, 0, 0, 0, -0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes(),
    270: np.array([0, -0x10000, 0, 0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes(),
}


def empty() -> Image.Image:
    return Image.effect_noise((120, 92), 90).convert("RGB")


def corner() -> Image.Image:
    """Black, with a red quarter at the top left."""
    picture = Image.new("RGB", (120, 80))
    picture.paste((250, 10, 10), (0, 0, 60, 40))
    return picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing for 12 s, a disc for 6 s, nothing for 12 s, a cross for 6 s."""
    disc, cross = (draw(kind, 90).resize((120, 92)) for kind in ("disc", "cross"))
    stretches = [(empty(), 12), (disc, 6), (empty(), 12), (cross, 6)]
    pictures = [picture for picture, seconds in stretches for _ in range(seconds * PER_SECOND)]
    return film(tmp_path_factory.mktemp("film") / "clip.mp4", pictures, PER_SECOND)


def classify(prebuilt: Revision, video: Path, table: Path, *options: str) -> int:
    return main(["classify", str(video), "--model", str(prebuilt.store), "--to", str(table), *options])


def test_a_row_for_each_stretch_in_which_something_is_shown(prebuilt: Revision, clip: Path, tmp_path: Path) -> None:
    table = tmp_path / "events.csv"
    assert classify(prebuilt, clip, table, "--every", "0.5") == 0
    rows = read_table(table)
    assert [row["label"] for row in rows] == ["disc", "cross"]
    for row, (start, end) in zip(rows, [(12, 18), (30, 36)], strict=True):
        assert float(row["start_s"]) == pytest.approx(start, abs=0.6)
        assert float(row["end_s"]) == pytest.approx(end, abs=1.1)
        assert float(row["start_s"]) <= float(row["best_s"]) <= float(row["end_s"])
        assert row["revision"] == prebuilt.revision
    assert classify(prebuilt, clip, table) == 1


@pytest.mark.parametrize("every", [0.2, 1.0, 7.0])
def test_a_picture_so_often(every: float, clip: Path) -> None:
    times = [at for at, _ in read_frames(clip, every)]
    assert times[0] == 0
    assert np.diff(times) == pytest.approx(every, abs=0.21)
    assert len(times) == pytest.approx(36 / every, abs=1.5)


@pytest.mark.parametrize("colour", [(200, 40, 40), (40, 160, 60), (30, 60, 200)], ids=["red", "green", "blue"])
@pytest.mark.parametrize(
    ("size", "matrix", "tagged"),
    [((1280, 720), BT709, False), ((720, 1280), BT709, False), ((640, 480), BT601, False), ((640, 480), BT709, True)],
    ids=["wide", "tall", "small", "small-and-told"],
)
def test_colours_are_those_that_players_show(
    colour: tuple[int, int, int], size: tuple[int, int], matrix: tuple[float, float], tagged: bool, tmp_path: Path
) -> None:
    # As the standards say: shares of red and blue in the brightness, and a range of 16 to 235.
    red, blue = matrix
    r, g, b = (value / 255 for value in colour)
    bright = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - bright) / (2 * (1 - blue)), (r - bright) / (2 * (1 - red))
    planes = [round(16 + 219 * bright), *(round(128 + 224 * value) for value in chroma)]
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if tagged:
            told = stream.codec_context
            told.colorspace = told.color_primaries = told.color_trc = Colorspace.ITU709
            told.color_range = ColorRange.MPEG
        frame = av.VideoFrame(*size, "yuv420p")
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, picture = next(read_frames(path, 1))
    assert picture.getpixel((300, 200)) == pytest.approx(colour, abs=5)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(2), (240, 80)), (Fraction(16, 15), (128, 80)), (Fraction(1), (120, 80)), (Fraction(99), (120, 80))],
    ids=["recorder", "pal", "squares", "mistake"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_pixels_that_are_no_squares_are_stretched(
    aspect: Fraction, size: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    path = film(tmp_path / f"a{suffix}", [corner()] * 3, aspect=aspect)
    _, picture = next(read_frames(path, 1))
    assert picture.size == size
    halves = np.asarray(picture.resize((2, 2), Image.Resampling.BOX))[..., 0]
    assert halves.argmax() == 0
    assert halves[0, 0] > 200


@pytest.mark.parametrize(("degrees", "place"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_a_film_on_its_side_is_turned(degrees: int, place: tuple[int, int], tmp_path: Path) -> None:
    path = film(tmp_path / "a.mov", [corner()] * 5)
    content = path.read_bytes()
    at = content.index(UPRIGHT, content.index(b"tkhd"))
    path.write_bytes(content[:at] + TURNS.get(degrees, UPRIGHT) + content[at + len(UPRIGHT) :])
    _, picture = next(read_frames(path, 1))
    assert picture.size == ((80, 120) if degrees in {90, 270} else (120, 80))
    halves = np.asarray(picture.resize((2, 2), Image.Resampling.BOX))[..., 0]
    assert tuple(np.unravel_index(halves.argmax(), halves.shape))[::-1] == place


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
def test_a_film_that_is_cut_short_is_read_up_to_there(suffix: str, prebuilt: Revision, tmp_path: Path) -> None:
    disc = draw("disc", 91).resize((120, 92))
    path = film(tmp_path / f"a.{suffix}", [disc] * 100, PER_SECOND)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert classify(prebuilt, path, tmp_path / "events.csv") == 0
    (row,) = read_table(tmp_path / "events.csv")
    assert row["label"] == "disc"
    assert 5 < float(row["end_s"]) < 15


def test_what_is_no_film_is_told_in_a_sentence(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = film(tmp_path / "whole.mp4", [draw("disc", 92)] * 10).read_bytes()
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    cases = {
        "text.mp4": b"not a film",
        "empty.mp4": b"",
        # Its table of contents is at the end, and is gone.
        "cut.mp4": whole[: len(whole) // 2],
        "sound.mkv": sound.read_bytes(),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        table = tmp_path / "events.csv"
        assert classify(prebuilt, tmp_path / name, table) == 1
        told = capsys.readouterr().err
        assert "cannot be read as a video" in told or "There is no video in" in told, told
        assert not table.exists()


def test_a_film_opens_no_other_file(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{clip}'\n")
    with pytest.raises(BadVideo):
        list(read_frames(tmp_path / "list.mp4", 1))


def test_the_events_of_a_film_go_to_csv(prebuilt: Revision, clip: Path, tmp_path: Path) -> None:
    assert classify(prebuilt, clip, tmp_path / "events.parquet") == 1
    with pytest.raises(SystemExit):
        classify(prebuilt, clip, tmp_path / "events.csv", "--ray", "local")
    with pytest.raises(SystemExit):
        classify(prebuilt, clip, tmp_path / "events.csv", "--every", "0")
