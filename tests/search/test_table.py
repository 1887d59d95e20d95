"""Your own pictures with their labels in a CSV or Parquet file, and a split that their author made."""

import json
from pathlib import Path
from typing import Any

import pytest

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.folder import Folder
from spotter.search.table import Table
from spotter.search.urls import Urls
from tests.helpers.drawing import draw, encode
from tests.helpers.parquet import damage_group


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Contents by path, relative to `tmp_path`."""
    names = ["images/a.jpg", "images/b c.jpg", "d.jpg", "é.jpg"]
    found = {name: encode(draw("disc", number)) for number, name in enumerate(names)}
    for name, content in found.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return found


def contents(hits: list[ImageHit]) -> list[bytes | str]:
    return [hit.content or (hit.path.read_bytes() if hit.path else str(hit.image_url)) for hit in hits]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("columns", [("file", "label"), ("fname", "labels"), ("Path", "Class"), ("image_id", "breed")])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_csv_of_file_and_label(
    delimiter: str, ends: str, columns: tuple[str, str], start: str, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    labels = ["Steller’s jay", "बिल्ली", "Steller’s jay", "बिल्ली"]
    names = [Path(name).with_suffix("").as_posix() if columns[0] == "image_id" else name for name in pictures]
    lines = [delimiter.join((*columns, "is_valid"))]
    for number, (name, label) in enumerate(zip(names, labels, strict=True)):
        lines.append(delimiter.join((f'"{name}"', label, ("False", "True")[number == 3])))
    (tmp_path / "t.csv").write_bytes((start + ends.join([*lines, "", ""])).encode())
    source = Table(str(tmp_path / "t.csv"))
    assert source.labels() == ("Steller’s jay", "बिल्ली")
    wanted = list(pictures.values())
    assert contents(list(source.search("steller's_jay", 9))) == wanted[::2]
    hits = list(source.search("बिल्ली", 9))
    assert contents(hits) == wanted[1::2]
    assert [hit.split for hit in hits] == [None, "valid"]
    assert {hit.backend for hit in hits} == {"folder"}
    assert len(list(source.search("बिल्ली", 1))) == 1
    with pytest.raises(FolderMissing, match="has no row for the class 'bear'; it has 'Steller’s jay', 'बिल्ली'"):
        list(source.search("bear", 1))


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nfile;label\n{};x\n",
        '"SEP=,"\r\nfile,label\r\n{},x\r\n',
        "sep=\t\nfile\tlabel\n{}\tx",
        "sep=|\nfile|label\n{}|x",
    ],
)
def test_a_table_of_a_spreadsheet_on_windows(content: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.format("images\\b c").encode())
    assert contents(list(Table(str(tmp_path / "t.csv")).search("x", 9))) == [pictures["images/b c.jpg"]]


def test_addresses_in_a_table_are_fetched_and_nobodys_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("url,label\nhttps://a.example/1.jpg,x\nnone.jpg,x\n")
    first, second = Table(str(tmp_path / "t.csv")).search("x", 9)
    assert (first.image_url, first.backend, first.license_id) == ("https://a.example/1.jpg", "urls", "unknown")
    assert (second.path, second.backend) == (tmp_path / "none.jpg", "folder")


@pytest.mark.parametrize("kind", ["struct", "bytes", "path", "classes", "beside"])
def test_a_parquet_of_pictures_and_labels(kind: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    inside, names = list(pictures.values()), list(pictures)
    structs = [{"bytes": content, "path": None} for content in inside]
    texts = ["y", "x", "y", "y"]
    columns = {
        "struct": {"image": structs, "label": texts},
        "bytes": {"category": texts, "pixels": inside},
        "path": {"file_name": names, "label": texts},
        "classes": {"img": structs, "fine": [1, 0, 1, 1], "weight": [1, 2, 3, 4]},
        "beside": {"url": ["http://127.0.0.1:9/x.jpg"] * 4, "jpg": inside, "label": texts},
    }[kind]
    table = pyarrow.table({**columns, "split": ["train", "train", "train", "validation"]})
    if kind == "classes":
        features = {"img": {"_type": "Image"}, "fine": {"names": ["x", "y"], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    source = Table(str(tmp_path / "t.parquet"))
    assert set(source.labels()) == {"x", "y"}
    hits = list(source.search("Y", 9))
    assert contents(hits) == [inside[0], *inside[2:]]
    assert [hit.split for hit in hits] == [None, None, "valid"]
    assert len({hit.backend_id for hit in hits}) == 3
    assert contents(list(source.search("x", 9))) == [inside[1]]


def arrow_columns(inside: list[bytes]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Columns of pictures and of labels, in all types that people's programs write; the labels are y, x, y, y."""
    pyarrow = pytest.importorskip("pyarrow")
    longest, texts = max(map(len, inside)), ["y", "x", "y", "y"]
    # Trailing bytes make no pixels.
    fixed = [content.ljust(longest, b"\0") for content in inside]
    pictures = [
        *[pyarrow.array(inside, kind) for kind in (pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view())],
        pyarrow.array(fixed, pyarrow.binary(longest)),
        pyarrow.array([{"bytes": content, "path": None} for content in inside]),
        pyarrow.array(inside).dictionary_encode(),
    ]
    labels = [
        *[pyarrow.array(texts, kind) for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())],
        pyarrow.array(texts).dictionary_encode(),
        pyarrow.array([text.encode() for text in texts]),
        pyarrow.array([[text] for text in texts]),
        pyarrow.array([(text,) for text in texts], pyarrow.list_(pyarrow.string(), 1)),
    ]
    numbers = [pyarrow.array([1, 0, 1, 1], kind) for kind in (pyarrow.int8(), pyarrow.uint16(), pyarrow.float64())]
    return {"texts": (pictures, labels), "numbers": (pictures[:1], [*numbers, pyarrow.array([[1], [0], [1], [1]])])}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", ["texts", "numbers"])
def test_columns_of_every_type_are_read(kind: str, named: bool, pictures: dict[str, bytes], tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    columns, labels = arrow_columns(list(pictures.values()))[kind]
    for column in columns:
        for label in labels:
            table = pyarrow.table({"image": column, "label": label})
            if named:
                features = {"label": {"names": ["x", "y"], "_type": "ClassLabel"}}
                table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
            parquet.write_table(table, path)
            source = Table(str(path))
            wanted = "y" if named or kind == "texts" else "1"
            assert set(source.labels()) == {wanted, "x" if wanted == "y" else "0"}, label.type
            found = contents(list(source.search(wanted, 9)))
            assert [content.rstrip(b"\0") for content in found] == [
                content for number, content in enumerate(pictures.values()) if number != 1
            ]


@pytest.mark.parametrize("label", ["list", "sequence", "number"])
@pytest.mark.parametrize("image", ["paths", "structs", "addresses"])
def test_pictures_that_are_not_in_the_table(image: str, label: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = [f"https://a.example/{name}" for name in pictures] if image == "addresses" else list(pictures)
    column = [{"bytes": None, "path": name} for name in names] if image == "structs" else names
    classes: object = {"names": ["x", "y"], "_type": "ClassLabel"}
    features = {
        "label": {"list": [classes], "sequence": {"feature": classes, "_type": "List"}, "number": classes}[label]
    }
    numbers = [1, 0, 1, None] if label == "number" else [[1], [0], [1], None]
    table = pyarrow.table({"image": column, "label": numbers})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "t.parquet")
    source = Table(str(tmp_path / "t.parquet"))
    assert set(source.labels()) == {"x", "y"}
    wanted = [names[0], names[2]] if image == "addresses" else [pictures[names[0]], pictures[names[2]]]
    assert contents(list(source.search("y", 9))) == wanted


def test_a_picture_with_several_labels_and_a_table_with_several_columns_of_them_are_told(
    pictures: dict[str, bytes], tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path, inside = tmp_path / "t.parquet", list(pictures.values())
    parquet.write_table(pyarrow.table({"image": inside, "labels": [["x"], [], ["x", "y"], None]}), path)
    with pytest.raises(SourceUnavailable, match=r"several labels for a picture: \['x', 'y'\]; Spotter knows one"):
        Table(str(path))
    parquet.write_table(pyarrow.table({"image": inside, "label": [1.0, float("nan"), None, 0.0]}), path)
    assert Table(str(path)).labels() == ("1", "0")
    features = {name: {"names": ["x", "y"], "_type": "ClassLabel"} for name in ("fine", "coarse")}
    table = pyarrow.table({"image": inside, "fine": [0, 1, 0, 1], "coarse": [0, 1, 0, 1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path)
    with pytest.raises(SourceUnavailable, match=r"several columns of labels: \['fine', 'coarse'\]; call the one"):
        Table(str(path))


def test_a_damaged_part_of_a_parquet_file_costs_its_own_pictures_alone(
    pictures: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path, inside = tmp_path / "t.parquet", list(pictures.values())
    table = pyarrow.table({"image": inside, "label": ["x"] * 4})
    parquet.write_table(table, path, row_group_size=2, use_dictionary=False)
    damage_group(path, 0)
    assert contents(list(Table(str(path)).search("x", 9))) == inside[2:]
    assert "damaged: 2 pictures from it are left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no column of labels"),
        (b"a,b\n1,2\n", "no column of labels, such as 'label'; it has 'a', 'b'"),
        (b"label,size\nx,2\n", "no column of files"),
        (b"label,file\nx,\n", "line 2 has no label or no file"),
        (b'label,file\n"x,a.jpg\n', "is no table of pictures and labels"),
        (b"label,file\n\xff,a.jpg\n", "is not UTF-8"),
        (b"PK\x03\x04" + bytes(30), "no text; save the table as CSV"),
    ],
)
def test_what_is_no_table_is_told(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceUnavailable, match=told):
        Table(str(tmp_path / "t.csv"))
    with pytest.raises(FolderMissing, match="There is no file"):
        Table(str(tmp_path / "none.csv"))


def test_a_list_may_name_files(pictures: dict[str, bytes], tmp_path: Path) -> None:
    lines = [f"black bear {name}" for name in pictures]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "black bear http://a.example/1.jpg"]))
    rows = [f'teddy,"{name}"' for name in pictures]
    (tmp_path / "list.csv").write_text("\n".join(["label,path", *rows]))
    wanted = list(pictures.values())
    assert contents(list(Urls(str(tmp_path / "list.txt")).search("black bear", 9))) == [
        *wanted,
        "http://a.example/1.jpg",
    ]
    assert contents(list(Urls(str(tmp_path / "list.csv")).search("teddy", 9))) == wanted
    (tmp_path / "list.txt").write_text("black bear nowhere.jpg")
    with pytest.raises(SourceUnavailable, match=r"line 1: there is no http\(s\) address, and no such file"):
        Urls(str(tmp_path / "list.txt"))


def fill(folder: Path, count: int = 1) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(encode(draw("disc", number)))


@pytest.mark.parametrize("held_out", ["valid", "val", "Validation", "test"])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_a_split_into_folders_is_kept(train: str, held_out: str, tmp_path: Path) -> None:
    for part, count in ((train, 3), (held_out, 2)):
        for label in ("a", "b"):
            fill(tmp_path / part / label, count)
    (tmp_path / "models").mkdir()
    source = Folder(str(tmp_path))
    assert source.labels() == ("a", "b")
    hits = list(source.search("a", 9))
    assert [(hit.backend_id.split("/")[0], hit.split) for hit in hits] == [(train, None)] * 3 + [
        (held_out, "valid")
    ] * 2


def test_what_is_no_split_is_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for place in ("one/train", "one/valid", "two/train/a", "two/train/b", "two/cars", "three/train/a", "three/train/b"):
        fill(tmp_path / place)
    fill(tmp_path / "three" / "test")
    assert Folder(str(tmp_path / "one")).labels() == ("train", "valid")
    assert Folder(str(tmp_path / "two")).labels() == ("cars", "train")
    assert Folder(str(tmp_path / "three")).labels() == ("a", "b")
    assert "the pictures in 'test' are left out" in caplog.text


def test_a_folder_of_parquet_has_none_of_a_system(pictures: dict[str, bytes], tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = next(iter(pictures.values()))
    for name in ("a.parquet", "b.parquet", "._b.parquet"):
        parquet.write_table(pyarrow.table({"image": [content], "label": [f"of {name}"]}), tmp_path / name)
    assert Table(str(tmp_path)).labels() == ("of a.parquet", "of b.parquet")
