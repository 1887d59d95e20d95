"""Lessons of the teach page: what is read, what becomes a picture set, and what is refused."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spotter.collect.lesson import LESSON, fill_from_lesson, read_lesson
from spotter.collect.takedown import Takedown
from spotter.config import LessonConfig, TrainConfig
from spotter.data.edit_log import EditLog
from spotter.data.manifest import read_dataset, read_manifest
from spotter.errors import BadLesson, TooFewPictures
from spotter.images import encode_jpeg
from spotter.names import folder_name
from tests.helpers.drawing import draw, encode
from tests.helpers.hostile import memory_below
from tests.helpers.lessons import digest, flat, shapes, tell, write_lesson

PICTURES = shapes(6)
FOUND = {
    "source": "openverse",
    "id": "0c1d",
    "query": "disc toy",
    "rank": 3,
    "image_url": "https://example.org/1.jpg",
    "page_url": "https://example.org/1",
    "title": "A disc",
    "creator": "Ann",
    "creator_url": "https://example.org/ann",
    "license_id": "CC-BY-4.0",
    "license_url": "https://creativecommons.org/licenses/by/4.0/",
    "attribution": '"A disc" by Ann is licensed under CC BY 4.0.',
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """A lesson whose first picture says something else."""
    told = tell(PICTURES)
    told["pictures"][0][key] = value
    return told


def refusal(path: Path, told: object | None = None, **more: Any) -> str:
    """Why a lesson is refused, when it is read or its pictures are stored."""
    write_lesson(path, tell(PICTURES) if told is None else told, more.pop("contents", flat(PICTURES)), **more)
    with pytest.raises(BadLesson) as error:
        fill_from_lesson(read_lesson(path), path.with_suffix(".set"), Takedown())
    return str(error.value)


def test_a_lesson_says_what_to_learn(tmp_path: Path) -> None:
    lesson = read_lesson(write_lesson(tmp_path / "a.zip", tell(PICTURES, title="What is it?"), flat(PICTURES)))
    assert (lesson.recipe.name, lesson.recipe.title, lesson.recipe.labels) == ("shapes", "What is it?", tuple(PICTURES))
    assert lesson.sentence() == "18 pictures: 6 disc, 6 cross, 6 stripes; 0 decisions"
    assert lesson.config.shifts == 0


def test_a_lesson_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "My Shapes.spotter-lesson.zip", tell(PICTURES, name=""), flat(PICTURES))
    assert read_lesson(path).recipe.name == "my-shapes"


def test_with_shifted_views_training_here_makes_as_many_as_ever(tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "a.zip", tell(PICTURES, shifts=1), flat(PICTURES))
    assert read_lesson(path).config.shifts == TrainConfig.shifts


def test_its_pictures_become_a_set_byte_for_byte(tmp_path: Path) -> None:
    lesson = read_lesson(write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES)))
    dataset = fill_from_lesson(lesson, tmp_path / "set", Takedown())
    assert dataset == read_dataset(tmp_path / "set", lesson.recipe.labels)
    assert sorted(path.read_bytes() for path in dataset.paths) == sorted(flat(PICTURES))
    for record in dataset.records:
        assert record.file == f"{folder_name(record.label)}/{str(record.sha256)[:32]}.jpg"
        assert (record.backend, record.license_id, record.fetched_at) == ("folder", "unknown", None)
        assert record.group is not None


def test_a_camera_picture_is_the_owners_own(tmp_path: Path) -> None:
    told = changed("source", "camera")
    dataset = fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "a.zip", told, flat(PICTURES))), tmp_path / "set", Takedown()
    )
    assert {record.backend for record in dataset.records} == {"folder"}


def test_a_found_picture_keeps_its_creator_and_licence(tmp_path: Path) -> None:
    told = tell(PICTURES)
    told["pictures"][0] |= FOUND
    dataset = fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "a.zip", told, flat(PICTURES))), tmp_path / "set", Takedown()
    )
    (record,) = (record for record in dataset.records if record.backend == "openverse")
    assert record.backend_id == "0c1d"
    assert {name: getattr(record, name) for name in FOUND if name not in {"source", "id"}} == {
        name: value for name, value in FOUND.items() if name not in {"source", "id"}
    }
    assert record.fetched_at == "2026-11-29T02:00:00.000Z"


def test_an_own_picture_has_no_licence_whatever_is_said(tmp_path: Path) -> None:
    told = changed("license_id", "CC0-1.0")
    dataset = fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "a.zip", told, flat(PICTURES))), tmp_path / "set", Takedown()
    )
    assert {record.license_id for record in dataset.records} == {"unknown"}


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x"])
def test_an_address_that_is_no_web_page_is_left_out(address: str, tmp_path: Path) -> None:
    told = changed("page_url", address)
    dataset = fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "a.zip", told, flat(PICTURES))), tmp_path / "set", Takedown()
    )
    assert {record.page_url for record in dataset.records} == {None}


def test_decisions_of_the_page_go_on_in_the_log_of_the_set(tmp_path: Path) -> None:
    told = tell(PICTURES)
    mine = told["pictures"][0]["sha256"]
    edit = {
        "id": "1" * 32,
        "at": "2026-11-29T02:01:00.000Z",
        "who": "teach page",
        "action": "relabel",
        "sha256": mine,
        "from": "disc",
        "to": "cross",
        "why": "doubtful",
        "batch": "2" * 32,
    }
    path = write_lesson(tmp_path / "a.zip", told | {"edits": [edit]}, flat(PICTURES))
    for _ in range(2):
        # Adopted again, they are not there twice.
        fill_from_lesson(read_lesson(path), tmp_path / "set", Takedown())
    (read,) = EditLog(tmp_path / "set").read()
    assert (read.sha256, read.origin, read.to, read.who) == (mine, "disc", "cross", "teach page")


def test_a_later_lesson_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES))), tmp_path / "set", Takedown()
    )
    later = {label: mine[:5] for label, mine in shapes(8).items()}
    dataset = fill_from_lesson(
        read_lesson(write_lesson(tmp_path / "b.zip", tell(later), flat(later))), tmp_path / "set", Takedown()
    )
    assert sorted((tmp_path / "set").glob("*/*.jpg")) == sorted(dataset.paths)
    assert len(read_manifest(tmp_path / "set")) == 15


def test_what_was_taken_down_is_not_stored(tmp_path: Path) -> None:
    listed = digest(PICTURES["disc"][0])
    (tmp_path / "takedown.txt").write_text(listed)
    lesson = read_lesson(write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES)))
    dataset = fill_from_lesson(lesson, tmp_path / "set", Takedown(tmp_path / "takedown.txt"))
    assert [(record.sha256, record.reason) for record in dataset.dropped] == [(listed, "takedown")]
    assert len(list((tmp_path / "set").glob("*/*.jpg"))) == 17


def test_a_class_with_too_few_pictures_is_named(tmp_path: Path) -> None:
    few = PICTURES | {"cross": PICTURES["cross"][:4]}
    lesson = read_lesson(write_lesson(tmp_path / "a.zip", tell(few), flat(few)))
    with pytest.raises(TooFewPictures, match="'cross' of the lesson has 4 pictures, and it needs at least 5"):
        fill_from_lesson(lesson, tmp_path / "set", Takedown())


def test_no_file_and_no_zip(tmp_path: Path) -> None:
    with pytest.raises(BadLesson, match="cannot be read: No such file"):
        read_lesson(tmp_path / "none.zip")
    with pytest.raises(BadLesson, match="cannot be read"):
        read_lesson(tmp_path)
    for content in (b"", b"PK", b"<html>", b"PK\x05\x06" + bytes(30)):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(BadLesson):
            read_lesson(tmp_path / "a.zip")


def test_half_a_download_is_refused(tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES))
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BadLesson, match="no zip, or only a part of one"):
            read_lesson(path)


def test_a_zip_of_something_else_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("index.html", "a site")
    with pytest.raises(BadLesson, match=f"no lesson: there is no {LESSON} in it"):
        read_lesson(tmp_path / "a.zip")


@pytest.mark.parametrize("position", range(0, 60, 7))
def test_a_flipped_byte_is_never_an_error_of_ours(position: int, tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES))
    content = bytearray(path.read_bytes())
    content[-position - 1] ^= 0x55
    path.write_bytes(content)
    # Some bytes say nothing, such as the time of a file.
    with suppress(BadLesson):
        fill_from_lesson(read_lesson(path), tmp_path / "set", Takedown())


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"format": 2},
        {"format": 1},
        tell(PICTURES) | {"labels": ["disc"]},
        tell(PICTURES) | {"labels": ["disc", "Disc", "stripes"]},
        tell(PICTURES) | {"labels": ["disc", "../cross", "stripes"]},
        tell(PICTURES) | {"labels": ["disc", "not sure", "stripes"]},
        tell(PICTURES) | {"labels": ["disc", " cross", "stripes"]},
        tell(PICTURES) | {"labels": None},
        tell(PICTURES) | {"pictures": None},
        tell(PICTURES) | {"pictures": [None]},
        tell(PICTURES) | {"edits": [{"id": 1}]},
        tell(PICTURES) | {"edits": ["x"]},
        tell(PICTURES) | {"shifts": -1},
        tell(PICTURES) | {"shifts": True},
        tell(PICTURES) | {"body": {}},
        tell(PICTURES) | {"body": {"arch": "hf_hub:somebody/net", "size": 224, "resize": "crop"}},
        tell(PICTURES) | {"body": {"arch": "resnet18", "size": 10**6, "resize": "crop"}},
        tell(PICTURES) | {"body": {"arch": "resnet18", "size": 224, "resize": "zoom"}},
        tell(PICTURES) | {"taught": None},
        tell(PICTURES) | {"taught": tell(PICTURES)["taught"] | {"answers": {"x": [0.5, 0.5]}}},
        tell(PICTURES) | {"taught": tell(PICTURES)["taught"] | {"answers": {"x": [float("nan")] * 3}}},
        tell(PICTURES) | {"taught": tell(PICTURES)["taught"] | {"answers": {"x": "abc"}}},
        changed("label", "bear"),
        changed("label", 7),
        changed("source", "feedback"),
        changed("sha256", "../../etc/passwd"),
        changed("sha256", "A" * 64),
        changed("original_sha256", None),
        changed("rank", "first"),
        changed("at", "yesterday"),
        changed("sha256", tell(PICTURES)["pictures"][1]["sha256"]),
    ],
    ids=lambda told: str(zlib.crc32(json.dumps(told).encode())),
)
def test_what_says_something_impossible_is_refused_in_a_sentence(told: object, tmp_path: Path) -> None:
    sentence = refusal(tmp_path / "a.zip", told)
    assert "\n" not in sentence
    assert not (tmp_path / "a.set").exists()


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/etc/passwd", "pictures/x.jpg", "pictures/", "C:\\x.jpg", LESSON, "pictures/a/../b"]
)
def test_a_name_that_the_lesson_does_not_say_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name") if name == LESSON else memory_below(10**9):
        refusal(tmp_path / "a.zip", more={name: b"x"})
    assert not (tmp_path.parent / "evil.jpg").exists()


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    assert digest(flat(PICTURES)[-1]) in refusal(tmp_path / "a.zip", contents=flat(PICTURES)[:-1])


def test_a_picture_that_was_changed_is_refused(tmp_path: Path) -> None:
    told, path = tell(PICTURES), tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(LESSON, json.dumps(told))
        for content in flat(PICTURES):
            archive.writestr(f"pictures/{digest(content)}.jpg", flat(PICTURES)[0])
    with pytest.raises(BadLesson, match="was changed: its hash is another"):
        fill_from_lesson(read_lesson(path), tmp_path / "set", Takedown())


def with_place(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    return encode(picture, exif=exif)


@pytest.mark.parametrize(
    "make",
    [
        with_place,
        lambda picture: encode(picture, "PNG"),
        lambda picture: encode_jpeg(picture.resize((1025, 700)), 95),
        lambda picture: encode_jpeg(picture, 95)[:-400],
        lambda picture: b"\xff\xd8\xff not a picture",
        lambda picture: b"",
    ],
    ids=["with a place", "PNG", "large", "half", "none", "empty"],
)
def test_a_picture_that_the_page_would_not_keep_so_is_refused(
    make: Callable[[Image.Image], bytes], tmp_path: Path
) -> None:
    pictures = PICTURES | {"disc": [make(draw("disc", 99)), *PICTURES["disc"]]}
    assert "'disc/000.jpg'" in refusal(tmp_path / "a.zip", tell(pictures), contents=flat(pictures))


def test_more_than_is_allowed_is_refused(tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES))
    for name, most in (
        ("max_pictures", 17),
        ("max_bytes", 1000),
        ("max_json_bytes", 1000),
        ("max_picture_bytes", 1000),
    ):
        limits = replace(LessonConfig(), **{name: most})
        with pytest.raises(BadLesson):
            fill_from_lesson(read_lesson(path, limits), tmp_path / "set", Takedown(), limits)


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(LESSON, "w") as entry:
        for _ in range(300):
            entry.write(bytes(1_000_000))
    with memory_below(100_000_000), pytest.raises(BadLesson, match="more than 50 MB"):
        read_lesson(path)


def test_an_entry_that_lies_about_its_size_costs_no_memory(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(LESSON, "w") as entry:
        for _ in range(300):
            entry.write(bytes(1_000_000))
    content = file.getvalue()
    at = content.index(b"PK\x01\x02") + 24
    (tmp_path / "a.zip").write_bytes(content[:at] + struct.pack("<I", 1000) + content[at + 4 :])
    with memory_below(100_000_000), pytest.raises(BadLesson):
        read_lesson(tmp_path / "a.zip")


def test_a_table_of_contents_of_a_million_lines_costs_no_memory(tmp_path: Path) -> None:
    line = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = line * 500_000
    for entries in (500_000 & 0xFFFF, 3):
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, entries, entries, len(table), 0, 0)
        (tmp_path / "a.zip").write_bytes(table + end)
        with memory_below(50_000_000), pytest.raises(BadLesson, match="more than 5000 pictures"):
            read_lesson(tmp_path / "a.zip")


def test_a_locked_zip_is_told(tmp_path: Path) -> None:
    path = write_lesson(tmp_path / "a.zip", tell(PICTURES), flat(PICTURES))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 8
    path.write_bytes(content[:at] + b"\1\0" + content[at + 2 :])
    with pytest.raises(BadLesson, match="locked or packed in another way"):
        read_lesson(path)
