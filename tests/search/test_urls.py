"""The source `urls:FILE`."""

from pathlib import Path

import pytest

from spotter.errors import FolderMissing, SourceUnavailable
from spotter.search.base import ImageHit
from spotter.search.urls import Urls

TEXT = """# my bears
teddy https://a.example/1.jpg#top
Teddy\thttps://a.example/2.jpg

  # black bears
black bear   https://a.example/3.jpg
black bear\t//a.example/4.jpg
teddy https://a.example/1.jpg#top
"""
TABLE = """Label,URL,license,creator,page,title
teddy,https://a.example/1.jpg,CC-BY-SA-4.0,Ann,https://a.example/1,"Ted, sitting"
black bear,https://a.example/2.jpg,cc by 2.0,,,
TEDDY,https://a.example/3.jpg,CC0-1.0,,ftp://a.example,
teddy,https://a.example/4.jpg,PDM-1.0
teddy,https://a.example/5.jpg,mine,,,
teddy,https://a.example/6.jpg
teddy,https://a.example/1.jpg,CC0-1.0,Bob,,
"""


def write(folder: Path, content: str | bytes, name: str = "bears.txt") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def addresses(source: Urls, label: str, limit: int = 1000) -> list[str | None]:
    return [hit.image_url for hit in source.search(label, limit)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_text_file(tmp_path: Path, newline: str) -> None:
    source = Urls(write(tmp_path, TEXT.replace("\n", newline)))
    assert addresses(source, "TEDDY") == ["https://a.example/1.jpg#top", "https://a.example/2.jpg"]
    assert addresses(source, "black bear") == ["https://a.example/3.jpg", "https://a.example/4.jpg"]
    assert not source.searches


@pytest.mark.parametrize("name", ["bears.csv", "bears.CSV", "bears.txt", "bears"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_table(tmp_path: Path, name: str, start: str) -> None:
    hits = list(Urls(write(tmp_path, start + TABLE, name)).search("teddy", 1000))
    assert hits[0] == ImageHit(
        backend="urls",
        backend_id="https://a.example/1.jpg",
        query="teddy",
        rank=0,
        image_url="https://a.example/1.jpg",
        page_url="https://a.example/1",
        title="Ted, sitting",
        creator="Ann",
        license_id="CC-BY-SA-4.0",
        attribution='"Ted, sitting" by Ann is licensed under CC BY-SA 4.0.',
    )
    assert [hit.image_url and hit.image_url[-5] for hit in hits] == ["1", "3", "4", "5", "6"]
    assert [hit.license_id for hit in hits[1:]] == ["CC0-1.0", "PDM-1.0", "unknown", "unknown"]
    assert [hit.rank for hit in hits] == [0, 1, 2, 3, 4]
    assert hits[1].page_url is None


@pytest.mark.parametrize(
    ("given", "license_id"),
    [
        ("CC-BY-3.0", "CC-BY-3.0"),
        ("CC-BY-NC-ND-2.5", "CC-BY-NC-ND-2.5"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("CC BY", "unknown"),
        ("MIT", "unknown"),
    ],
)
def test_licences(tmp_path: Path, given: str, license_id: str) -> None:
    table = f"url,license,label\nhttps://a.example/1.jpg,{given},teddy\n"
    (hit,) = Urls(write(tmp_path, table, "a.csv")).search("teddy", 1)
    assert hit.license_id == license_id


def test_a_quoted_header_and_the_other_name_of_the_column(tmp_path: Path) -> None:
    table = '"image_url", "label"\n"https://a.example/a,b.jpg","black ""bear"""\n\n,\n'
    assert addresses(Urls(write(tmp_path, table, "a.csv")), 'black "bear"') == ["https://a.example/a,b.jpg"]


def test_a_line_break_of_unicode_ends_no_line(tmp_path: Path) -> None:
    table = "label,title,url\nteddy,two\u2028lines,https://a.example/1.jpg\n"
    (hit,) = Urls(write(tmp_path, table, "a.csv")).search("teddy", 1)
    assert hit.title == "two\u2028lines"


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_the_limit(tmp_path: Path, limit: int, count: int) -> None:
    assert len(addresses(Urls(write(tmp_path, TEXT)), "teddy", limit)) == count


def test_a_label_that_the_file_lacks(tmp_path: Path) -> None:
    with pytest.raises(
        FolderMissing, match=r"no address for the class 'grizzly'; it has 'Teddy', 'black bear', 'teddy'"
    ):
        addresses(Urls(write(tmp_path, TEXT)), "grizzly")


def test_labels_match_as_those_of_folders_do(tmp_path: Path) -> None:
    source = Urls(write(tmp_path, TEXT))
    assert addresses(source, "Black-Bear") == addresses(source, "black_bear") == addresses(source, "black bear") != []


def test_no_more_than_twenty_labels_are_listed(tmp_path: Path) -> None:
    source = Urls(write(tmp_path, "".join(f"kind{n:02} https://a.example/{n}.jpg\n" for n in range(25))))
    with pytest.raises(FolderMissing, match="'kind18', 'kind19' and 5 more"):
        addresses(source, "grizzly")


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "label,url\n"])
def test_a_file_without_addresses(tmp_path: Path, content: str) -> None:
    with pytest.raises(FolderMissing, match="it has none at all"):
        addresses(Urls(write(tmp_path, content)), "teddy")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("teddy https://a.example/1.jpg\n\nhttps://a.example/2.jpg\n", "line 3: the address has no label"),
        ("teddy\n", "line 1: there is no http"),
        ("teddy file:///etc/hostname\n", "line 1: there is no http"),
        ("teddy,https://a.example/1.jpg\n", "line 1: there is no http"),
        ("label,url\nteddy,https://a.example/1.jpg\n,https://a.example/2.jpg\n", "line 3: the address has no label"),
        ("label,url\nteddy,\n", "line 2: there is no http"),
        ("label,url\nteddy\n", "line 2: there is no http"),
        ("label,url\nteddy,https://a.example/1 2.jpg\n", "line 2: there is no http"),
        ('label,url\nteddy,"https://a.example/1.jpg\nteddy,https://a.example/2.jpg\n', "line 3: this is not CSV"),
        ('label,url\n"teddy" x,https://a.example/1.jpg\n', "line 2: this is not CSV"),
        (f"label,url\nteddy,https://a.example/{'1' * 200_000}\n", "line 2: this is not CSV"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(SourceUnavailable, match=words):
        Urls(write(tmp_path, content))


@pytest.mark.parametrize("content", ["", "teddy,https://a.example/1.jpg\n", "label;url\n", "label,address\n"])
def test_a_csv_file_without_its_header(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceUnavailable, match="line 1: a CSV file begins with the names of its columns"):
        Urls(write(tmp_path, content, "bears.csv"))


@pytest.mark.parametrize("content", [b"b\xe4r https://a.example/1.jpg\n", "teddy https://a.example/".encode("utf-16")])
def test_another_encoding(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="is not UTF-8"):
        Urls(write(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FolderMissing, match="There is no file"):
        Urls(str(tmp_path / "none.txt"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FolderMissing, match="cannot be read"):
        Urls(str(tmp_path))
