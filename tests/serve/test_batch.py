"""Many pictures at once: zips of every kind, limits, and the table."""

import csv
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.serve.batch import Item, NoAnswer, Result, as_csv, as_json, shown_name, unpack
from tests.helpers.pictures import LABELS, RED, encode, plain, predict_by_color

CONFIG = ServeConfig(max_batch=6, max_upload_bytes=3000, max_batch_bytes=9000)
PICTURE = encode(plain(RED))


def make_zip(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(*paths: Path, config: ServeConfig = CONFIG) -> list[Item]:
    return [plan() for plan in unpack([(path.name, path) for path in paths], config)]


def problems(items: list[Item]) -> list[str]:
    return [item.problem.tell() if item.problem else "" for item in items]


def test_files_and_zips_become_pictures_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    archive = make_zip(tmp_path / "more.zip", {"x/b.png": PICTURE + b"1", "c.png": PICTURE + b"2", "x/": b""})
    items = read(tmp_path / "a.png", archive)
    assert items == [Item("a.png", PICTURE), Item("x/b.png", PICTURE + b"1"), Item("c.png", PICTURE + b"2")]


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "/root/x.png", "C:\\Windows\\y.png", "a/../../b\n\x1b[31m.png"]
    archive = make_zip(tmp_path / "x.zip", dict.fromkeys(names, PICTURE))
    before = sorted(tmp_path.rglob("*"))
    items = read(archive)
    assert [item.content for item in items] == [PICTURE] * 4
    assert [item.name for item in items] == ["etc/passwd", "root/x.png", "Windows/y.png", "a/b  [31m.png"]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_archivers_add_is_passed_over(tmp_path: Path) -> None:
    litter = ["__MACOSX/._a.png", ".DS_Store", "x/._b.png", "x/Thumbs.db"]
    assert [item.name for item in read(make_zip(tmp_path / "x.zip", dict.fromkeys([*litter, "a.png"], b"x")))] == [
        "a.png"
    ]


def test_a_zip_bomb_stops_at_the_limits(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "bomb.zip", {f"{n}.png": bytes(10_000_000) for n in range(3)})
    assert bomb.stat().st_size < 60_000
    tracemalloc.start()
    items = read(bomb, config=ServeConfig(max_upload_bytes=1_000_000, max_batch_bytes=2_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert problems(items) == ["The file is larger than 1 MB."] * 3
    assert not any(item.content for item in items)


def test_all_together_are_bounded_too(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {f"{n}.bin": bytes(2900) for n in range(5)})
    items = read(archive)
    assert [len(item.content) for item in items] == [2900, 2900, 2900, 0, 0]
    assert problems(items)[3:] == ["All files together are larger than 0.009 MB."] * 2


def test_so_are_their_number_and_one_sentence_tells_of_the_rest(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {f"{n}.png": b"x" for n in range(20)})
    items = read(archive)
    assert len(items) == 7
    assert problems(items)[-1] == "14 more pictures were left out. At most 6 are taken at a time."


def test_a_table_of_contents_without_end_is_not_read(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {f"{n}": b"" for n in range(300)})
    assert problems(read(archive, config=ServeConfig(max_batch=5))) == ["The zip holds far too many files."]


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"a.png": PICTURE})
    items = read(make_zip(tmp_path / "x.zip", {"inner.png": inner.read_bytes()}))
    assert problems(items) == ["A zip within a zip is not opened."]


def test_a_picture_with_a_zip_behind_it_is_a_picture(tmp_path: Path) -> None:
    both = PICTURE + make_zip(tmp_path / "x.zip", {"a.png": b"x"}).read_bytes()
    (tmp_path / "both.png").write_bytes(both)
    assert read(tmp_path / "both.png") == [Item("both.png", both)]


def test_damaged_locked_and_empty_zips_are_told(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "x.zip", {"a.png": PICTURE * 3}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    start = whole.index(PICTURE)
    (tmp_path / "crc.zip").write_bytes(whole[:start] + b"?" + whole[start + 1 :])
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    strange = bytearray(whole)
    strange[8] = strange[whole.index(b"PK\x01\x02") + 10] = 97
    (tmp_path / "strange.zip").write_bytes(strange)
    empty = make_zip(tmp_path / "empty.zip", {})
    assert problems(read(*(tmp_path / f"{name}.zip" for name in ("cut", "crc", "locked", "strange")), empty)) == [
        "The zip is damaged and cannot be opened.",
        "The file is damaged in the zip, or packed in a way that cannot be opened.",
        "The file is locked with a password.",
        "The file is damaged in the zip, or packed in a way that cannot be opened.",
        "The zip holds no files.",
    ]


@pytest.mark.parametrize("name", ["", "/", "..", "x" * 5000, "\ud800.png", "a\u202eb.png"])
def test_any_name_can_be_shown(name: str) -> None:
    shown = shown_name(name)
    assert 0 < len(shown) <= 100
    assert shown.isprintable()


RESULTS = [
    Result('=cmd|"/c calc"!A1.png', predict_by_color(plain(RED))),
    Result("b.png", Prediction("teddy", dict.fromkeys(LABELS, 1 / 3), 0.1, False, 0.5)),
    Result("c.txt", problem=NoAnswer("not-a-picture")),
]


def test_the_table_runs_nothing_and_says_not_sure() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(RESULTS, LABELS))))
    assert list(rows[0]) == ["file", "label", "closest", *LABELS, "familiarity", "familiar", "threshold", "error"]
    assert [row["file"][0] for row in rows] == ["'", "b", "c"]
    assert [row["label"] for row in rows] == ["grizzly", "not sure", ""]
    assert [row["closest"] for row in rows] == ["grizzly", "teddy", ""]
    assert float(rows[0]["grizzly"]) == 0.97
    assert rows[2]["error"].startswith("This is not a picture")


def test_labels_that_look_like_formulas_are_escaped_too() -> None:
    prediction = Prediction("@SUM(A1)", {"@SUM(A1)": 1.0, "+1": 0.0}, 0.9, True, 0.5)
    rows = list(csv.reader(io.StringIO(as_csv([Result("a", prediction)], ("@SUM(A1)", "+1")))))
    assert rows[0][3:5] == ["'@SUM(A1)", "'+1"]
    assert rows[1][1] == "'@SUM(A1)"


def test_json_has_the_answer_or_the_reason() -> None:
    first, second, third = as_json(RESULTS)
    assert (first["label"], first["familiar"]) == ("grizzly", True)
    assert (second["label"], second["closest"], second["familiar"]) == ("not sure", "teddy", False)
    assert set(third) == {"file", "error"}
