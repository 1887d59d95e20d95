import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.collect.collector import collect
from spotter.config import PictureConfig
from spotter.data.dataset import NEAR_IN_TWO_CLASSES, Dataset, Record
from spotter.data.duplicates import PART, confirm_duplicates, group_duplicates, perceptual_hash
from spotter.data.manifest import read_manifest, write_manifest
from spotter.data.splits import assign_folds
from spotter.errors import DatasetUnwritable, FolderMissing, TooFewPictures
from spotter.images import load_picture
from spotter.recipe import make_recipe
from spotter.search.folder import Folder
from tests.helpers.drawing import KINDS, draw, encode, turned, write_folder

RECIPE = make_recipe({kind: kind for kind in KINDS}, name="shapes")


def gather(source: Path, into: Path) -> Dataset:
    return collect(RECIPE, [Folder(str(source))], into)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pictures_are_stored_upright_and_bare(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    (source / "disc" / "gps.jpg").write_bytes(encode(draw("disc", 900), exif=exif) + b"trailing zip")
    (source / "disc" / "wide.png").write_bytes(turned(draw("disc", 901, (3000, 600)), 6))
    dataset = gather(source, tmp_path / "set")
    for record, path in zip(dataset.records, dataset.paths, strict=True):
        content = path.read_bytes()
        picture = Image.open(path)
        assert (picture.mode, picture.format) == ("RGB", "JPEG")
        assert not picture.getexif()
        assert b"where I live" not in content
        assert b"trailing" not in content
        assert path.parent.name == record.label
        assert path.stem in str(record.sha256)
        assert picture.size == (record.width, record.height)
        assert max(picture.size) <= PictureConfig().stored_side
    wide = next(record for record in dataset.records if record.backend_id == "disc/wide.png")
    assert (wide.width, wide.height) == (1024, 205)


def test_large_and_small_photos_stand_upright_alike(tmp_path: Path) -> None:
    source, upright = write_folder(tmp_path / "source", count=6), {}
    for side in (1600, 400):
        for orientation in range(1, 9):
            drawn = draw("disc", orientation, (side, side * 3 // 4))
            # No turn leaves this as it is.
            drawn.paste((250, 250, 250), (0, 0, side // 2, side // 4))
            upright[f"disc/{side}-{orientation}.jpg"] = drawn
            encoded = turned(drawn, orientation, "JPEG")
            (source / "disc" / f"{side}-{orientation}.jpg").write_bytes(encoded)
    dataset = gather(source, tmp_path / "set")
    stored = {record.backend_id: path for record, path in zip(dataset.records, dataset.paths, strict=True)}
    assert upright.keys() <= stored.keys()
    for name, drawn in upright.items():
        with Image.open(stored[name]) as picture:
            assert picture.width > picture.height
            shown, wanted = (np.asarray(each.convert("L").resize((32, 24)), dtype=float) for each in (picture, drawn))
        assert np.abs(shown - wanted).mean() < 2, name


def test_what_cannot_be_used_is_skipped_counted_and_named(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    (source / "disc" / "cut.jpg").write_bytes(encode(draw("disc", 50))[:2000])
    (source / "disc" / "page.jpg").write_bytes(b"<html>")
    (source / "disc" / "empty.png").write_bytes(b"")
    (source / "disc" / "copy.jpg").write_bytes((source / "disc" / "000.jpg").read_bytes())
    (source / "cross" / "both.jpg").write_bytes((source / "disc" / "001.jpg").read_bytes())
    dataset = gather(source, tmp_path / "set")
    reasons = {record.backend_id: record.reason for record in dataset.dropped}
    assert reasons == {
        "disc/cut.jpg": "corrupt",
        "disc/page.jpg": "not-a-picture",
        "disc/empty.png": "empty",
        "disc/copy.jpg": "copy",
        "disc/001.jpg": "in-two-classes",
        "cross/both.jpg": "in-two-classes",
    }
    assert dataset.summary() == (
        "kept 17: 5 disc, 6 cross, 6 stripes; dropped 6: 2 in-two-classes, 1 copy, 1 corrupt, 1 empty, 1 not-a-picture"
    )
    assert "dropped disc/cut.jpg: corrupt" in dataset.complaints()
    assert dataset.complaints(most=2)[2:] == ["... and 4 more: see manifest.jsonl", PictureConfig().advice]
    assert len(read_manifest(tmp_path / "set")) == 23


def test_collecting_again_changes_nothing_and_follows_the_folder(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    gather(source, tmp_path / "set")
    first = snapshot(tmp_path / "set")
    gather(source, tmp_path / "set")
    assert snapshot(tmp_path / "set") == first
    (source / "disc" / "000.jpg").unlink()
    (source / "disc" / "900.jpg").write_bytes(encode(draw("disc", 900)))
    dataset = gather(source, tmp_path / "set")
    names = {record.backend_id for record in dataset.records}
    assert "disc/000.jpg" not in names
    assert "disc/900.jpg" in names
    assert sorted(dataset.paths) == sorted((tmp_path / "set").glob("*/*.jpg"))


def test_the_manifest_names_no_path_of_this_machine(tmp_path: Path) -> None:
    gather(write_folder(tmp_path / "source", count=6), tmp_path / "set")
    text = (tmp_path / "set" / "manifest.jsonl").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text.splitlines()[0])["decision"] == "kept"


def test_too_few_pictures_says_how_many_are_needed(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    for number in range(3):
        (source / "cross" / f"{number:03}.jpg").write_bytes(b"junk")
    with pytest.raises(TooFewPictures, match=r"'cross' has 3 usable pictures and needs at least 5 \(dropped: 3 not-a"):
        gather(source, tmp_path / "set")


def test_pictures_of_formats_that_are_not_read_are_told_what_to_do(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    Image.open(source / "cross" / "000.jpg").save(source / "cross" / "scan.tif")
    dataset = gather(source, tmp_path / "set")
    assert dataset.complaints() == [
        "dropped cross/scan.tif: not-a-picture",
        "Only JPEG, PNG, WEBP, GIF, BMP and AVIF are read; save other pictures, such as HEIC or TIFF, as JPEG.",
    ]
    for number in range(6):
        # A photo of a telephone, as it begins.
        (source / "disc" / f"{number:03}.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(TooFewPictures, match=r"6 not-a-picture\). Only JPEG, .* save other pictures, such as HEIC or"):
        gather(source, tmp_path / "set")


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FolderMissing, match="no folder"):
        Folder(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderMissing, match="no sub-folder for the class 'disc'; it has none at all"):
        gather(tmp_path / "empty", tmp_path / "set")
    for kind in KINDS:
        (tmp_path / "empty" / kind).mkdir()
    with pytest.raises(TooFewPictures, match="'disc' has 0 usable pictures"):
        gather(tmp_path / "empty", tmp_path / "set")


def test_a_set_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    (tmp_path / "set").write_text("a file in the way")
    with pytest.raises(DatasetUnwritable, match="cannot be stored"):
        gather(source, tmp_path / "set")


def test_near_duplicates_share_a_group_and_a_fold(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=12)
    original = load_picture(source / "disc" / "003.jpg")
    (source / "disc" / "re-encoded.jpg").write_bytes(encode(original, quality=60))
    (source / "disc" / "smaller.png").write_bytes(encode(original.resize((90, 120)), "PNG"))
    (source / "disc" / "mirrored.webp").write_bytes(encode(original.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "WEBP"))
    dataset = gather(source, tmp_path / "set")
    names = {f"disc/{name}" for name in ("003.jpg", "re-encoded.jpg", "smaller.png", "mirrored.webp")}
    twins = [i for i, record in enumerate(dataset.records) if record.backend_id in names]
    assert len(twins) == 4
    assert len(set(dataset.groups[twins])) == 1
    assert len(set(dataset.groups)) >= len(dataset.records) - 8
    folds = assign_folds(dataset, 5, seed=1)
    assert len(set(folds[twins])) == 1
    assert set(folds) == set(range(5))
    for index in range(3):
        counts = np.bincount(folds[dataset.targets == index], minlength=5)
        assert counts.min() >= 1
    assert np.array_equal(folds, assign_folds(dataset, 5, seed=1))


def test_copies_of_one_picture_cannot_be_split(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    for path in (source / "disc").iterdir():
        path.unlink()
    for quality in range(70, 76):
        (source / "disc" / f"{quality}.jpg").write_bytes(encode(draw("disc", 1), quality=quality))
    with pytest.raises(TooFewPictures, match="'disc' has only copies of one picture"):
        assign_folds(gather(source, tmp_path / "set"), 5, seed=1)


def test_a_class_that_near_duplicates_push_into_one_fold_is_told(tmp_path: Path) -> None:
    labels, groups = ["disc"] * 5 + ["cross"] * 5, [2, 2, 3, 0, 3, 1, 3, 1, 1, 1]
    records = tuple(
        Record(label, "folder", f"{number}.jpg", label, number, "kept", group=group)
        for number, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
    with pytest.raises(TooFewPictures, match="'cross' has too few different pictures"):
        assign_folds(Dataset(tmp_path, ("disc", "cross"), records, ()), 5, seed=42)


def test_perceptual_hash_survives_encoding_and_knows_the_mirror() -> None:
    picture = draw("disc", 5)
    again = load_picture(encode(picture.resize((90, 70)), quality=60))
    assert (perceptual_hash(picture) ^ perceptual_hash(again)).bit_count() <= 8
    assert (perceptual_hash(picture) ^ perceptual_hash(draw("disc", 6))).bit_count() > 8
    assert group_duplicates([]) == []


def test_the_backbone_confirms_or_refuses_what_the_hashes_suggest() -> None:
    def record(number: int, label: str, phash: int) -> Record:
        return Record(
            label, "folder", str(number), label, 0, "kept", file=f"{label}/{number}.jpg", phash=f"{phash:016x}"
        )

    hashes = [0, 0b11, 0b1 << 20, (1 << 40) - 1, ((1 << 40) - 1) ^ (0xFFF << 28), 1 << 60]
    labels = ["a", "a", "a", "b", "b", "b"]
    records = tuple(record(*facts) for facts in zip(range(6), labels, hashes, strict=True))
    angle = np.radians([0, 30, 80, 180, 200, 10])
    embeddings = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    dataset, twins = confirm_duplicates(Dataset(Path(), ("a", "b"), records, ()), embeddings)
    # 0 and 1: near and alike. 2: near by its hash alone. 3 and 4: 12 bits apart, but very much alike.
    groups = dataset.groups
    assert groups[0] == groups[1] == groups[5]
    assert groups[2] not in groups[[0, 3]]
    assert groups[3] == groups[4] != groups[0]
    # 5 stands in the other class.
    assert [(pair.first.backend_id, pair.second.backend_id) for pair in twins] == [("0", "5"), ("1", "5")]
    flagged = [record.backend_id for record in dataset.records if NEAR_IN_TWO_CLASSES in record.flags]
    assert flagged == ["0", "1", "5"]


def hashed(hashes: list[int], labels: list[str]) -> tuple[Record, ...]:
    return tuple(
        Record(label, "folder", str(number), label, 0, "kept", file=f"{label}/{number:05}.jpg", phash=f"{value:016x}")
        for number, (value, label) in enumerate(zip(hashes, labels, strict=True))
    )


def test_groups_and_twins_are_those_of_every_pair_looked_at_one_by_one() -> None:
    rng = np.random.default_rng(1)
    bases = [int(value) for value in rng.integers(0, 2**62, 12)]
    # Chains: each a few bits from an earlier one, so that families are joined by several steps and parts.
    hashes = [bases[n % 12] ^ sum(1 << int(bit) for bit in rng.choice(64, 5, replace=False)) for n in range(300)]
    labels = ["a" if rng.random() < 0.9 else "b" for _ in hashes]
    directions = rng.normal(size=(12, 6)).repeat(25, axis=0).reshape(12, 25, 6).transpose(1, 0, 2).reshape(300, 6)
    embeddings = (directions + 0.9 * rng.normal(size=(300, 6))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    dataset, twins = confirm_duplicates(Dataset(Path(), ("a", "b"), hashed(hashes, labels), ()), embeddings)

    mirror = int(np.packbits(np.tile(np.arange(8) % 2 == 1, (8, 1))).tobytes().hex(), 16)
    family, expected = list(range(300)), []
    for j in range(300):
        for i in range(j):
            bits = min((hashes[i] ^ hashes[j]).bit_count(), (hashes[i] ^ hashes[j] ^ mirror).bit_count())
            cosine = float(embeddings[i] @ embeddings[j])
            if bits <= 16 and cosine >= (0.7 if bits <= 8 else 0.85):
                family = [family[i] if number == family[j] else number for number in family]
                if labels[i] != labels[j]:
                    expected.append((str(i), str(j)))
    order = {number: place for place, number in enumerate(dict.fromkeys(family))}
    assert dataset.groups.tolist() == [order[number] for number in family]
    assert 20 < len(order) < 250
    assert sorted((twin.first.backend_id, twin.second.backend_id) for twin in twins) == sorted(expected)
    assert len(expected) > 20
    cosines = [twin.cosine for twin in twins]
    assert cosines == sorted(cosines, reverse=True)
    flagged = {record.backend_id for record in dataset.records if NEAR_IN_TWO_CLASSES in record.flags}
    assert flagged == {name for pair in expected for name in pair}


def test_thousands_of_lookalikes_are_one_group_at_once() -> None:
    # Half a million pairs within a class; none of them is kept, and only the first few are looked at.
    records = hashed([7] * 1000 + [8], ["a"] * 1000 + ["b"])
    embeddings = np.ones((1001, 1280), dtype=np.float32) / np.sqrt(np.float32(1280))
    tracemalloc.start()
    dataset, twins = confirm_duplicates(Dataset(Path(), ("a", "b"), records, ()), embeddings)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(dataset.groups)) == 1
    assert len(twins) == 1000
    # The embeddings of one part of the pairs, twice.
    assert most < 2.5 * PART * 1280 * 4


def test_pictures_of_one_page_stay_together_but_a_gallery_does_not() -> None:
    def record(number: int) -> Record:
        page = {True: "https://example.org/bear", False: "https://example.org/gallery"}[number < 3]
        phash = f"{number * 0x0123456789ABCDEF % 2**64:016x}"
        return Record("a", "s", str(number), "a", 0, "kept", file=f"a/{number}.jpg", phash=phash, page_url=page)

    records = tuple(record(number) for number in range(20))
    dataset, _ = confirm_duplicates(Dataset(Path(), ("a",), records, ()), np.eye(20, dtype=np.float32))
    assert len(set(dataset.groups[:3])) == 1
    assert len(set(dataset.groups[2:])) == 18


def test_the_manifest_survives_any_title_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    title = "a\u2028b\x85c\r\nd\x1b[31m"
    record = Record("a", "urls", "1", "a", 0, "dropped", reason="http-404", title=title, flags=("x",))
    write_manifest(tmp_path, [record, record])
    assert read_manifest(tmp_path) == [record, record]
    (tmp_path / "manifest.jsonl").write_text('{"label": "a"}\n')
    with pytest.raises(DatasetUnwritable, match="is damaged"):
        read_manifest(tmp_path)
