"""The cleaning page as people meet it: a real browser, real windows, the log on disk."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from spotter import pipeline
from spotter.clean.server import create_app
from spotter.clean.session import Session
from spotter.cli import main
from spotter.config import ServeConfig
from spotter.data.edit_log import Edit, EditLog
from spotter.data.manifest import read_dataset, read_manifest, write_manifest
from spotter.data.training_run import find_pictures, read_run, write_run
from spotter.errors import NoTrainingRun, PasswordMissing
from tests.conftest import ROOT, Published
from tests.helpers.browser import DESKTOP, PHONE, complaints, overflow, read_axe
from tests.helpers.cleaning import HOSTILE, RECIPE, lines, make_run
from tests.helpers.patience import wait_until
from tests.helpers.pictures import serving
from tests.helpers.ports import free_port
from tests.helpers.visit import Visit
from tests.helpers.window import Window


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("made")
    make_run(base)
    return base


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "data" / "shapes" / "folder", tmp_path / "data" / "shapes" / "folder"))


class Desk:
    """The app of the file has the session of the test that runs."""

    session: Session

    def __getattr__(self, name: str) -> object:
        return getattr(self.session, name)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def served(desk: Desk) -> Iterator[str]:
    with serving(create_app(desk, ServeConfig())) as address:
        yield address


@pytest.fixture
def url(served: str, desk: Desk, folder: Path) -> str:
    desk.session = Session(folder, "anna")
    return served


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def page(window: Window, url: str) -> Iterator[Page]:
    with window.visiting() as visit:
        visit.page.problems = visit.errors
        yield visit.page


def visit(page: Page, url: str, words: str = "") -> Page:
    page.goto(f"{url}/{words}")
    expect(page.locator("#clean .card").first).to_be_visible()
    return page


def says(page: Page, words: str) -> None:
    expect(page.locator("#clean-status")).to_contain_text(words)


def focused(page: Page) -> str | None:
    return page.evaluate("document.activeElement?.dataset?.id ?? null")


def press(page: Page, key: str) -> None:
    page.keyboard.press(key)
    # The next page is fetched before its first picture can be decided.
    expect(page.locator(".card:focus")).to_have_count(1)


def open_queue(page: Page, name: str) -> None:
    page.locator(f"[data-queue={name}]").click()
    expect(page.locator(f"[data-queue={name}]")).to_have_attribute("aria-current", "true")
    # Until then there are cards of the queue before.
    expect(page.locator("#clean-cards")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("#clean .card").first).to_be_visible()


def test_a_session_of_decisions_by_keyboard_survives_reload_and_is_undone(page: Page, url: str, folder: Path) -> None:
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    visit(page, url)
    page.keyboard.press("u")
    says(page, "You have nothing to undo")
    open_queue(page, "losses")
    expect(page.locator(".card:focus")).to_have_count(1)
    decided = []
    # More than a page of them.
    for number in range(28):
        key = focused(page)
        assert key not in decided
        decided.append(key)
        page.keyboard.press("d" if number % 10 == 3 else "1" if number == 5 else "k")
        page.wait_for_function(f"document.activeElement?.dataset?.id && document.activeElement.dataset.id !== '{key}'")
    says(page, "28 decided in all")
    log = lines(folder)
    assert [str(line["sha256"])[:16] for line in log] == decided
    assert {line["who"] for line in log} == {"anna"}
    assert [line["action"] for line in log].count("delete") == 3
    assert log[5]["to"] == "disc"
    assert {line["why"] for line in log} == {"top losses"}
    # Nothing has moved.
    assert sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "edits.jsonl") == before
    page.reload()
    expect(page.locator("[data-queue=decided]")).to_contain_text("28")
    assert focused(page) not in decided
    # Back to the page before.
    for left in range(27, 21, -1):
        page.keyboard.press("u")
        expect(page.locator("#clean-summary")).to_contain_text(f" {left} decided")
    assert [line["undoes"] for line in lines(folder)[28:]] == [line["batch"] for line in log[:21:-1]]
    assert not page.problems


def test_two_windows_lose_nothing_and_see_each_other(page: Page, url: str, folder: Path) -> None:
    beside = Visit(page.context.new_page())
    beside.hear()
    one, other = visit(page, url), visit(beside.page, url, "?as=ben")
    expect(other.locator("#clean-who")).to_have_value("ben")
    first = one.locator(".card").first.get_attribute("data-id")
    second = one.locator(".card").nth(1).get_attribute("data-id")
    one.locator(f"[data-id='{first}'] button", has_text="Keep").click()
    other.locator(f"[data-id='{second}'] button", has_text="Delete").click()
    says(other, "decided in all")
    expect(one.locator(f"[data-id='{second}']")).to_contain_text("deleted by ben")
    expect(other.locator(f"[data-id='{first}']")).to_contain_text("by anna")
    assert [(line["who"], line["action"]) for line in lines(folder)] == [("anna", "keep"), ("ben", "delete")]
    # Each takes back only what is theirs.
    other.locator("#clean-undo").click()
    says(other, "Undid")
    expect(one.locator(f"[data-id='{second}']")).not_to_contain_text("deleted by ben")
    other.locator(f"[data-id='{first}'] button", has_text="Delete").click()
    expect(one.locator("[data-queue=disputes]")).to_contain_text("1")
    open_queue(one, "disputes")
    expect(one.locator(".card")).to_contain_text("ben: deleted")
    expect(one.locator(".card")).to_contain_text("anna: kept as")
    one.locator("#clean-who").fill("carl")
    one.locator("#clean-who").blur()
    one.locator(".card button", has_text="Delete").click()
    expect(one.locator("[data-queue=disputes]")).to_contain_text("0")
    assert lines(folder)[-1]["settles"] is True
    assert not one.problems + beside.errors


def test_a_second_person_looks_alone_and_disagreements_are_listed(page: Page, url: str, folder: Path) -> None:
    with httpx.Client(base_url=url) as client:
        listed = client.get("/clean/queue", params={"name": "wrong", "todo": True}).json()["items"]
        first, second = (group[0] for group in listed[:2])
        for key in (first, second):
            client.post("/clean/decide", json={"who": "anna", "items": [{"id": key, "action": "delete"}]})
    visit(page, url, "?as=ben")
    assert first not in page.evaluate("[...document.querySelectorAll('.card')].map(card => card.dataset.id)")
    page.locator("#clean-alone").check()
    expect(page.locator("#clean-summary")).to_contain_text(" 0 decided by you")
    expect(page.locator(".card").first).to_have_attribute("data-id", first)
    for key in (first, second):
        expect(page.locator(f"[data-id='{key}'] .decision")).to_have_text("")
        expect(page.locator(f"[data-id='{key}'] [aria-pressed=true]")).to_have_count(0)
    page.locator(f"[data-id='{first}']").focus()
    press(page, "k")
    press(page, "d")
    press(page, "d")
    expect(page.locator("#clean-summary")).to_contain_text(" 3 decided by you")
    expect(page.locator("[data-queue=disputes] .count")).to_have_text("1")
    assert [line["action"] for line in lines(folder) if line["who"] == "ben"] == ["keep", "delete", "delete"]
    page.reload()
    expect(page.locator("#clean-summary")).to_contain_text(" 3 decided by you")
    expect(page.locator("#clean-alone")).to_be_checked()
    open_queue(page, "disputes")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card .decision")).to_contain_text("anna: deleted; ben: kept as")
    assert not page.problems


def test_keys_typed_while_a_page_is_turned_are_about_the_next_picture(page: Page, url: str, folder: Path) -> None:
    visit(page, url)
    open_queue(page, "losses")
    last = page.locator(".card").last.get_attribute("data-id")
    page.locator(".card").last.focus()
    held: list[Route] = []
    page.route("**/clean/cards?*", lambda route: held.append(route), times=1)
    page.keyboard.press("k")
    page.keyboard.press("d")
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    says(page, "2 decided in all")
    kept, deleted = lines(folder)
    assert (str(kept["sha256"])[:16], kept["action"], deleted["action"]) == (last, "keep", "delete")
    assert str(deleted["sha256"])[:16] == page.locator(".card").first.get_attribute("data-id")
    # What is taken back is shown, on whatever page it is.
    page.keyboard.press("u")
    says(page, "Undid")
    page.keyboard.press("u")
    expect(page.locator(f"[data-id='{last}']")).to_be_focused()
    assert not page.problems


def test_on_a_phone_what_retraining_says_stays_in_sight(page: Page, url: str) -> None:
    page.set_viewport_size(PHONE)
    visit(page, url)
    # It may be done before anybody looks at the button.
    page.evaluate(
        """() => {
            const [button, name] = [document.querySelector("#clean-retrain"), "aria-disabled"];
            window.states = [];
            const note = () => states.push(button.getAttribute(name));
            new MutationObserver(note).observe(button, { attributeFilter: [name] });
        }"""
    )
    page.locator("#clean-retrain").click()
    expect(page.locator("[data-figures=before]")).to_be_visible()
    expect(page.locator("#clean-retrain")).to_have_attribute("aria-disabled", "false")
    assert "true" in page.evaluate("states")
    # What the lists have become arrives as well.
    page.wait_for_load_state("networkidle")
    expect(page.locator("[data-figures=before]")).to_be_in_viewport()
    expect(page.locator("#clean-retrain")).to_be_focused()
    assert not page.problems


def test_retraining_moves_nothing_under_the_hands_of_who_decides(page: Page, url: str) -> None:
    visit(page, url)
    shown = page.evaluate("[...document.querySelectorAll('.card')].map(card => card.dataset.id)")
    page.keyboard.press("d")
    page.keyboard.press("d")
    says(page, "2 decided in all")
    expect(page.locator(".card:focus")).to_have_count(1)
    key = focused(page)
    assert httpx.post(f"{url}/clean/start/retrain").status_code == 200
    says(page, "The lists have a new order")
    assert page.evaluate("[...document.querySelectorAll('.card')].map(card => card.dataset.id)") == shown
    assert focused(page) == key


def test_to_keep_a_picture_means_the_label_that_was_seen(client: httpx.Client, folder: Path) -> None:
    listed = client.get("/clean/queue", params={"name": "losses", "label": "disc"}).json()["items"]
    key = listed[0][0]
    for who, item in (
        ("ben", {"id": key, "action": "relabel", "to": "cross"}),
        ("anna", {"id": key, "action": "keep", "to": "disc"}),
    ):
        assert client.post("/clean/decide", json={"who": who, "items": [item]}).status_code == 200
    assert [line["to"] for line in lines(folder)] == ["cross", "disc"]
    assert client.get("/clean/queue", params={"name": "disputes"}).json()["items"] == [[key]]
    # Both settle it, one after the other: what the second did not see is not overruled, but listed.
    for who, item in (
        ("anna", {"id": key, "action": "delete"}),
        ("ben", {"id": key, "action": "relabel", "to": "cross"}),
    ):
        client.post("/clean/decide", json={"who": who, "queue": "disputes", "items": [item]})
    assert [bool(line.get("settles")) for line in lines(folder)] == [False, False, True, False]
    assert client.get("/clean/queue", params={"name": "disputes"}).json()["items"] == [[key]]
    assert client.post("/clean/decide", json={"items": [{"id": key, "action": "keep", "to": "x"}]}).status_code == 400


def test_retraining_shows_before_and_after_and_who_changed_sides(page: Page, url: str, folder: Path) -> None:
    visit(page, url)
    wrong = {record.sha256[:16] for record in read_manifest(folder) if record.backend_id.startswith("cross/disc90")}
    shown = [card.get_attribute("data-id") for card in page.locator(".card").all()]
    # The two discs among the crosses are what the model doubts most, but for the twin in two classes.
    assert wrong <= set(shown[:4])
    for key in wrong:
        card = page.locator(f"[data-id='{key}']")
        expect(card.locator("button.suggested")).to_contain_text("disc")
        card.focus()
        press(page, "a")
    says(page, "2 decided in all")
    page.locator("#clean-retrain").click()
    expect(page.locator("[data-figures=after]")).to_be_visible()
    state = httpx.get(f"{url}/clean/state").json()
    figures = {each["name"]: each for each in state["result"]["figures"]}
    assert figures["after"]["wrong"] <= figures["before"]["wrong"] - 2
    for each in figures.values():
        assert each["interval"][0] <= each["error"] <= each["interval"][1]
    assert wrong <= {change["id"] for change in state["result"]["changes"] if change["right"]}
    for key in wrong:
        expect(page.locator(f"[data-change='{key}']")).to_contain_text("disc (was cross): called disc, now disc")
    # The file of the run is as it was: only publishing makes another.
    assert read_run(folder).given.count("cross") == sum(r.label == "cross" and r.kept for r in read_manifest(folder))
    assert not page.problems


def test_a_cell_of_the_confusion_matrix_opens_its_pictures(page: Page, url: str) -> None:
    visit(page, url)
    cross, disc = RECIPE.labels.index("cross"), RECIPE.labels.index("disc")
    button = page.locator(f"[data-cell='{cross}-{disc}']")
    count = int(button.inner_text())
    assert count >= 2
    button.click()
    expect(page.locator("#clean-heading")).to_have_text("cross, called disc")
    expect(page.locator(".card")).to_have_count(count)
    for card in page.locator(".card").all():
        expect(card.locator(".labels")).to_contain_text("cross called disc")


def with_confusions(session: Session, names: Sequence[str], confusions: list[list[int]]) -> None:
    """What the session tells of a set that has these classes too."""
    state = session.state

    def told(alone: str = "") -> dict[str, object]:
        real = state(alone)
        return real | {"labels": [*real["labels"], *names], "confusion": [], "confusions": confusions}

    session.state = told


def test_with_many_classes_a_list_of_confusions_opens_their_pictures(page: Page, url: str, desk: Desk) -> None:
    cross, disc = RECIPE.labels.index("cross"), RECIPE.labels.index("disc")
    confusions = [[cross, disc, 2], *([number, number + 1, 1] for number in range(10, 109))]
    with_confusions(desk.session, [f"breed {number}" for number in range(127)], confusions)
    page.goto(url)
    expect(page.locator("#clean-confusions button")).to_have_count(100)
    expect(page.locator("#clean-matrix")).to_be_hidden()
    assert page.locator("#clean-confusions").bounding_box()["height"] < DESKTOP["height"]
    page.locator("#clean-confusions button").first.click()
    expect(page.locator("#clean-heading")).to_have_text("cross, called disc")
    expect(page.locator("#clean-note")).to_be_empty()


def test_many_long_names_of_classes_push_nothing_out_of_sight(page: Page, url: str, desk: Desk) -> None:
    names = [f"rooster of the northern mountain forests, in winter, {number}" for number in range(127)]
    last = len(RECIPE.labels) + len(names) - 1
    with_confusions(desk.session, names, [[last - number, number, 1] for number in range(60)])
    page.goto(url)
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        expect(page.locator("#clean-confusions button")).to_have_count(60)
        expect(page.locator(".card").first).to_be_visible()
        cut = page.evaluate(
            """() => [...document.querySelectorAll(":is(#clean .filters, #clean .tools, #clean .card, #clean aside) *")]
              .filter((each) => each.getClientRects().length && each.getBoundingClientRect().right > innerWidth)
              .map((each) => each.outerHTML.slice(0, 90))"""
        )
        assert cut == []
        assert overflow(page) <= 0


def test_many_at_once_with_a_preview_and_one_undo(page: Page, url: str, folder: Path) -> None:
    visit(page, url)
    page.keyboard.press("Shift+A")
    dialog = page.locator("#clean-bulk")
    expect(page.locator("#clean-bulk-least-label")).to_be_visible()
    expect(page.locator("#clean-bulk-count")).to_contain_text("will be decided")
    page.locator("#clean-bulk-least").fill("60")
    # It says at once that it looks again.
    page.locator("#clean-bulk-least").blur()
    expect(page.locator("#clean-bulk-count")).to_contain_text("will be decided")
    boxes = dialog.locator("li input")
    offered = boxes.count()
    assert offered >= 2
    boxes.first.uncheck()
    expect(page.locator("#clean-bulk-go")).to_have_text(f"Accept {offered - 1}")
    assert lines(folder) == []
    page.locator("#clean-bulk-go").click()
    expect(page.locator("#clean-summary")).to_contain_text(f" {offered - 1} decided")
    assert len({line["batch"] for line in lines(folder)}) == 1
    assert {line["action"] for line in lines(folder)} == {"relabel"}
    page.locator("#clean-undo").click()
    expect(page.locator("#clean-summary")).to_contain_text(" 0 decided")
    page.keyboard.press("Shift+K")
    expect(page.locator("#clean-summary")).to_contain_text(" 24 decided")
    assert not page.problems


def test_outside_text_is_shown_as_text(page: Page, url: str) -> None:
    visit(page, url)
    open_queue(page, "junk")
    card = page.locator(".card")
    expect(card).to_contain_text("<img src=x onerror=document.title='taken'>\"'&")
    expect(card).to_contain_text("blurry: no sharp edge anywhere")
    assert card.locator("img").count() == 1
    assert card.locator("a").count() == 0
    page.keyboard.press("Shift+A")
    expect(page.locator("#clean-bulk-count")).to_contain_text("1 of 1")
    expect(page.locator("#clean-bulk-list")).to_contain_text("<img src=x onerror=document.title='taken'>\"'&")
    assert page.locator("#clean-bulk-list img").count() == 1
    # It is to go because it is blurred: no probability is asked for.
    expect(page.locator("#clean-bulk-least-label")).to_be_hidden()
    assert page.title() != "taken"
    assert overflow(page) <= 0


def test_on_a_phone_everything_fits_and_can_be_touched(page: Page, url: str, folder: Path) -> None:
    page.set_viewport_size(PHONE)
    visit(page, url)
    assert overflow(page) <= 0
    for button in page.locator("#clean .card").first.locator("button").all() + page.locator(".pager button").all():
        box = button.bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["width"] >= 44
    tap(page, page.locator(".card").first.locator("button", has_text="Keep"))
    says(page, "Kept as")
    assert len(lines(folder)) == 1


def tap(page: Page, button: Locator) -> None:
    """As Playwright does it, but in a window that was not made for it."""
    button.scroll_into_view_if_needed()
    box, protocol = button.bounding_box(), page.context.new_cdp_session(page)
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    protocol.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    protocol.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    protocol.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    protocol.detach()


def test_look_alikes_and_pictures_in_two_classes(page: Page, url: str, folder: Path) -> None:
    visit(page, url)
    open_queue(page, "crossing")
    together = page.locator(".together")
    expect(together).to_have_count(1)
    expect(together.locator(".card")).to_have_count(3)
    # Side by side, on a phone too.
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        tops = [card.bounding_box()["y"] for card in together.locator(".card").all()[:2]]
        assert tops[0] == tops[1]
        assert overflow(page) <= 0
    expect(together).to_contain_text("near duplicate in another class")
    two = page.locator(".card", has_text="was collected as disc and as stripes")
    expect(two.locator("button", has_text="Keep")).to_have_count(0)
    two.locator("button", has_text="stripes").click()
    expect(two).to_contain_text("moved to stripes")
    says(page, "Moved to stripes")
    assert lines(folder)[-1]["to"] == "stripes"


@pytest.mark.parametrize(("viewport", "theme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_axe_finds_nothing(page: Page, url: str, node_folder: Path, viewport: dict, theme: str) -> None:
    axe = read_axe(node_folder)
    page.set_viewport_size(viewport)
    visit(page, url, f"?__theme={theme}")
    found = [("wrong", *complaint) for complaint in complaints(page, axe)]
    page.keyboard.press("d")
    says(page, "Deleted")
    for name in ("crossing", "decided"):
        open_queue(page, name)
        found += [(name, *complaint) for complaint in complaints(page, axe)]
    for name in ("many", "keys-open", "publish"):
        page.locator(f"#clean-{name}").click()
        expect(page.locator("#clean dialog[open]")).to_be_visible()
        found += [(name, *complaint) for complaint in complaints(page, axe, "#clean dialog[open]")]
        page.keyboard.press("Escape")
    assert found == []


def test_the_screen_reader_hears_what_a_picture_is_and_what_was_done(page: Page, url: str) -> None:
    visit(page, url)
    name = page.locator(".card").first.get_attribute("aria-label")
    assert name
    assert name.startswith("Picture 1 of 24: ")
    assert name.endswith("undecided")
    page.locator(".card").first.locator("button", has_text="Delete").click()
    expect(page.locator(".card").first).to_have_attribute("aria-label", name.replace("undecided", "deleted"))
    assert page.locator("#clean-status").get_attribute("aria-live") == "polite"
    assert page.locator(".card img").first.get_attribute("loading") == "lazy"


def test_the_filters_leave_what_they_name(client: httpx.Client) -> None:
    everything = client.get("/clean/queue", params={"name": "losses"}).json()["items"]
    for name, value in (("label", "disc"), ("fold", "2"), ("source", "folder")):
        items = client.get("/clean/queue", params={"name": "losses", name: value}).json()["items"]
        ids = ",".join("+".join(group) for group in items)
        groups = client.get("/clean/cards", params={"queue": "losses", "ids": ids}).json()["cards"]
        cards = [card for group in groups for card in group]
        assert {str(card[name]) for card in cards} == {value}
        assert len(items) == len(everything) if name == "source" else 0 < len(items) < len(everything)
    assert client.get("/clean/queue", params={"name": "nonsense"}).status_code == 404


def test_thumbnails_are_small_and_of_this_set_alone(client: httpx.Client, folder: Path) -> None:
    record = next(record for record in read_manifest(folder) if record.kept)
    answer = client.get(f"/clean/thumb/{record.sha256[:16]}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/clean/thumb/0000000000000000").status_code == 404
    secret = folder.parent / "secret.jpg"
    secret.write_bytes((folder / str(record.file)).read_bytes())
    for path in ("/clean/thumb/..%2F..%2Fsecret.jpg", f"/clean/thumb/{folder.parent}/secret.jpg"):
        assert client.get(path).status_code == 404


def test_a_manifest_that_names_a_file_outside_shows_nothing(folder: Path) -> None:
    records = read_manifest(folder)
    victim = next(index for index, record in enumerate(records) if record.kept)
    (folder.parent / "secret.jpg").write_bytes((folder / str(records[victim].file)).read_bytes())
    records[victim] = replace(records[victim], file="../secret.jpg")
    write_manifest(folder, records)
    with serving(create_app(Session(folder, "anna"), ServeConfig())) as url:
        assert httpx.get(f"{url}/clean/thumb/{records[victim].sha256[:16]}").status_code == 404


def test_nonsense_is_refused_and_nothing_is_written(client: httpx.Client, folder: Path) -> None:
    key = next(record.sha256[:16] for record in read_manifest(folder) if record.kept)
    for items, status in (
        ([{"id": "0" * 16, "action": "keep"}], 404),
        ([{"id": key, "action": "burn"}], 400),
        ([{"id": key, "action": "relabel", "to": "hexagon"}], 400),
        ([{"id": key, "action": "keep"}, {"id": "0" * 16, "action": "keep"}], 404),
        ([], 422),
    ):
        assert client.post("/clean/decide", json={"items": items}).status_code == status
    assert lines(folder) == []


def test_a_name_with_anything_in_it_is_one_printable_line(client: httpx.Client, folder: Path) -> None:
    key = next(record.sha256[:16] for record in read_manifest(folder) if record.kept)
    client.post("/clean/decide", json={"who": HOSTILE, "items": [{"id": key, "action": "keep"}]})
    who = str(lines(folder)[0]["who"])
    assert who.isprintable()
    assert len(who) <= 60


def test_only_its_own_page_may_decide(client: httpx.Client, url: str, folder: Path) -> None:
    key = next(record.sha256[:16] for record in read_manifest(folder) if record.kept)
    body = {"items": [{"id": key, "action": "delete"}]}
    for headers in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "elsewhere.example"},
        {"Host": "127.0.0.1.elsewhere.example", "Origin": "http://127.0.0.1.elsewhere.example"},
    ):
        assert client.post("/clean/decide", json=body, headers=headers).status_code == 403, headers
    assert client.get("/clean/state", headers={"Host": "elsewhere.example"}).status_code == 403
    assert client.get("/", headers={"Host": "elsewhere.example"}).status_code == 403
    assert lines(folder) == []
    assert client.post("/clean/decide", json=body, headers={"Origin": url}).status_code == 200
    assert client.get("/").headers["x-frame-options"] == "DENY"


def test_elsewhere_only_with_a_password(folder: Path) -> None:
    session = Session(folder, "anna")
    with pytest.raises(PasswordMissing, match="SPOTTER_PASSWORD"):
        create_app(session, ServeConfig(host="0.0.0.0"))
    with serving(create_app(session, ServeConfig(host="0.0.0.0"), "geheim🐻")) as url:
        key = next(record.sha256[:16] for record in read_manifest(folder) if record.kept)
        for path in ("/", "/clean/state", f"/clean/thumb/{key}", "/config", "/gradio_api/info"):
            assert httpx.get(url + path).status_code == 401, path
        for wrong in ("geheim", "", "geheim🐻 "):
            given = base64.b64encode(f"me:{wrong}".encode()).decode()
            assert httpx.get(f"{url}/clean/state", headers={"Authorization": f"Basic {given}"}).status_code == 401
        assert httpx.get(f"{url}/clean/state", headers={"Authorization": "Basic %%%"}).status_code == 401
        right = {"Authorization": f"Basic {base64.b64encode('me:geheim🐻'.encode()).decode()}"}
        assert httpx.get(f"{url}/clean/state", headers={**right, "Host": "clean.example"}).status_code == 200


def test_who_guesses_the_password_has_to_wait(folder: Path) -> None:
    with serving(create_app(Session(folder, "anna"), ServeConfig(host="0.0.0.0"), "geheim🐻")) as url:
        # Who knows it may ask as often as they like.
        assert {httpx.get(f"{url}/clean/state", auth=("me", "geheim🐻")).status_code for _ in range(8)} == {200}
        assert [httpx.get(f"{url}/clean/state", auth=("me", f"guess {n}")).status_code for n in range(6)] == (
            [401] * 5 + [429]
        )
        refused = httpx.get(f"{url}/clean/state", auth=("me", "geheim🐻"))
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60


def test_a_set_that_went_away_is_told(client: httpx.Client, folder: Path) -> None:
    (folder / "manifest.jsonl").unlink()
    answer = client.get("/clean/state")
    assert answer.status_code == 409
    assert "cannot be read: No such file" in answer.json()["error"]


def test_the_command_refuses_in_one_sentence(folder: Path, tmp_path: Path, capsys) -> None:
    short, empty = tmp_path / "short", tmp_path / "empty"
    short.write_text("1234567\n")
    empty.write_text("\n")
    for words, sentence in (
        ([tmp_path], "There is no training run in"),
        ([folder, "--host", "0.0.0.0"], "set SPOTTER_PASSWORD"),
        ([folder, "--host", "0.0.0.0", "--password-file", short], "at least 8 characters"),
        ([folder, "--password-file", empty], "is empty"),
        ([folder, "--password-file", tmp_path / "none"], "cannot be read"),
        (["replay", folder, tmp_path / "none"], "cannot be read"),
        (["export", folder, tmp_path], "cannot be written"),
    ):
        assert main(["clean", *map(str, words)]) == 1
        (told,) = capsys.readouterr().err.splitlines()
        assert sentence in told


def test_a_page_that_is_killed_has_lost_nothing(folder: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "spotter", "clean", str(folder), "--as", "anna", "--port", str(port)]
    keys = [record.sha256[:16] for record in read_manifest(folder) if record.kept][:30]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout
    url = server.stdout.readline().strip()
    for key in keys:
        assert httpx.post(f"{url}/clean/decide", json={"items": [{"id": key, "action": "keep"}]}).status_code == 200
    server.kill()
    server.wait()
    assert [str(line["sha256"])[:16] for line in lines(folder)] == keys


def test_a_mistyped_sub_command_is_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["clean", "aply", str(made)])
    assert ended.value.code == 2
    assert "there is no 'aply'; did you mean 'apply'?" in capsys.readouterr().err


def test_export_and_replay_and_apply(folder: Path, made: Path, tmp_path: Path, capsys) -> None:
    record = next(r for r in read_manifest(folder) if r.backend_id == "cross/disc900.jpg")
    EditLog(folder).append([Edit("anna", "relabel", record.sha256, record.original_sha256, "cross", "disc")])
    assert main(["clean", "export", str(folder), str(tmp_path / "edits.jsonl")]) == 0
    other = Path(shutil.copytree(made / "data" / "shapes" / "folder", tmp_path / "other"))
    assert main(["clean", "replay", str(other), str(tmp_path / "edits.jsonl")]) == 0
    assert "1 line added" in capsys.readouterr().out
    assert main(["clean", "replay", str(other), str(tmp_path / "edits.jsonl")]) == 0
    assert "0 lines added" in capsys.readouterr().out
    assert lines(other) == lines(folder)
    assert main(["clean", "apply", str(other)]) == 0
    assert "1 picture moved, 0 removed" in capsys.readouterr().out
    assert (other / "disc" / Path(record.file).name).is_file()
    session = Session(other, "ben")
    assert session.cards("losses", [[record.sha256[:16]]])[0][0]["label"] == "disc"


def test_a_store_leads_to_its_pictures_and_publishes_no_path(made: Path) -> None:
    assert find_pictures(made / "models" / "shapes") == made / "data" / "shapes" / "folder"
    with pytest.raises(NoTrainingRun, match="There is no training run"):
        find_pictures(made)


def test_a_damaged_run_is_told(folder: Path) -> None:
    path = folder / "training.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(NoTrainingRun, match="train again"):
        read_run(folder)


def publish(session: Session) -> None:
    session.start("publish")
    wait_until(lambda: session.job and session.job.state != "running")


def test_the_process_that_publishes_says_why_it_does_not(folder: Path) -> None:
    session = Session(folder, "anna")
    run = folder / "training.safetensors"
    run.write_bytes(run.read_bytes()[:500])
    publish(session)
    assert session.job
    assert session.job.state == "failed"
    assert "train again" in session.job.line


@pytest.mark.slow
def test_what_train_py_leaves_can_be_cleaned_and_published_again(
    trained: Published,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = Path(shutil.copytree(trained.data, tmp_path / "data"))
    store = Path(shutil.copytree(trained.store, tmp_path / "shapes"))
    folder = find_pictures(store)
    assert folder.is_relative_to(trained.data)
    folder = data / folder.relative_to(trained.data)
    run = read_run(folder)
    write_run(replace(run, folder=folder, store=str(store)))
    records = read_dataset(folder, run.recipe.labels).records
    EditLog(folder).append(
        [
            Edit("anna", "delete", records[0].sha256, why="junk"),
            Edit("anna", "relabel", records[1].sha256, origin=records[1].label, to="stripes"),
        ]
    )
    session = Session(folder, "anna")
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["spotter.pipeline", str(folder)])
        assert pipeline.main() == 0
    # The process that the page starts would import fastai once more; what it prints is this.
    (tmp_path / "printed").write_text(capfd.readouterr().out)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n[ \"$*\" = '-m spotter.pipeline {folder}' ] && cat '{tmp_path}/printed'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    publish(session)
    assert session.job
    assert session.job.state == "done", (session.job.line, session.job.lines)
    revision = (store / "main").read_text().strip()
    assert revision != trained.revision
    assert session.job.line == f"Published {revision[:12]}."
    assert any("largest difference" in line for line in session.job.lines)
    again = read_manifest(store / "revisions" / revision)
    by_hash = {record.sha256: record for record in again}
    assert by_hash[records[0].sha256].reason == "deleted: junk"
    moved = by_hash[records[1].sha256]
    assert (moved.label, moved.reason) == ("stripes", f"was {records[1].label}")
    assert read_run(folder).revision == revision
    assert session.state()["revision"] == revision
    # The set itself still says what was collected; flags are of whoever looked last.
    after = read_dataset(folder, run.recipe.labels).records
    assert [replace(record, flags=()) for record in after] == [replace(record, flags=()) for record in records]
    for path in (store / "revisions" / revision).iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
