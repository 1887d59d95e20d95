"""What the report says about a picture set, and that it is safe to open."""

import re
import shlex
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.data.coverage import JUDGEABLE, ClassCoverage, measure_coverage, write_coverage
from spotter.data.dataset import Dataset
from spotter.data.manifest import SEARCHED, note_searched
from spotter.data.quality import QUALITY_FLAGS
from spotter.data.subject_size import FILLING, SMALL
from spotter.errors import DatasetUnwritable
from spotter.images import encode_jpeg
from tests.helpers.coverage_report import make_dataset, make_features, make_report
from tests.helpers.drawing import draw
from tests.helpers.markup import Page


def describe_one(dataset: Dataset, features: np.ndarray | None = None) -> ClassCoverage:
    count = len(dataset.records)
    return measure_coverage(dataset, make_features(count) if features is None else features, [()] * count)[0]


def sentences(coverage: ClassCoverage) -> str:
    return " ".join(gap.sentence for gap in coverage.missing)


def test_pictures_that_look_alike_are_grouped(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 40})
    coverage = describe_one(dataset, make_features(25, 15))
    assert [cluster.size for cluster in coverage.clusters] == [25, 15]
    assert [len(cluster.exemplars) for cluster in coverage.clusters] == [12, 12]
    assert set(coverage.clusters[1].exemplars) <= {f"grizzly/{index:03}.jpg" for index in range(25, 40)}
    assert coverage == describe_one(dataset, make_features(25, 15))
    assert "look much alike" not in sentences(coverage)


def test_one_look_is_a_gap(tmp_path: Path) -> None:
    coverage = describe_one(make_dataset(tmp_path, {"grizzly": 40}), make_features(34, 6))
    assert "34 of 40 pictures look much alike." in sentences(coverage)


def test_few_pictures_are_one_group_and_no_ground_for_judgement(tmp_path: Path) -> None:
    coverage = describe_one(make_dataset(tmp_path, {"grizzly": 4}))
    assert [cluster.size for cluster in coverage.clusters] == [4]
    assert [gap.sentence for gap in coverage.missing if gap.measured] == [
        "4 pictures in all: too few to say what is missing."
    ]


def test_copies_are_one_group(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coverage = describe_one(make_dataset(tmp_path, {"grizzly": 20}), np.ones((20, 32), dtype=np.float32))
    assert [cluster.size for cluster in coverage.clusters] == [20]


@pytest.mark.parametrize(
    ("dark", "words"),
    [(0, "None of 30 pictures is dark"), (1, "Only 1 of 30 pictures is dark"), (2, "")],
)
def test_dark_pictures_are_counted(dark: int, words: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 30})
    for path in dataset.paths[:dark]:
        path.write_bytes(encode_jpeg(draw("disc", 0).point(lambda value: value * 0.1), 95))
    for path in dataset.paths[dark:]:
        path.write_bytes(encode_jpeg(Image.new("RGB", (100, 80), (140, 120, 90)), 95))
    coverage = describe_one(dataset)
    assert coverage.dark == dark
    assert words in sentences(coverage)
    queries = [gap.query for gap in coverage.missing]
    assert ("grizzly bear at night" in queries) == bool(words)


def test_black_and_white_is_counted_and_is_no_gap(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 30})
    dataset.paths[7].write_bytes(encode_jpeg(Image.linear_gradient("L").convert("RGB"), 95))
    coverage = describe_one(dataset)
    assert coverage.black_and_white == 1
    assert "black" not in sentences(coverage)


def test_origins_are_named_however_broken_the_address(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 30}, page_url="https://www.photos.example/1", creator="Ann Other")
    addresses = {0: "https://[::1", 1: "not an address", 2: None, 3: "http://else.example/"}
    records = [
        replace(record, page_url=addresses.get(index, record.page_url), creator=None if index < 20 else record.creator)
        for index, record in enumerate(dataset.records)
    ]
    coverage = describe_one(replace(dataset, records=tuple(records)))
    assert (coverage.site.name, coverage.site.pictures, coverage.site.known) == ("photos.example", 26, 27)
    assert (coverage.creator.name, coverage.creator.pictures, coverage.creator.known) == ("Ann Other", 10, 10)
    assert (coverage.source.name, coverage.source.pictures) == ("folder", 30)
    assert "26 of 30 pictures come from photos.example" in sentences(coverage)
    assert "Ann Other" not in sentences(coverage)


def test_what_cannot_be_measured_is_said_and_not_asked_for_twice(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": JUDGEABLE})
    unmeasured = {gap.query for gap in describe_one(dataset).missing if not gap.measured}
    assert {"grizzly bear from behind", "grizzly bear partly hidden"} <= unmeasured
    asked = (replace(dataset.records[0], query="grizzly bear from behind"), *dataset.records[1:])
    again = {gap.query for gap in describe_one(replace(dataset, records=asked)).missing if not gap.measured}
    assert unmeasured - again == {"grizzly bear from behind"}


def test_small_and_filling_are_counted_and_their_want_is_a_gap(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 40})
    spreads = np.linspace(SMALL + 0.01, FILLING - 0.01, 40)
    spreads[:2] = SMALL
    spreads[2] = FILLING
    coverage = measure_coverage(dataset, make_features(40), [()] * 40, spreads)[0]
    assert (coverage.small, coverage.filling) == (2, 1)
    queries = {gap.query: gap for gap in coverage.missing}
    assert "grizzly bear far away" not in queries
    gap = queries["grizzly bear close up"]
    assert gap.measured
    assert gap.sentence.startswith("Fills only 1 of 40 pictures, by a rough measure")
    none_small = measure_coverage(dataset, make_features(40), [()] * 40, np.full(40, FILLING))[0]
    assert {gap.query for gap in none_small.missing if "rough" in gap.sentence} == {"grizzly bear far away"}
    assert "Small in none of 40 pictures" in sentences(none_small)


def test_size_that_was_not_measured_or_cannot_be_judged_is_left_to_the_eye(tmp_path: Path) -> None:
    asked = {"grizzly bear far away", "grizzly bear close up"}
    dataset = make_dataset(tmp_path, {"grizzly": JUDGEABLE, "few": 3})
    count = len(dataset.records)
    without = measure_coverage(dataset, make_features(count), [()] * count)[0]
    assert asked <= {gap.query for gap in without.missing if not gap.measured}
    assert without.small is without.filling is None
    write_coverage([without], dataset, tmp_path / "coverage.html")
    assert "(rough)" not in (tmp_path / "coverage.html").read_text()
    many, few = measure_coverage(dataset, make_features(count), [()] * count, np.full(count, 0.75))
    assert not asked & {gap.query for gap in many.missing if not gap.measured}
    assert {"few bear far away", "few bear close up"} <= {gap.query for gap in few.missing if not gap.measured}


def test_flags_are_counted_and_many_drawings_are_a_gap(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 20, "teddy": 20})
    flags = [("drawing", "far-from-class")] * 6 + [()] * 34
    first, second = measure_coverage(dataset, make_features(20, 20), flags)
    assert (first.count("drawing"), first.count("blurry"), second.count("drawing")) == (6, 0, 0)
    assert "6 of 20 pictures look drawn" in sentences(first)
    assert first.flagged[0].file == "grizzly/000.jpg"


@pytest.fixture
def report(tmp_path: Path) -> str:
    return make_report(tmp_path).read_text(encoding="utf-8")


def test_titles_and_creators_are_only_text(report: str) -> None:
    page = Page(report)
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert '<script>alert(1)</script> "it\'s" <img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 ?' in page.text


def test_it_opens_without_network_and_is_small(report: str) -> None:
    page = Page(report)
    pictures = page.all("img")
    assert pictures
    assert all(picture["src"].startswith("data:image/jpeg;base64,") and "alt" in picture for picture in pictures)
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not page.all("link")
    assert "url(" not in report
    assert len(report) < 1_000_000
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en"


def test_everything_is_there(report: str) -> None:
    text = Page(report).text
    assert "30 of 60 (50 %)" in text
    assert "3 of 3" in text
    assert "3 of 3 (" not in text
    assert all(reason in text for reason in QUALITY_FLAGS.values())
    assert "And 6 more." in text
    assert "Similarity 0.97" in text
    assert "0 pictures" in text
    assert re.search(r"Small in the picture \(rough\).*checked by eye.*\n\s*32 of 60 \(53 %\)", text)


def test_the_commands_can_be_copied_into_a_shell(report: str) -> None:
    commands = re.findall(r"--more [^\n]*? from behind'", Page(report).text)
    assert [shlex.split(command) for command in commands][:2] == [
        ["--more", 'grizzly=it\'s "small" from behind'],
        ["--more", "R2-D2 & friends'=it's \"small\" from behind"],
    ]


def test_nothing_is_to_be_searched_for_where_no_source_searches(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 30})
    write_coverage([describe_one(dataset)], dataset, tmp_path / "coverage.html")
    text = Page((tmp_path / "coverage.html").read_text()).text
    assert "Seen from every side? If not, add some." in " ".join(text.split())
    assert "--more" not in text
    note_searched(dataset.folder, ["openverse"])
    write_coverage([describe_one(dataset)], dataset, tmp_path / "coverage.html")
    assert "--more" in Page((tmp_path / "coverage.html").read_text()).text


@pytest.mark.parametrize("content", ["", "7", "{", '["openverse"', "\xff"])
def test_what_the_set_remembers_of_its_sources_may_be_damaged(tmp_path: Path, content: str) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 30})
    (tmp_path / SEARCHED).write_bytes(content.encode("latin-1"))
    with pytest.raises(DatasetUnwritable, match="is damaged; remove it"):
        write_coverage([describe_one(dataset)], dataset, tmp_path / "coverage.html")


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {"grizzly": 3})
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetUnwritable, match="The report cannot be written"):
        write_coverage([describe_one(dataset)], dataset, tmp_path / "file" / "coverage.html")
