"""Which pictures are put aside for a second look, and which are not."""

import random
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from spotter.data.dataset import Dataset, Record
from spotter.data.image_stats import measure_images
from spotter.data.quality import (
    IMAGENET_PAGES,
    QUALITY_FLAGS,
    Measured,
    QualityConfig,
    _percentile_is_below,
    _twice_the_median,
    find_quality_flags,
    measure_into,
)
from spotter.image_stats import measure_image
from spotter.images import encode_jpeg, fit_within, load_picture
from tests.conftest import ROOT

SIZE = (480, 360)


def photo(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """Light, shade and texture, the finer the weaker, as a photo has."""
    rng = random.Random(seed)
    picture = Image.new("RGB", size, (128, 128, 128))
    for cells, weight in ((3, 0.6), (12, 0.5), (48, 0.3), (192, 0.12)):
        layer = Image.frombytes("RGB", (cells, cells), rng.randbytes(3 * cells * cells))
        picture = Image.blend(picture, layer.resize(size, Image.Resampling.BICUBIC), weight)
    return picture


def cartoon() -> Image.Image:
    picture = Image.new("RGB", SIZE, (120, 200, 240))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 260, 480, 360), fill=(60, 160, 60))
    pen.ellipse((150, 80, 330, 300), fill=(150, 90, 40), outline=(0, 0, 0), width=5)
    pen.ellipse((210, 150, 270, 190), fill=(250, 230, 200))
    return picture


def page() -> Image.Image:
    picture = Image.new("RGB", (600, 600), "white")
    font = ImageFont.load_default(22)
    for top in range(20, 580, 26):
        ImageDraw.Draw(picture).text((20, top), "the bear went over the mountain to see what it could", "black", font)
    return picture


def screen() -> Image.Image:
    picture = Image.new("RGB", (800, 600), (250, 250, 250))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 800, 50), fill=(40, 80, 160))
    for left in range(20, 700, 195):
        for top in range(80, 500, 170):
            pen.rectangle((left, top, left + 170, top + 140), fill=(225, 225, 225), outline=(90, 90, 90), width=3)
    return picture


def dim(picture: Image.Image) -> Image.Image:
    return picture.point(lambda value: value * 0.35)


KINDS = {
    "blank": lambda: Image.new("RGB", SIZE, (90, 120, 200)),
    "dark": lambda: dim(photo()),
    "light": lambda: Image.new("RGB", SIZE, (253, 254, 253)),
    "blurry": lambda: photo().filter(ImageFilter.GaussianBlur(8)),
    "odd-aspect-ratio": lambda: photo(size=(800, 200)),
    "tiny": lambda: photo(size=(80, 60)),
    "drawing": cartoon,
    "text": page,
    "screenshot": screen,
}


def make_dataset(folder: Path, pictures: list[Image.Image], label: str = "bear") -> Dataset:
    records = []
    for index, picture in enumerate(pictures):
        file = f"{label}/{index:03}.jpg"
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(encode_jpeg(picture, 95))
        records.append(
            Record(label, "folder", str(index), label, index, "kept", file=file, sha256=str(index), group=index)
        )
    return Dataset(folder, (label,), tuple(records), ())


def alike(count: int) -> np.ndarray:
    """Features that all point nearly the same way."""
    return (10 + np.random.default_rng(0).normal(size=(count, 64))).astype(np.float32)


def test_each_kind_of_junk_is_flagged_and_a_photo_is_not(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [make() for make in KINDS.values()] + [photo(seed) for seed in range(5)])
    flags = find_quality_flags(dataset, alike(len(dataset.records)))
    assert all(kind in found for kind, found in zip(KINDS, flags, strict=False)), flags
    assert flags[len(KINDS) :] == [()] * 5
    assert set(QUALITY_FLAGS) == {*KINDS, "far-from-class"}
    assert "drawing" not in flags[list(KINDS).index("blank")]


def test_flags_come_in_the_order_of_the_reasons(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [dim(photo(size=(240, 40)))])
    assert find_quality_flags(dataset, alike(1)) == [("dark", "odd-aspect-ratio", "tiny")]


@pytest.mark.parametrize("size", [(2, 2), (600, 2), (9, 300)])
def test_the_smallest_pictures_have_flags_too(size: tuple[int, int], tmp_path: Path) -> None:
    assert "tiny" in find_quality_flags(make_dataset(tmp_path, [photo(size=size)]), alike(1))[0]


def test_photos_in_grey_or_badly_compressed_are_no_junk(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(1).convert("L").convert("RGB"), photo(2), photo(3, (150, 120))])
    (tmp_path / "bear" / "001.jpg").write_bytes(encode_jpeg(photo(2), 25))
    assert find_quality_flags(dataset, alike(3)) == [(), (), ()]


def test_strangers_in_a_class_are_far_from_it(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(seed, (120, 120)) for seed in range(40)])
    features = alike(40)
    features[[3, 17, 30], :32] *= -1
    flagged = [index for index, flags in enumerate(find_quality_flags(dataset, features)) if "far-from-class" in flags]
    assert flagged == [3, 17, 30]


def test_strangers_are_found_among_a_part_of_a_large_class(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(0, (120, 120))] * 200)
    features = alike(200)
    features[[3, 17, 130], :32] *= -1
    flags = find_quality_flags(dataset, features, QualityConfig(far_compared=60))
    assert [index for index, found in enumerate(flags) if "far-from-class" in found] == [3, 17, 130]


def test_what_was_measured_while_it_was_decoded_is_not_decoded_again(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "first", [photo(), page(), dim(photo())])
    measured: dict[Path, Measured] = {}
    for path in dataset.paths:
        measure_into(measured)(path, load_picture(path))
    flags = find_quality_flags(make_dataset(tmp_path / "second", [photo(), page(), dim(photo())]), alike(3))
    for path in dataset.paths:
        path.unlink()
    assert find_quality_flags(dataset, alike(3), measured=measured) == flags
    assert [("text" in found, "dark" in found) for found in flags] == [(False, False), (True, False), (False, True)]
    # Nor are the statistics by which the next run compares itself with this one.
    looks = measure_images(dataset.folder, [record.sha256 for record in dataset.records], dataset.paths)
    assert looks.tolist() == [list(astuple(measured[path].looks)) for path in dataset.paths]


def test_a_picture_is_measured_once_for_the_same_bounds(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(), page()])
    flags = find_quality_flags(dataset, alike(2))
    assert "text" in flags[1]
    for path in dataset.paths:
        path.unlink()
    assert find_quality_flags(dataset, alike(2)) == flags
    # By other bounds, nothing can be said of what is gone.
    assert find_quality_flags(dataset, alike(2), QualityConfig(text_sharp=0.9)) == [(), ()]


def test_copies_of_a_stranger_do_not_vouch_for_it(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(seed, (120, 120)) for seed in range(40)])
    features = alike(40)
    strangers = list(range(12))
    config = QualityConfig(far_neighbours=5)
    features[strangers] = features[0] * np.where(np.arange(64) < 32, -1, 1)
    apart = find_quality_flags(dataset, features, config)
    joined = replace(
        dataset,
        records=tuple(
            replace(record, group=0 if index in strangers else record.group)
            for index, record in enumerate(dataset.records)
        ),
    )
    assert "far-from-class" not in apart[0]
    assert all("far-from-class" in flags for flags in find_quality_flags(joined, features, config)[:12])


def test_a_handful_of_pictures_has_no_strangers(tmp_path: Path) -> None:
    features = alike(5)
    features[0] *= -1
    assert find_quality_flags(make_dataset(tmp_path, [photo(seed) for seed in range(5)]), features) == [()] * 5


def test_the_imagenet_classifier_knows_pages(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(1), photo(2), screen()])
    logits = np.zeros((3, 1000), dtype=np.float32)
    logits[:, 294] = 12
    logits[[0, 2], IMAGENET_PAGES[0]] = 12
    flags = find_quality_flags(dataset, alike(3), imagenet_logits=logits)
    assert flags[:2] == [("text",), ()]
    assert "screenshot" in flags[2]
    assert "text" not in flags[2]


def test_it_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    find_quality_flags(make_dataset(tmp_path, [photo()]), alike(1))
    assert capfd.readouterr() == ("", "")


def test_what_the_next_run_compares_is_measured_in_passing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [photo(), cartoon(), photo(size=(300, 200))])
    find_quality_flags(dataset, alike(3))
    wanted = [astuple(measure_image(load_picture(path))) for path in dataset.paths]
    for path in dataset.paths:
        path.unlink()
    keys = [str(record.sha256) for record in dataset.records]
    assert measure_images(dataset.folder, keys, dataset.paths).tolist() == [list(values) for values in wanted]


@pytest.mark.slow
def test_importing_it_is_quick() -> None:
    code = "import sys, spotter.data.quality; print({'pandas', 'torch'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"


def test_fewer_than_two_in_a_hundred_real_bears_are_flagged(bear_photos: Path, tmp_path: Path) -> None:
    paths = sorted(bear_photos.rglob("*.jpg"))[::3]
    dataset = make_dataset(tmp_path, [fit_within(load_picture(path), 1024) for path in paths])
    flags = find_quality_flags(dataset, alike(len(paths)))
    assert len(paths) > 100
    assert sum(bool(set(found) - {"far-from-class"}) for found in flags) < 0.02 * len(paths)


def test_medians_and_percentiles_by_counting_are_those_of_sorting() -> None:
    rng = np.random.default_rng(0)
    for most in (2, 3, 256):
        for shape in ((1, 1, 3), (1, 2, 3), (5, 5, 3), (6, 7, 3)):
            pixels = rng.integers(0, most, shape).astype(np.uint8)
            assert (_twice_the_median(pixels) == 2 * np.median(pixels, axis=(0, 1))).all()
    for size in (1, 2, 5, 100, 101):
        values = rng.integers(0, 6, size) / 2
        for percentile in (0, 50, 99, 100):
            for bound in (*values[:5], *(values[:5] + 0.25), np.percentile(values, percentile)):
                expected = bool(np.percentile(values, percentile) < bound)
                assert _percentile_is_below(values, percentile, float(bound)) == expected
