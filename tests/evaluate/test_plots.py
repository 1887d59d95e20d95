"""Labels in plots: in letters where a font has them, else a number; never boxes. The fonts are made here."""

import json
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from spotter.data.dataset import Dataset, Record
from spotter.evaluate.held_out import write_evaluation
from spotter.evaluate.metrics import Evaluation, Familiarity, evaluate
from spotter.evaluate.plots import choose_lettering, plot_confusion, plot_top_losses

KNOWN = Familiarity(0.5, 0.95, 5)
LABELS = ("बिल्ली", "แมว", "猫", "고양이", "বিড়াল", "பூனை", "ድመት", "მაჩვი", "قطة", "cat", "ね‌こ")


def make_font(path: Path, letters: str, name: str) -> Path:
    """A font in which each of these letters is a black square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    codes = sorted({ord(letter) for letter in letters})
    builder.setupGlyphOrder([".notdef", *(f"u{code:x}" for code in codes)])
    builder.setupCharacterMap({code: f"u{code:x}" for code in codes})
    builder.setupGlyf(dict.fromkeys(builder.font.getGlyphOrder(), square))
    builder.setupHorizontalMetrics(dict.fromkeys(builder.font.getGlyphOrder(), (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    known = list(font_manager.fontManager.ttflist)
    yield
    font_manager.fontManager.ttflist[:] = known
    choose_lettering.cache_clear()


def judge(labels: tuple[str, ...], folder: Path) -> tuple[Evaluation, Dataset]:
    count = len(labels)
    Image.new("RGB", (64, 64), "tan").save(folder / "x.jpg")
    records = [Record(label, "folder", label, label, 0, "kept", file="x.jpg") for label in labels]
    probabilities = np.full((count, count), 0.5 / max(1, count - 1)) + np.roll(np.eye(count), 1, axis=1) * 0.4
    evaluation = evaluate(probabilities, np.arange(count), labels, ["x.jpg"] * count, KNOWN, "a test")
    return evaluation, Dataset(folder, labels, tuple(records), ())


def draw(labels: tuple[str, ...], fonts: tuple[Path, ...] | None, folder: Path, *, losses: bool = True) -> None:
    """Both plots, or the matrix alone; matplotlib warns of each letter that becomes a box."""
    evaluation, dataset = judge(labels, folder)
    lettering = choose_lettering(labels, fonts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_confusion(evaluation, folder / "confusion.png", lettering)
        if losses:
            plot_top_losses(evaluation, dataset, folder / "top.png", lettering)


@pytest.mark.parametrize(
    "labels",
    [
        ("x" * 60, "y" * 60),
        ("American black bear (Ursus americanus)", "brown bear (Ursus arctos)", "teddy"),
        tuple(f"golden-mantled ground squirrel of kind {number}" for number in range(11)),
    ],
    ids=["without a blank", "three", "eleven"],
)
def test_long_labels_leave_room_for_the_matrix_and_for_each_other(labels: tuple[str, ...], tmp_path: Path) -> None:
    draw(labels, (), tmp_path)
    matrix = np.asarray(Image.open(tmp_path / "confusion.png").convert("L"))
    losses = np.asarray(Image.open(tmp_path / "top.png").convert("L"))
    assert matrix[:, :3].min() == 255, "A label is cut off."
    assert losses[:, :3].min() > 250, "A title is cut off."
    # The one dark cell of each row, of the full height of the matrix.
    dark = np.flatnonzero((matrix < 70).sum(axis=1) > 0.04 * len(matrix))
    assert np.ptp(dark) > len(matrix) / 2


def test_where_no_font_has_the_letters_labels_are_numbers(tmp_path: Path) -> None:
    draw(LABELS, (), tmp_path)
    lettering = choose_lettering(LABELS, ())
    assert {label: lettering.shown[label] for label in ("قطة", "cat")} == {"قطة": "قطة", "cat": "cat"}
    assert (lettering.shown["बिल्ली"], lettering.shown["猫"]) == ("class 1", "class 3")
    assert lettering.numbered == {
        number: label for number, label in enumerate(LABELS, 1) if lettering.shown[label] != label
    }
    assert lettering.style == {}


def test_what_numbers_stand_for_is_told_beside_the_plots(tmp_path: Path) -> None:
    # A letter of private use, which no font of an ordinary system has.
    labels = ("cat", "\U0010abcd")
    evaluation, dataset = judge(labels, tmp_path)
    files = tmp_path / "files"
    files.mkdir()
    write_evaluation(evaluation, None, dataset, files)
    assert {file.name for file in files.iterdir()} == {"confusion.png", "top_losses.png", "metrics.json"}
    assert json.loads((files / "metrics.json").read_bytes())["numbered"] == {"2": labels[1]}


def test_labels_are_written_in_a_font_that_has_all_their_letters(tmp_path: Path) -> None:
    cat, half = make_font(tmp_path / "a.ttf", "猫犬", "Cats"), make_font(tmp_path / "b.ttf", "บแม", "Half of Thai")
    (tmp_path / "broken.ttf").write_bytes(cat.read_bytes()[:200])
    fonts = (tmp_path / "gone.ttf", tmp_path / "broken.ttf", half, cat)
    labels = ("猫 cat", "แมว", "dog")
    lettering = choose_lettering(labels, fonts)
    assert lettering.families == ("Cats",)
    assert lettering.shown == {"猫 cat": "猫 cat", "แมว": "class 2", "dog": "dog"}
    draw(labels, fonts, tmp_path)
    with Image.open(tmp_path / "confusion.png") as picture:
        dark = np.asarray(picture.convert("L")) < 40
    # The square that stands for the letter is there, solid and black: no other text or cell has one.
    runs = np.lib.stride_tricks.sliding_window_view(dark[:, : dark.shape[1] // 4], (9, 9)).all(axis=(2, 3))
    assert runs.any()


@pytest.mark.slow
def test_letters_of_every_script_never_become_boxes(tmp_path: Path) -> None:
    letters: dict[str, str] = {}
    for code in range(0x300, 0x1FBF0, 7):
        if unicodedata.category(chr(code)) in {"Lo", "Ll", "Lu", "Mn", "Mc"}:
            letters.setdefault(unicodedata.name(chr(code), "x").split()[0], chr(code))
    labels = tuple(f"a{letter}{number}" for number, letter in enumerate(letters.values()))
    assert len(labels) > 120
    for start in range(0, len(labels), 65):
        # The highest losses have nine of them, so the first will do.
        draw(labels[start : start + 65], (), tmp_path, losses=start == 0)
    # With what this machine has, whatever that is.
    draw(LABELS, None, tmp_path)
