"""What the evaluation report shows where, and that it is safe to open."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from spotter.config import FamiliarityConfig
from spotter.dataset import Dataset, Record
from spotter.errors import DatasetUnwritable
from spotter.evaluate import Strangers, evaluate_strangers, judge, score_known
from spotter.learner import Trained
from spotter.report import write_report

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HOSTILE = '<script>alert(1)</script> "it\'s"\n<img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 \ud83d'
LABELS = ("grizzly", "R2-D2 & friends'", "teddy")
PICTURES = 60
# Their targets go round; these are called something else.
CALLED = {0: 1, 3: 1, 7: 2}
VOID = {"img", "meta", "br"}


class Page(HTMLParser):
    """The tags, attributes and text of a page, and for each id the pictures and the text within."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.texts: dict[str, str] = {}
        self.pictures: dict[str, list[dict[str, str | None]]] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "img":
            for name in self._ids():
                self.pictures.setdefault(name, []).append(attributes)
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.text += data
        for name in self._ids():
            self.texts[name] = self.texts.get(name, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def _ids(self) -> list[str]:
        return [name for _, name in self._open if name]


def color_of(index: int) -> tuple[int, int, int]:
    return (index * 4, 255 - index * 4, 128)


def make_trained(folder: Path, pictures: int = PICTURES, **facts: str) -> tuple[Trained, Dataset, np.ndarray]:
    """Pictures of one colour each, and a learner that is right about all but `CALLED`."""
    targets = np.arange(pictures) % 3
    records = []
    for index, target in enumerate(targets):
        Image.new("RGB", (40, 30), color_of(index % 60)).save(folder / f"{index:03}.jpg", quality=95)
        record = Record(LABELS[target], "folder", str(index), "a", index, "kept", file=f"{index:03}.jpg", group=index)
        records.append(replace(record, **{"title": f"picture {index}", **facts}))
    predicted = np.array([CALLED.get(index, int(target)) for index, target in enumerate(targets)])
    probabilities = np.full((pictures, 3), 0.05)
    probabilities[np.arange(pictures), predicted] = 0.9
    rng = np.random.default_rng(1)
    features = (np.eye(3)[predicted].repeat(8, axis=1) * 3 + rng.normal(size=(pictures, 24))).astype(np.float32)
    everything = np.ones(pictures, dtype=bool)
    trained = Trained(None, features, everything, everything, probabilities, 2.0, 0.1, "5-fold cross-validation")
    return trained, Dataset(folder, LABELS, tuple(records), ()), np.arange(pictures) // 3 % 5


def make_report(folder: Path, strangers: bool = True, **facts: str) -> Page:
    trained, dataset, folds = make_trained(folder, **facts)
    config = FamiliarityConfig()
    evaluation = judge(trained, dataset, folds, config)
    found: Strangers | None = None
    if strangers:
        others = -trained.embeddings[:10]
        known = score_known(trained, folds, config)
        found = evaluate_strangers(trained.embeddings, known, others, evaluation.familiarity.threshold, 5)
    write_report(evaluation, trained, dataset, folds, folder / "out" / "report.html", found)
    return Page((folder / "out" / "report.html").read_text(encoding="utf-8"))


def color_at(picture: dict[str, str | None]) -> tuple[int, ...]:
    content = base64.b64decode(str(picture["src"]).removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB").getpixel((10, 10))


def test_each_cell_leads_to_its_own_pictures(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    wrong = {"cell-1-2": [0, 3], "cell-2-3": [7]}
    right = {f"cell-{n + 1}-{n + 1}": [i for i in range(PICTURES) if i % 3 == n and i not in CALLED] for n in range(3)}
    links = {str(link["href"]) for link in page.all("a")}
    for cell, members in (wrong | right).items():
        assert f"#{cell}" in links
        shown = page.pictures[cell]
        assert sorted(int(str(picture["alt"]).split()[1]) for picture in shown) == members
        for picture in shown:
            index = int(str(picture["alt"]).split()[1])
            assert color_at(picture) == pytest.approx(color_of(index), abs=6)
    assert not {name for name in page.pictures if name.startswith("cell-")} - set(wrong | right)
    assert "called R2-D2 & friends', 90.0 % sure" in page.texts["cell-1-2"]
    assert "is grizzly, loss 3.00" in page.texts["cell-1-2"]
    assert "folder, licence unknown" in page.texts["cell-2-3"]


def test_every_link_leads_somewhere_on_the_page(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"]) for link in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_figures_are_there(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    assert "3 of 60 wrong: error 5.0%" in page.text
    assert "100.0 % 18 of 18" in page.texts["confusion"]
    assert "90.0 % 18 of 20" in page.texts["confusion"]
    assert "90.5 % 19 of 21" in page.texts["confusion"]
    assert "Wrong in each fold: 1 of 12, 1 of 12, 1 of 12, 0 of 12, 0 of 12." in page.texts["confusion"]
    assert "R2-D2 & friends' / grizzly / 3.00 / 0.90" in page.texts["losses"]
    assert len(page.pictures["losses"]) == 9
    # Every top probability is 0.9, and 57 of 60 are right; before scaling it was 0.9² / (0.9² + 2 · 0.05²).
    assert "Expected calibration error4.4 %5.0 %" in page.texts["probabilities"].replace("\n", "")
    assert "10 of 10 strangers refused" in page.texts["familiarity"]
    assert "Area under the curve 1.000" in page.texts["familiarity"]


def test_without_strangers_and_without_a_learning_curve_it_says_so(tmp_path: Path) -> None:
    assert "was not measured" in make_report(tmp_path, strangers=False).texts["familiarity"]
    trained, dataset, folds = make_trained(tmp_path)
    held_out = folds == 0
    trained = replace(
        trained, judged=held_out, learnt_from=~held_out, probabilities=trained.probabilities[held_out], temperature=1.0
    )
    evaluation = judge(trained, dataset, folds, FamiliarityConfig())
    write_report(evaluation, trained, dataset, folds, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "There is no learning curve" in page.texts["learning"]
    assert "Wrong in each fold" not in page.text
    assert len({picture["alt"] for picture in page.all("img")}) == held_out.sum()


def test_titles_and_licences_are_only_text(tmp_path: Path) -> None:
    page = make_report(tmp_path, title=HOSTILE, license_id=HOSTILE, backend=HOSTILE, page_url="javascript:alert(1)")
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert '<script>alert(1)</script> "it\'s" <img src=x onerror=alert(2)> {{ 7 * 7 }} 🐻 ?' in page.text
    assert all(str(link["href"]).startswith("#") for link in page.all("a"))


def test_it_opens_without_network_and_stays_the_same(tmp_path: Path) -> None:
    page = make_report(tmp_path)
    assert page.all("img")
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in page.all("img"))
    assert not page.all("link")
    first = (tmp_path / "out" / "report.html").read_bytes()
    assert b"url(" not in first
    make_report(tmp_path)
    assert (tmp_path / "out" / "report.html").read_bytes() == first


def test_a_full_cell_shows_the_least_sure_and_the_page_stays_light(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path, pictures=400)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for path in dataset.paths:
        Image.fromarray(noise).save(path, quality=95)
    probabilities = trained.probabilities.copy()
    probabilities[396] = [0.5, 0.3, 0.2]
    trained = replace(trained, probabilities=probabilities)
    evaluation = judge(trained, dataset, folds, FamiliarityConfig())
    write_report(evaluation, trained, dataset, folds, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.pictures["cell-1-1"]) == 60
    assert page.pictures["cell-1-1"][0]["alt"] == "picture 396"
    assert "60 of 132 shown" in page.texts["cell-1-1"]
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    trained, dataset, folds = make_trained(tmp_path)
    (tmp_path / "file").write_text("")
    evaluation = judge(trained, dataset, folds, FamiliarityConfig())
    with pytest.raises(DatasetUnwritable, match="The report cannot be written"):
        write_report(evaluation, trained, dataset, folds, tmp_path / "file" / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(247, 245, 240)"), ("dark", "rgb(23, 25, 21)")])
def test_it_fits_the_screen_without_complaints(
    width: int, scheme: str, ground: str, browser: Browser, tmp_path: Path
) -> None:
    make_report(tmp_path, title=HOSTILE)
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "out" / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(picture => picture.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert not complaints
    page.close()


def test_a_number_opens_its_pictures(browser: Browser, tmp_path: Path) -> None:
    make_report(tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((tmp_path / "out" / "report.html").as_uri())
    shown = page.locator("#cell-3-3 img").first
    assert not shown.is_visible()
    page.get_by_role("link", name="teddy called teddy: 20").click()
    assert shown.is_visible()
    page.locator("#cell-3-3").get_by_role("link", name="hide").click()
    assert not shown.is_visible()
    assert page.locator("#cell-1-2 img").first.is_visible()
    page.close()
