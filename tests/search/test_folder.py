"""Your own pictures in folders: labels of any script, hidden and linked folders."""

import csv
import io
import mimetypes
import unicodedata
from argparse import Namespace
from pathlib import Path

import pytest

from spotter.cli.common import add_picture_options
from spotter.collect.collector import collect
from spotter.collect.picture_set import picture_folder, read_options
from spotter.config import CollectConfig
from spotter.data.edit_log import RELABEL, Edit, EditLog
from spotter.data.edits import write_to_disk
from spotter.data.manifest import read_dataset, read_manifest, write_attribution
from spotter.errors import FolderMissing, RecipeError
from spotter.names import folder_name
from spotter.recipe import make_recipe
from spotter.scale.listing import list_pictures
from spotter.search.folder import Folder
from spotter.search.region import Region
from spotter.search.table import Table
from spotter.search.urls import Urls
from spotter.utils.argument_parser import Parser
from spotter.utils.files import walk_files
from tests.helpers.drawing import draw, encode
from tests.helpers.labels import WORDS

LITTER = (".Trash-1000/files", "@eaDir/x.jpg", ".ipynb_checkpoints", "__MACOSX", "$RECYCLE.BIN/S-1", "#recycle",
          "System Volume Information", "lost+found", ".hidden/deep/er")  # fmt: skip


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(draw("disc", seed)))
    return path


def names(source: Folder, label: str, limit: int = 99) -> list[str]:
    return [hit.backend_id for hit in source.search(label, limit)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_of_any_script_go_through_a_set(form: str, tmp_path: Path) -> None:
    labels = [unicodedata.normalize("NFC", label) for label in WORDS if label not in {"Steller's jay"}]
    for number, label in enumerate(labels):
        # As people have them: decomposed on a Mac, and with another character for a slash.
        written = folder_name(label) if label == "lost+found" else label.replace("/", ":" if form == "NFC" else "_")
        folder = unicodedata.normalize(form, written)
        write(tmp_path / "in" / folder / "a.jpg", 2 * number)
        write(tmp_path / "in" / folder / "b.jpg", 2 * number + 1)
    recipe = make_recipe(dict.fromkeys(labels, "x"), "many")
    assert recipe.labels == tuple(labels)
    place = tmp_path / "set"
    dataset = collect(recipe, [Folder(str(tmp_path / "in"))], place, CollectConfig(min_per_class=2))
    assert [record.label for record in dataset.records].count(labels[0]) == 2
    assert {(r.label, str(r.file).rpartition("/")[0]) for r in dataset.records} == {(n, folder_name(n)) for n in labels}
    assert all(path.is_file() for path in dataset.paths)
    again = collect(recipe, [Folder(str(tmp_path / "in"))], place, CollectConfig(min_per_class=2))
    assert again.records == dataset.records
    assert {record.label for record in read_manifest(place)} == set(labels)
    assert len(read_dataset(place, labels).records) == 2 * len(labels)
    turned = dataset.records[0]
    EditLog(place).append([Edit("anna", RELABEL, turned.sha256, None, turned.label, to) for to in ("A/B", labels[-1])])
    assert write_to_disk(place)[0] == 1
    (moved,) = (record for record in read_manifest(place) if record.sha256 == turned.sha256)
    assert moved.file == f"{folder_name(labels[-1])}/{Path(str(turned.file)).name}"
    assert (place / str(moved.file)).is_file()
    assert not (place / str(turned.file)).exists()
    write_attribution(place, dataset)
    rows = list(csv.DictReader(io.StringIO((place / "ATTRIBUTION.csv").read_text(encoding="utf-8"))))
    assert {row["file"].lstrip("'") for row in rows} == {str(record.file) for record in dataset.records}


def test_a_label_is_found_in_the_likest_folder(tmp_path: Path) -> None:
    for folder in ("C", "C++", "Stellers_Jay", "A_B", "cafe\u0301", "black-bear"):
        write(tmp_path / folder / "a.jpg")
    source = Folder(str(tmp_path))
    found = {label: names(source, label) for label in ("C", "C++", "Steller’s jay", "A/B", "café", "Black bear")}
    assert [ids[0].partition("/")[0] for ids in found.values()] == [
        "C", "C++", "Stellers_Jay", "A_B", "cafe\u0301", "black-bear",
    ]  # fmt: skip
    with pytest.raises(FolderMissing, match="has no sub-folder for the class 'D'; it has 'A_B', "):
        names(source, "D")


def test_hidden_and_system_folders_hold_no_pictures(tmp_path: Path) -> None:
    for number, litter in enumerate(LITTER):
        write(tmp_path / "black" / litter / "deleted.jpg", number)
        write(tmp_path / "black" / "deep" / litter / "deleted.jpg", number)
        write(tmp_path / litter / "deleted.jpg", number)
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._a.jpg"):
        write(tmp_path / "black" / name)
    write(tmp_path / "black" / "a.jpg")
    write(tmp_path / "black" / "deep" / "b.jpg")
    source = Folder(str(tmp_path))
    assert names(source, "black") == ["black/a.jpg", "black/deep/b.jpg"]
    assert source.labels() == ("black",)
    assert [e.name for part in list_pictures(tmp_path).parts for e in part.entries()] == names(source, "black")


def test_linked_folders_are_followed_once_and_cycles_end(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "in"
    write(elsewhere / "c.jpg")
    write(root / "black" / "z" / "a.jpg")
    for link, target in (
        ("more", elsewhere), ("again", elsewhere), ("up", root / "black"), ("up2", tmp_path), ("twin.jpg", "z/a.jpg"),
        ("a-z", "z"), ("broken", "nowhere"), ("self", "self"),
    ):  # fmt: skip
        (root / "black" / link).symlink_to(target)
    (elsewhere / "back").symlink_to(root / "black")
    (root / "grizzly").symlink_to(elsewhere)
    assert names(Folder(str(root)), "black") == ["black/again/c.jpg", "black/z/a.jpg"]
    assert names(Folder(str(root)), "grizzly")[0] == "grizzly/back/z/a.jpg"
    assert len(walk_files(root)) == 2
    assert list_pictures(root).pictures == 2


def test_a_link_to_the_folder_itself_or_above_is_no_class(tmp_path: Path) -> None:
    root = tmp_path / "pets" / "all"
    for label in ("beagle", "tabby"):
        write(root / label / "a.jpg")
    (tmp_path / "kept").mkdir()
    write(tmp_path / "kept" / "b.jpg")
    for link, target in (("latest", "."), ("up", ".."), ("top", tmp_path), ("vole", tmp_path / "kept")):
        (root / link).symlink_to(target)
    assert Folder(str(root)).labels() == ("beagle", "tabby", "vole")


def options(*words: str, base: Path) -> Namespace:
    parser = Parser("train")
    add_picture_options(parser)
    return parser.parse_args([*words, "--data", str(base)])


def test_sub_folders_name_the_classes(tmp_path: Path) -> None:
    for label in ("बिल्ली", "A_B", "black bear"):
        write(tmp_path / "My pets" / label / "a.jpg")
    write(tmp_path / "My pets" / ".Trash" / "a.jpg")
    (tmp_path / "list.csv").write_text("label,url\nteddy,http://a.example/1.jpg\nBlack-Bear,http://a.example/2.jpg\n")
    search = f"folder:{tmp_path}/My pets,urls:{tmp_path}/list.csv"
    recipe, sources = read_options(options("--search", search, base=tmp_path))
    assert recipe.labels == ("A_B", "black bear", "बिल्ली", "teddy")
    assert recipe.name == "my-pets"
    assert [source.name for source in sources] == ["folder", "urls"]
    words = ("--search", search, "--title", " Which pet’s this? ", "--region", "ch-de")
    recipe, _ = read_options(options(*words, base=tmp_path))
    assert (recipe.title, recipe.region) == ("Which pet’s this?", "de-CH")
    with pytest.raises(RecipeError, match="--title must be one line of at most 120 characters"):
        read_options(options("--search", search, "--title", "a\nb", base=tmp_path))
    with pytest.raises(RecipeError, match=r"there is none\. Give a recipe, --class several times, or a source"):
        read_options(options("--search", "sample", base=tmp_path))


def test_a_recipe_may_name_a_title_and_a_region(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbftitle = 'Which?'\nregion = 'jp-jp'\n[classes]\na = 'a'\nb = 'b'\n")
    recipe, sources = read_options(options(str(path), "--search", "wikimedia", base=tmp_path))
    assert (recipe.title, recipe.region) == ("Which?", "ja-JP")
    assert sources[0].region == Region("jp", "ja")  # type: ignore[attr-defined]
    recipe, _ = read_options(options(str(path), "--search", "wikimedia", "--region", "en-US", base=tmp_path))
    assert recipe.region == "en-US"
    assert picture_folder(tmp_path, recipe, "wikimedia").name == "wikimedia-en-us"
    path.write_text("region = 3\n[classes]\na = 'a'\nb = 'b'\n")
    with pytest.raises(RecipeError, match="region must be a text"):
        read_options(options(str(path), base=tmp_path))


def test_every_label_is_looked_for_before_anything_is_collected(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "in" / "a" / f"{number}.jpg", number)
    recipe = make_recipe({"a": "x", "nowhere": "y"}, "r")
    with pytest.raises(FolderMissing, match="has no sub-folder for the class 'nowhere'; it has 'a'"):
        collect(recipe, [Folder(str(tmp_path / "in"))], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_sub_folders_without_a_picture_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path / "cafe\u0301" / "x" / "a.JPG")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "export.pkl").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert Folder(str(tmp_path)).labels() == ("café",)


def test_what_a_picture_is_does_not_depend_on_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endings = ("apng", "avif", "bmp", "gif", "JFIF", "jpe", "jpeg", "jpg", "png", "webp")
    for ending in endings:
        write(tmp_path / f"class {ending}" / f"a.{ending}")
    write(tmp_path / "notes" / "a.txt")
    # As on a system that has no list of types.
    monkeypatch.setattr(mimetypes, "_db", mimetypes.MimeTypes())
    assert set(Folder(str(tmp_path)).labels()) == {f"class {ending}" for ending in endings}


ALIKE = [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("sea lion", "sea_lion"), ("Steller's jay", "Steller\u2019s jay")]
APART = [("1.5", "15"), ("C", "C++"), ("R&B", "RB"), ("1.0", "10")]


def write_source(kind: str, labels: tuple[str, ...], folder: Path) -> Folder | Table | Urls:
    """A source with one picture of each label."""
    for number, label in enumerate(labels):
        place = folder / "pictures" / label
        place.mkdir(parents=True)
        (place / f"{number}.jpg").write_bytes(encode(draw("disc", number)))
    if kind == "folder":
        return Folder(str(folder / "pictures"))
    paths = [f"pictures/{label}/{number}.jpg" for number, label in enumerate(labels)]
    lines = [f'"{label}","{path}"' for label, path in zip(labels, paths, strict=True)]
    heads = {"table": "label,file", "urls": "label,url"}
    (folder / "list.csv").write_text("\n".join([heads[kind], *lines]))
    return Table(str(folder / "list.csv")) if kind == "table" else Urls(str(folder / "list.csv"))


@pytest.mark.parametrize("kind", ["folder", "table", "urls"])
@pytest.mark.parametrize("pair", [*ALIKE, *APART])
def test_names_that_nobody_can_tell_apart_are_one_class_and_no_picture_is_lost(
    kind: str, pair: tuple[str, str], tmp_path: Path
) -> None:
    source = write_source(kind, (*pair, "other"), tmp_path)
    labels = source.labels()
    assert len(labels) == (2 if pair in ALIKE else 3)
    assert make_recipe(dict.fromkeys(labels, "x"), "pets").labels == labels
    counts = {label: len(list(source.search(label, 9))) for label in labels}
    assert sum(counts.values()) == 3
    assert counts["other"] == 1


def test_a_class_that_only_the_held_out_part_has_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for place in ("train/a", "train/b", "valid/a", "valid/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.jpg").write_bytes(encode(draw("disc", len(place))))
    assert Folder(str(tmp_path)).labels() == ("a", "b")
    assert "there is nothing to learn 'c' from, so no class" in caplog.text
