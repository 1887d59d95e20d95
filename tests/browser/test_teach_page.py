"""The page that teaches, as people meet it: a real browser, a real site, a real network."""

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from spotter.inference.predictor import Predictor
from spotter.serve.page.translations import LANGUAGES
from tests.conftest import Revision
from tests.helpers.access import focus_rings, poor_contrasts, small_targets, spilled_words
from tests.helpers.browser import DESKTOP, ENLARGED, PHONE, complaints, overflow, read_axe
from tests.helpers.drawing import write_folder
from tests.helpers.site import make_site, serving_site
from tests.helpers.teach import LONG_MS, Lesson, lesson_in, other_tab, picture
from tests.helpers.window import Window

# They are kept by twelve: of these the first are, and the last ones are on a drive that stalls.
MANY = [picture("disc", seed) for seed in range(50, 90)]
FIRST, STALLED = 12, MANY[20:]


@pytest.fixture(scope="module")
def url(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    make_site(prebuilt.folder, Predictor.load(str(prebuilt.store)), folder)
    with serving_site(folder) as server:
        yield server.url("teach/")


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[Lesson]:
    with lesson_in(browser, url) as lesson:
        yield lesson


@pytest.fixture
def lesson(opened: Lesson) -> Iterator[Lesson]:
    """The page as a first visit finds it, in one window for many tests."""
    assert (opened.names(), opened.counts()) == (["Class 1", "Class 2"], [0, 0])
    yield opened
    opened.empty()


@pytest.fixture
def own(window: Window, url: str) -> Iterator[Lesson]:
    """One that may be left and opened again."""
    with window.visiting(url) as visit:
        yield Lesson(visit.page).ready()


@pytest.fixture
def cold(browser: Browser, url: str) -> Iterator[Lesson]:
    """One in a new window, which may be closed."""
    with lesson_in(browser, url) as lesson:
        yield lesson


@pytest.mark.parametrize(
    ("viewport", "theme", "language"),
    [(DESKTOP, "light", "fr"), (PHONE, "dark", "de")],
    ids=["desktop-light-fr", "phone-dark-de"],
)
def test_everybody_can_see_reach_and_follow_all_of_it(
    window: Window, url: str, node_folder: Path, viewport: dict[str, int], theme: str, language: str
) -> None:
    axe = read_axe(node_folder)
    address = f"{url}?theme={theme}&lang={language}"
    with window.visiting(address, viewport=viewport, permissions=["camera"]) as visit:
        lesson, page, troubles = Lesson(visit.page).ready(), visit.page, []

        def look(where: str, within: str = "html") -> None:
            found = [*complaints(page, axe, within), *poor_contrasts(page), *small_targets(page)]
            troubles.extend((where, *each) for each in found)
            assert overflow(page) <= 0, where

        look("empty")
        rings = focus_rings(page)
        # Two classes with six controls each, and the buttons of the three steps.
        assert len(rings) > 14
        troubles += [("empty", *ring) for ring in rings if ring[1]]
        for place, kind in enumerate(("disc", "cross")):
            files = [picture(kind, seed) for seed in range(12)]
            lesson.card(place).locator("input[type=file]").set_input_files(files)
        expect(page.locator(".thumbs img")).to_have_count(24, timeout=LONG_MS)
        lesson.learn()
        expect(page.locator("#results")).to_be_visible(timeout=LONG_MS)
        look("learnt")
        page.locator("#matrix button").first.click()
        expect(page.locator("#gallery img").first).to_be_visible()
        # The page behind a dialog was looked at before.
        look("gallery", "#gallery")
        page.keyboard.press("Escape")
        lesson.card(0).locator(".sources-line button").nth(2).click()
        expect(page.locator("#search form")).to_be_visible()
        look("search", "#search")
        page.keyboard.press("Escape")
        lesson.card(0).locator(".sources-line button").nth(0).click()
        expect(page.locator(".hold")).to_be_visible()
        look("camera")
        assert troubles == [], troubles


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_words_keep_to_their_buttons_on_a_page_that_is_enlarged(window: Window, url: str, language: str) -> None:
    with window.visiting(f"{url}?lang={language}", viewport=ENLARGED, permissions=["camera"]) as visit:
        lesson, page = Lesson(visit.page).ready(), visit.page
        assert (spilled_words(page), overflow(page) <= 0) == ([], True)
        lesson.card(0).locator(".sources-line button").nth(2).click()
        expect(page.locator("#search form")).to_be_visible()
        assert spilled_words(page) == []
        page.keyboard.press("Escape")
        lesson.card(0).locator(".sources-line button").nth(0).click()
        expect(page.locator(".hold")).to_be_visible()
        assert (spilled_words(page), overflow(page) <= 0) == ([], True)


def test_a_first_visit_shows_three_steps_with_a_button_each(lesson: Lesson) -> None:
    page = lesson.page
    assert [re.sub(r"\s+", " ", each) for each in page.locator("#teach h2:visible").all_inner_texts()] == [
        "1 Show it pictures",
        "2 Let it learn",
        "3 Try it",
    ]
    assert lesson.names() == ["Class 1", "Class 2"]
    # One button of each is the main one, and what can be tried without pictures is shown.
    for step, name in (("show", "Try it with drawn bears"), ("learning", "Learn"), ("trying", "Use the camera")):
        assert page.locator(f"#{step} button.first:visible").all_inner_texts() == [name]
    expect(page.locator("#nothing-yet img")).to_have_count(3)
    page.wait_for_function("[...document.querySelectorAll('#nothing-yet img')].every(each => each.naturalWidth)")
    # All of it is in sight at once.
    assert page.evaluate("document.querySelector('#try-camera').getBoundingClientRect().bottom") < DESKTOP["height"]
    page.locator("#try-camera").click()
    expect(page.locator("#answer")).to_contain_text("Let it learn first")


def test_drawn_bears_are_learnt_and_tried_at_once(lesson: Lesson) -> None:
    page = lesson.page
    page.get_by_role("button", name="Try it with drawn bears").click()
    expect(lesson.said).to_contain_text("Added: 48.", timeout=LONG_MS)
    assert (lesson.names(), lesson.counts()) == (["grizzly", "teddy"], [24, 24])
    # What comes next has the focus.
    expect(page.locator("#learn")).to_be_focused()
    told = lesson.learn()
    assert re.search(r"(?:About \d+(?:\.\d)? % of new pictures|right that it had not seen)", told)
    assert re.search(r"Wrong: \d+ of 48 .*19 times of 20", told)
    assert sum(map(int, page.locator("#matrix button").all_inner_texts())) == 48
    page.locator("#try-camera").click()
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    expect(page.locator("#answer h2")).not_to_be_empty()
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.locator("#try-box video")).to_be_hidden()


def test_it_can_be_tried_while_views_are_still_learnt_from(cold: Lesson) -> None:
    lesson, page = cold, cold.page
    hear_on = lesson.hold_views()
    lesson.add_kinds({"disc": 20, "cross": 20})
    page.locator("#learn").click()
    working = page.locator("#learnt .working")
    expect(working).to_contain_text("You can try it now.", timeout=LONG_MS)
    # What was learnt so far is told, and answers; it is not taken away before it is whole.
    expect(lesson.learnt).to_contain_text("Wrong: ")
    expect(page.locator("#results")).to_be_visible()
    expect(page.locator("#take")).to_be_hidden()
    page.locator("#try-input").set_input_files([picture("disc", 21)])
    expect(page.locator("#answer h2")).to_contain_text("Disc", timeout=LONG_MS)
    expect(working).to_be_visible()
    page.locator("#stop").click()
    # What it knows by then stays, is told, answers, and can be taken away.
    expect(lesson.learnt.locator(".wrong")).to_contain_text("Stopped. It knows the pictures themselves")
    expect(lesson.learnt).to_contain_text("Wrong: ")
    with page.expect_download(timeout=LONG_MS) as waiting:
        page.get_by_role("button", name="Download for Spotter").click()
    with zipfile.ZipFile(waiting.value.path()) as file:
        taught = json.loads(file.read("spotter-lesson.json"))["taught"]
    assert taught["shifted"] < len(taught["fold"]) == 40
    assert taught["cropped"] < 3 * 40
    page.locator("#try-input").set_input_files([picture("cross", 23)])
    expect(page.locator("#answer h2")).to_contain_text("Cross", timeout=LONG_MS)
    # Pictures do not wait for the rest.
    page.locator("#learn").click()
    lesson.add(1, [picture("cross", 22)])
    assert lesson.counts() == [20, 21]
    hear_on()
    expect(page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    assert "Wrong: " in lesson.learn()
    expect(working).to_have_count(0)
    expect(page.locator("#take")).to_be_visible()


def test_sub_folders_become_classes(lesson: Lesson, tmp_path: Path) -> None:
    write_folder(tmp_path / "shapes", count=6)
    (tmp_path / "shapes" / "disc" / "notes.txt").write_text("no picture")
    (tmp_path / "shapes" / "beside.jpg").write_bytes(picture("disc", 90)["buffer"])
    lesson.page.locator("#folder").set_input_files(tmp_path / "shapes")
    expect(lesson.said).to_contain_text("Added: 18.", timeout=LONG_MS)
    assert (sorted(lesson.names()), lesson.counts()) == (["cross", "disc", "stripes"], [6, 6, 6])
    expect(lesson.said).to_contain_text("Could not be used: 1. The first is disc/notes.txt: This is not a picture")
    expect(lesson.said).to_contain_text("Files beside the folders were left out: 1.")
    assert "Wrong: " in lesson.learn()


# Copies of what is there, once the network has seen it: pictures whose hashes are made up, with the same features.
MULTIPLY = """async times => {
    const [{ name }] = await indexedDB.databases();
    const database = await new Promise(done => {
        indexedDB.open(name).onsuccess = ({ target }) => done(target.result);
    });
    const whole = request => new Promise(done => { request.onsuccess = () => done(request.result); });
    const count = store => whole(database.transaction(store).objectStore(store).count());
    while (await count("features") < await count("pictures")) await new Promise(done => setTimeout(done, 100));
    const change = database.transaction(["pictures", "features"], "readwrite");
    const [pictures, features] = ["pictures", "features"].map(store => change.objectStore(store));
    const kept = new Map((await whole(features.getAll())).map(each => [each.key.split(" ").at(-1), each]));
    let order = 100;
    for (const picture of await whole(pictures.getAll())) {
        const { key, features: seen } = kept.get(picture.sha256);
        for (let time = 1; time < times; time++) {
            order += 1;
            const sha256 = order.toString(16).padStart(64, "0");
            pictures.put({ ...picture, sha256, original_sha256: sha256, order });
            features.put({ key: key.replace(picture.sha256, sha256), features: seen });
        }
    }
    await new Promise(done => { change.oncomplete = done; });
    database.close();
}"""


@pytest.mark.slow
def test_a_folder_of_5000_is_taken_as_far_as_there_is_room(own: Lesson, url: str, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3), dtype=np.uint8)
    for kind, count, mine in (("few", 1000, colours[:10]), ("many", 4000, colours[10:])):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(count):
            path = tmp_path / "set" / kind / f"{number:04}.jpg"
            if number < len(mine):
                Image.fromarray(mine[number]).resize((8, 8)).save(path, quality=95)
            else:
                # Nobody opens what is left out.
                path.write_bytes(b"no picture")
    # Most of what fills the page is there already: to look at 2000 pictures takes many seconds. They have not been
    # learnt: what was is learnt again, without a click, when the page is opened.
    own.add_kinds({"few": 10, "many": 10})
    own.page.evaluate(MULTIPLY, 99)
    assert own.open(url).counts() == [990, 990]
    own.page.locator("#folder").set_input_files(tmp_path / "set")
    expect(own.said).to_contain_text("Added: 20.", timeout=LONG_MS)
    expect(own.said).to_contain_text("This page takes 2000 pictures at most; left out: 4980.")
    expect(own.said).not_to_contain_text("Could not")
    assert own.counts() == [1000, 1000]
    own.page.goto("about:blank")
    assert own.open(url).counts() == [1000, 1000]


def test_it_says_what_is_missing(lesson: Lesson) -> None:
    assert "Add pictures to two classes first." in lesson.learn()
    lesson.name(0, "disc")
    lesson.add(0, [picture("disc", seed) for seed in range(6)])
    assert "It needs a second class to tell disc from." in lesson.learn()
    lesson.name(1, "cross")
    lesson.add(1, [picture("cross", seed) for seed in range(3)])
    assert "cross has too few pictures: 3. Each class needs at least 5" in lesson.learn()
    lesson.add(1, [picture("cross", seed) for seed in range(3, 6)])
    assert "Wrong: " in lesson.learn()
    assert lesson.page.locator("#learnt .wrong").count() == 0


def test_the_same_picture_is_added_once(lesson: Lesson) -> None:
    same = picture("disc", 1)
    told = lesson.add(0, [{**same, "name": f"{number}.jpg"} for number in range(50)])
    assert "Added: 1." in told
    assert "Already there, and not added twice: 49." in told
    assert "In another class already (Class 1), and left there: 1." in lesson.add(1, [same])
    assert lesson.counts() == [1, 0]


def test_what_is_no_picture_is_refused_with_the_reason(lesson: Lesson) -> None:
    cut = picture("disc", 2)
    files = [
        {"name": "a page.jpg", "mimeType": "image/jpeg", "buffer": b"<html>"},
        {**cut, "name": "cut.jpg", "buffer": cut["buffer"][:2000]},
        {"name": "nothing.jpg", "mimeType": "image/jpeg", "buffer": b""},
    ]
    assert "Could not be used: 3. The first is a page.jpg: This is not a picture I can read" in lesson.add(0, files)
    assert "damaged or cut short" in lesson.add(0, files[1:2])
    assert lesson.counts() == [0, 0]


def test_names_that_cannot_be_are_refused_and_the_old_one_stays(lesson: Lesson) -> None:
    name = lesson.card(0).locator(".name")
    for text, words in (
        ("", "a letter or a digit"),
        ("a<b", "cannot have"),
        ("Class 2", "Another class"),
        ("not sure", "another meaning"),
    ):
        name.fill(text)
        expect(lesson.card(0).locator(".wrong")).to_contain_text(words)
        assert name.get_attribute("aria-invalid") is not None
    name.press("Tab")
    expect(name).to_have_value("Class 1")
    assert lesson.names() == ["Class 1", "Class 2"]
    lesson.name(0, "  灰熊 ")
    expect(name).to_have_value("灰熊")
    assert lesson.names() == ["灰熊", "Class 2"]


def test_enter_ends_a_name_and_opens_no_camera(lesson: Lesson) -> None:
    name, camera = lesson.card(0).locator(".name"), lesson.card(0).get_by_role("button", name="Camera")
    name.fill("hand")
    # As from a keyboard for Chinese: it takes the word that is offered, and goes on in the field.
    name.evaluate("each => each.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }))")
    expect(name).to_be_focused()
    name.press("Enter")
    expect(camera).to_be_focused()
    expect(lesson.page.locator(".shooting")).to_have_count(0)
    assert lesson.names() == ["hand", "Class 2"]
    lesson.page.keyboard.press("Enter")
    expect(lesson.page.locator(".hold")).to_be_focused()
    lesson.page.get_by_role("button", name="Close the camera").click()


def test_it_is_all_there_after_the_tab_was_closed_even_while_pictures_are_added(cold: Lesson, url: str) -> None:
    cold.add_kinds({"disc": 8, "cross": 8})
    told = cold.learn()
    cold.page.close()
    again = other_tab(cold.page.context, url)
    # It is learnt as it was, without a click, and nothing is computed anew.
    expect(again.learnt).to_contain_text("Wrong: ", timeout=LONG_MS)
    assert again.learnt.inner_text().split("\n")[0] == told.split("\n")[0]
    assert (again.names(), again.counts()) == (["disc", "cross"], [8, 8])
    again.stall(STALLED)
    again.card(0).locator("input[type=file]").set_input_files(MANY)
    expect(again.card(0).locator(".count")).to_have_text(f"Pictures: {8 + FIRST}", timeout=LONG_MS)
    again.page.close()
    last = Lesson(cold.page.context.new_page()).open(url)
    assert last.counts() == [8 + FIRST, 8]
    said = re.match(r"Adding pictures was not finished: at least (\d+) of 40 files were done\.", last.said.inner_text())
    assert said
    # What was noted last may be lost with the tab.
    assert int(said[1]) in {0, FIRST}
    # Those that are missing can be added by adding all again.
    assert f"Added: {len(MANY) - FIRST}. Already there, and not added twice: {FIRST}." in last.add(0, MANY)
    assert last.counts() == [48, 8]
    # It is told once, and what came to its end is not told.
    last.open(url)
    expect(last.said).to_be_empty()


def test_closing_the_tab_is_asked_about_only_while_pictures_are_added(own: Lesson, url: str) -> None:
    asked: list[str] = []
    own.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    # Browsers ask nothing where nobody has done anything.
    own.card(0).locator(".name").click()
    own.stall(STALLED)
    own.card(0).locator("input[type=file]").set_input_files(MANY)
    expect(own.said).to_contain_text("Adding", timeout=LONG_MS)
    own.open(url)
    assert asked == ["beforeunload"]
    own.add(1, [picture("cross", 1)])
    own.card(0).locator(".name").click()
    own.open(url)
    assert asked == ["beforeunload"]


# How many pictures are kept.
COUNT = """async () => {
    const [{ name }] = await indexedDB.databases();
    const opening = indexedDB.open(name);
    await new Promise((resolve) => { opening.onsuccess = resolve; });
    const asking = opening.result.transaction("pictures").objectStore("pictures").count();
    await new Promise((resolve) => { asking.onsuccess = resolve; });
    opening.result.close();
    return asking.result;
}"""


DROP = """async () => {
    for (const { name } of await indexedDB.databases()) {
        await new Promise((resolve) => { indexedDB.deleteDatabase(name).onsuccess = resolve; });
    }
}"""


def test_where_a_first_visit_finds_no_room_it_teaches_in_memory_and_says_so(own: Lesson, url: str) -> None:
    page = own.page
    protocol = page.context.new_cdp_session(page)
    protocol.send("Storage.clearDataForOrigin", {"origin": url.removesuffix("/teach/"), "storageTypes": "all"})
    # The database opens all the same.
    protocol.send("Storage.overrideQuotaForOrigin", {"origin": url.removesuffix("/teach/"), "quotaSize": 1000})
    try:
        own.open(url)
        expect(page.locator("#elsewhere")).to_contain_text("This browser keeps nothing for this page")
        own.add(0, [picture("disc", seed) for seed in range(5)])
        assert own.counts() == [5, 0]
        page.once("dialog", lambda dialog: dialog.accept())
        page.goto("about:blank")
    finally:
        protocol.detach()


def test_pictures_that_the_browser_dropped_are_told_once(own: Lesson, url: str) -> None:
    own.add(0, [picture("disc", seed) for seed in range(3)])
    own.add(1, [picture("cross", 1)])
    own.page.once("dialog", lambda dialog: dialog.accept())
    own.card(1).locator(".icon").click()
    expect(own.classes).to_have_count(1)
    # A page that does not hold what is kept.
    own.page.goto(url.replace("teach/", "blank.html"))
    own.page.evaluate(DROP)
    own.open(url)
    expect(own.said).to_contain_text("kept here and are gone: at least 3. The browser dropped them")
    assert own.counts() == [0, 0]
    own.open(url)
    expect(own.said).to_be_empty()


FORGET_CLASSES = """async () => {
    const [{ name }] = await indexedDB.databases();
    const opening = indexedDB.open(name);
    await new Promise((resolve) => { opening.onsuccess = resolve; });
    const change = opening.result.transaction("told", "readwrite");
    change.objectStore("told").delete("classes");
    await new Promise((resolve) => { change.oncomplete = resolve; });
    opening.result.close();
}"""


def test_pictures_whose_class_the_browser_dropped_are_in_a_new_one(own: Lesson, url: str) -> None:
    """Chromium may drop a part of what it kept on a disk that was full."""
    own.name(0, "disc")
    own.add(0, [picture("disc", seed) for seed in range(3)])
    own.add(1, [picture("cross", seed) for seed in range(2)])
    own.page.goto(url.replace("teach/", "blank.html"))
    own.page.evaluate(FORGET_CLASSES)
    own.open(url)
    assert (own.names(), own.counts()) == (["Class 1", "Class 2"], [3, 2])
    assert "not added twice: 2." in own.add(1, [picture("cross", seed) for seed in range(2)])
    own.open(url)
    assert own.counts() == [3, 2]


def test_two_tabs_do_not_overwrite_each_other(own: Lesson, url: str) -> None:
    own.add(0, [picture("disc", 1)])
    second = other_tab(own.page.context, url)
    elsewhere = second.page.locator("#elsewhere")
    expect(elsewhere).to_contain_text("This page is open in another tab.")
    expect(second.page.locator("#teach")).to_be_hidden()
    elsewhere.get_by_role("button", name="Go on here").click()
    expect(second.card(0).locator(".count")).to_have_text("Pictures: 1", timeout=LONG_MS)
    expect(own.page.locator("#elsewhere")).to_contain_text("open in another tab")
    expect(own.page.locator("#teach")).to_be_hidden()
    second.add(0, [picture("disc", 2)])
    second.page.close()
    # The first goes on by itself, with what the second did.
    expect(own.card(0).locator(".count")).to_have_text("Pictures: 2", timeout=LONG_MS)


def test_a_tab_that_adds_pictures_ends_before_another_goes_on(own: Lesson, url: str) -> None:
    second = other_tab(own.page.context, url)
    expect(second.page.locator("#elsewhere")).to_contain_text("This page is open in another tab.")
    read_on = own.stall(STALLED)
    own.card(0).locator("input[type=file]").set_input_files(MANY)
    expect(own.card(0).locator(".count")).to_have_text(f"Pictures: {FIRST}", timeout=LONG_MS)
    second.page.get_by_role("button", name="Go on here").click()
    expect(second.page.locator("#teach")).to_be_visible(timeout=LONG_MS)
    expect(second.said).to_contain_text(f"of {len(MANY)} files were done", timeout=LONG_MS)
    assert second.counts()[0] == FIRST
    left = own.page.locator("#elsewhere")
    expect(left).to_contain_text(f"Not added: {len(MANY) - FIRST}.", timeout=LONG_MS)
    # Nothing more comes, also not after all was removed.
    read_on()
    second.page.wait_for_timeout(1000)
    assert second.page.evaluate(COUNT) == FIRST
    second.empty()
    second.page.wait_for_timeout(1000)
    assert second.page.evaluate(COUNT) == 0
    second.page.close()
    expect(own.page.locator("#teach")).to_be_visible(timeout=LONG_MS)
    assert own.counts() == [0, 0]
    own.add(0, [picture("disc", 1)])
    assert own.counts() == [1, 0]


@pytest.mark.parametrize("button", ["Remove everything", "Remove the class Class 1"])
def test_what_is_removed_while_pictures_are_added_stays_removed(own: Lesson, url: str, button: str) -> None:
    own.page.on("dialog", lambda dialog: dialog.accept())
    own.add(1, [picture("cross", 1)])
    read_on = own.stall(STALLED)
    own.card(0).locator("input[type=file]").set_input_files(MANY)
    expect(own.card(0).locator(".count")).to_have_text(f"Pictures: {FIRST}", timeout=LONG_MS)
    own.page.get_by_role("button", name=button).click()
    said = f"Adding was stopped: {len(MANY) - FIRST} were not added."
    expect(own.said).to_contain_text(said, timeout=LONG_MS)
    read_on()
    own.page.wait_for_timeout(1000)
    kept = 0 if button == "Remove everything" else 1
    assert own.page.evaluate(COUNT) == sum(own.counts()) == kept
    own.open(url)
    assert sum(own.counts()) == kept
    expect(own.said).to_be_empty()


@pytest.mark.parametrize("file", ["model/model.onnx.gz", "teach_worker.js"])
def test_what_cannot_be_added_without_the_model_is_told_and_can_be_later(
    prebuilt: Revision, browser: Browser, tmp_path: Path, file: str
) -> None:
    make_site(prebuilt.folder, Predictor.load(str(prebuilt.store)), tmp_path)
    away = tmp_path.with_name("away")
    (tmp_path / file).rename(away)
    with serving_site(tmp_path) as server, lesson_in(browser, server.url("teach/")) as lesson:
        errors: list[str] = []
        lesson.page.on("pageerror", lambda error: errors.append(str(error)))
        expect(lesson.said).to_contain_text("missing")
        told = lesson.add(0, [picture("disc", seed) for seed in range(3)])
        assert "missing" in told
        assert "Added: 0. Not added: 3." in told
        assert (lesson.counts(), errors) == ([0, 0], [])
        away.rename(tmp_path / file)
        assert "Added: 3." in lesson.add(0, [picture("disc", seed) for seed in range(3)])


# An error that nobody catches ends a worker's work for good.
END = "() => { setTimeout(() => { throw new Error('it is made to end') }); }"


def test_a_worker_that_ends_is_told_of_and_the_next_one_learns_and_adds(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 6, "cross": 6})
    assert "Wrong: " in lesson.learn()
    page = lesson.page
    page.workers[-1].evaluate(END)
    expect(lesson.learnt).to_have_text(re.compile("^What learns in the background has stopped"), timeout=LONG_MS)
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator("#take")).to_be_hidden()
    page.locator("#try-camera").click()
    expect(page.locator("#answer")).to_contain_text("Let it learn first")
    assert "Added: 1." in lesson.add(0, [picture("disc", 6)])
    assert "Wrong: " in lesson.learn()
    expect(page.locator("#take")).to_be_visible()
    assert len(page.workers) == 1
    page.locator("#try-input").set_input_files([picture("disc", 7)])
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)


def test_everything_can_be_removed_from_the_device(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 6, "cross": 6})
    lesson.learn()
    page, asked = lesson.page, []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Remove everything").click()
    assert "(12)" in asked[0]
    assert lesson.counts() == [6, 6]
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove everything").click()
    expect(lesson.said).to_contain_text("Everything has been removed")
    assert (lesson.names(), lesson.counts()) == (["Class 1", "Class 2"], [0, 0])
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator("#take")).to_be_hidden()
    expect(page.locator("#learn")).to_have_text("Learn")
    assert page.evaluate(KEPT) == {"pictures": 0, "features": 0, "decisions": 0}


def test_of_what_is_removed_while_it_is_learnt_nothing_is_said(lesson: Lesson) -> None:
    hear_on = lesson.hold_views()
    lesson.add_kinds({"disc": 6, "cross": 6})
    lesson.page.locator("#learn").click()
    expect(lesson.learnt).to_contain_text("You can try it now.", timeout=LONG_MS)
    lesson.empty()
    expect(lesson.page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    expect(lesson.learnt).to_be_empty()
    expect(lesson.page.locator("#take")).to_be_hidden()
    hear_on()


KEPT = """async () => {
    const [{ name }] = await indexedDB.databases();
    const database = await new Promise(done => {
        const request = indexedDB.open(name);
        request.onsuccess = () => done(request.result);
    });
    const count = store => new Promise(done => {
        const request = database.transaction(store).objectStore(store).count();
        request.onsuccess = () => done(request.result);
    });
    const told = {};
    for (const store of ["pictures", "features", "decisions"]) told[store] = await count(store);
    database.close();
    return told;
}"""


def test_a_label_in_doubt_is_kept_moved_left_out_and_all_that_is_taken_back(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 14, "cross": 14})
    # Two that are in the wrong class.
    lesson.add(1, [picture("disc", seed) for seed in (70, 71)])
    assert "Wrong: " in lesson.learn()
    page = lesson.page
    doubts, decided = page.locator("#doubts .doubts:not(.decided) li"), page.locator("#doubts .decided li")
    before = doubts.count()
    assert 3 <= before <= 10
    doubts.nth(0).get_by_role("button", name="Leave it out").click()
    expect(decided).to_have_count(1)
    expect(page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    assert sum(lesson.counts()) == 29
    doubts.nth(0).locator("select").select_option(index=1)
    expect(decided).to_have_count(2)
    doubts.nth(0).get_by_role("button", name=re.compile("^Keep ")).click()
    expect(decided).to_have_count(3)
    # The newest first.
    for place, words in enumerate(("Stays in", "Moved from", "Left out of")):
        expect(decided.nth(place)).to_contain_text(words)
    expect(page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    # The focus is where the next decision is.
    assert page.evaluate("document.activeElement.closest('#doubts') !== null")
    for left in (2, 1, 0):
        decided.first.get_by_role("button", name="Undo").click()
        expect(decided).to_have_count(left)
    assert lesson.counts() == [14, 16]


def test_what_is_pressed_and_a_menu_that_is_open_stay_when_it_has_learnt(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 10, "cross": 10})
    lesson.add(1, [picture("disc", 70)])
    lesson.learn()
    page = lesson.page
    doubts, decided = page.locator("#doubts .doubts:not(.decided) li"), page.locator("#doubts .decided li")
    pressed = doubts.last
    shown = pressed.locator("img").get_attribute("src")
    # With more that is doubtful, rows come before this one.
    lesson.add(1, [picture("disc", seed) for seed in (71, 72, 73)])
    # Pictures that are still to be shown would move the button away.
    expect(page.locator(".thumbs img")).to_have_count(24)
    page.wait_for_function("[...document.images].every(each => each.complete)")
    pressed.get_by_role("button", name=re.compile("^Keep ")).hover()
    page.mouse.down()
    page.evaluate("document.querySelector('#learn').click()")
    expect(page.locator("#learnt")).to_contain_text("of 24 ", timeout=LONG_MS)
    expect(page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    page.mouse.up()
    expect(decided).to_have_count(1)
    assert decided.locator("img").get_attribute("src") == shown
    expect(decided).to_contain_text("Stays in")
    # What was not decided about is the same element, whatever is learnt; once it has learnt from what was decided.
    expect(page.locator("#learn")).to_be_enabled(timeout=LONG_MS)
    menu = doubts.last.locator("select").element_handle()
    lesson.learn()
    assert menu.evaluate("(menu) => menu.isConnected")


def test_numbers_open_their_pictures_which_can_be_moved_and_removed(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 8, "cross": 8})
    lesson.learn()
    page = lesson.page
    page.get_by_role("button", name=re.compile("^disc, called")).first.click()
    gallery = page.locator("#gallery li")
    shown = gallery.count()
    assert shown
    gallery.first.locator("select").select_option(label="cross")
    expect(lesson.card(1).locator(".count")).to_have_text("Pictures: 9")
    gallery.last.get_by_role("button", name="Remove").click()
    expect(gallery).to_have_count(shown - 1)
    page.keyboard.press("Escape")
    expect(page.locator("#gallery")).to_be_hidden()
    assert sum(lesson.counts()) == 15


def test_a_button_that_is_held_is_seen_in_colours_of_the_visitors_own(cold: Lesson) -> None:
    page = cold.page
    cold.card(0).get_by_role("button", name="Camera").click()
    hold = page.get_by_role("button", name="Hold to take pictures")
    expect(hold).to_be_focused()
    page.emulate_media(forced_colors="active")
    ground = "(one) => getComputedStyle(one).backgroundColor"
    before = hold.evaluate(ground)
    page.keyboard.down("Space")
    expect(hold).to_have_class(re.compile("held"))
    assert hold.evaluate(ground) != before
    page.keyboard.up("Space")
    expect(hold).not_to_have_class(re.compile("held"))
    assert hold.evaluate(ground) == before


def test_a_held_button_takes_frames_that_differ(lesson: Lesson) -> None:
    page = lesson.page
    lesson.card(0).get_by_role("button", name="Camera").click()
    hold = page.get_by_role("button", name="Hold to take pictures")
    expect(hold).to_be_focused()
    # By keyboard: it takes as long as the key is down. The fake camera shows a clock and a disc that turns.
    began = time.monotonic()
    page.keyboard.down("Space")
    expect(page.locator(".shooting p")).to_contain_text("Taken: ")
    page.wait_for_timeout(2500)
    page.keyboard.up("Space")
    held_s = time.monotonic() - began
    # One may be under way.
    page.wait_for_timeout(500)
    told = "Number(/Taken: (\\d+)/.exec(document.querySelector('.shooting p').textContent)[1])"
    count = "Number(document.querySelector('.class .count').textContent.replace(/\\D/g, ''))"
    page.wait_for_function(f"{told} === {count}", timeout=LONG_MS)
    taken = page.evaluate(told)
    # Of the 8 or so frames a second that it saw.
    assert 1 <= taken <= 12 * held_s / 2.5
    page.wait_for_timeout(500)
    assert lesson.counts() == [taken, 0]
    # A short press takes one, and a second camera closes the first.
    lesson.card(1).get_by_role("button", name="Camera").click()
    expect(page.locator(".shooting")).to_have_count(1)
    # It has the focus when the camera is open.
    expect(hold).to_be_focused()
    hold.click()
    expect(lesson.card(1).locator(".count")).to_have_text("Pictures: 1", timeout=LONG_MS)
    page.get_by_role("button", name="Close the camera").click()
    expect(page.locator(".shooting")).to_have_count(0)


# Lets the visitor think about a camera until `allow()`, and knows all that was opened.
THINK = """() => {
    const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
    const allowed = new Promise(done => { window.allow = done; });
    window.opened = [];
    window.asked = 0;
    devices.getUserMedia = async (...wanted) => {
        asked += 1;
        await allowed;
        opened.push(await ask(...wanted));
        return opened.at(-1);
    };
}"""
LIVE = "opened.flatMap(stream => stream.getTracks()).filter(({ readyState }) => readyState === 'live').length"


def test_a_camera_that_is_wanted_elsewhere_when_it_is_allowed_is_open_there_alone(own: Lesson) -> None:
    page = own.page
    page.evaluate(THINK)
    for place in (0, 1):
        own.card(place).get_by_role("button", name="Camera").click()
    page.evaluate("allow()")
    expect(own.card(1).locator(".hold")).to_be_focused(timeout=LONG_MS)
    expect(page.locator(".shooting")).to_have_count(1)
    # The other one may have been opened later.
    page.wait_for_function(f"asked === 2 && opened.length === 2 && {LIVE} === 1", timeout=LONG_MS)
    page.get_by_role("button", name="Close the camera").click()
    page.wait_for_function(f"{LIVE} === 0", timeout=LONG_MS)


def test_a_camera_that_is_allowed_when_its_class_is_gone_stays_off(own: Lesson) -> None:
    page = own.page
    page.evaluate(THINK)
    own.card(0).get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Remove the class Class 1").click()
    expect(page.locator(".class")).to_have_count(1)
    page.evaluate("allow()")
    # As long as opening it may take, and no longer than it takes to close it.
    wait = "async left => { while (left-- && !(IS)) await new Promise(done => setTimeout(done, 20)); return IS; }"
    assert page.evaluate(wait.replace("IS", f"opened.length === 1 && {LIVE} === 0"), LONG_MS // 20)
    expect(page.locator(".shooting")).to_have_count(0)


def test_a_camera_that_was_asked_for_twice_is_answered_live_and_goes_off(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 6, "stripes": 6})
    lesson.learn()
    page = lesson.page
    page.evaluate(THINK)
    page.locator("#try-camera").dblclick()
    page.evaluate("allow()")
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    page.wait_for_function(f"asked === 2 && opened.length === 2 && {LIVE} === 1", timeout=LONG_MS)
    page.get_by_role("button", name="Stop the camera").click()
    page.wait_for_function(f"{LIVE} === 0", timeout=LONG_MS)


def test_a_picture_that_was_never_seen_is_tried(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 12, "stripes": 12})
    lesson.learn()
    page = lesson.page
    page.locator("#try-input").set_input_files([picture("stripes", 80)])
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    page.locator("#try-input").set_input_files([{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no"}])
    expect(page.locator("#answer")).to_contain_text("This is not a picture I can read")
    expect(page.locator("#bars meter")).to_have_count(0)


# Of a picture on another page, browsers give its address alone.
DROP_ADDRESS = """selector => {
    const moved = new DataTransfer();
    moved.setData("text/uri-list", "https://example.org/bear.jpg");
    const options = { bubbles: true, cancelable: true, dataTransfer: moved };
    document.querySelector(selector).dispatchEvent(new DragEvent("drop", options));
}"""


@pytest.mark.parametrize(("place", "said"), [("#try-box", "#answer"), (".class", "#said"), ("#show", "#said")])
def test_a_picture_that_is_dragged_from_another_page_is_refused_in_words(lesson: Lesson, place: str, said: str) -> None:
    page = lesson.page
    page.evaluate(DROP_ADDRESS, place)
    expect(page.locator(said)).to_contain_text("Save a picture from another page first.")


def test_a_picture_waits_in_sight_until_something_is_learnt(lesson: Lesson) -> None:
    page = lesson.page
    page.locator("#try-input").set_input_files([picture("stripes", 81)])
    expect(page.locator("#answer")).to_contain_text("Let it learn first")
    expect(page.locator("#try-box canvas")).to_be_visible()
    lesson.add_kinds({"disc": 6, "stripes": 6})
    lesson.learn()
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    expect(page.locator("#try-box canvas")).to_be_visible()


def test_nothing_of_an_earlier_picture_stays_beside_one_that_is_too_large(lesson: Lesson, tmp_path: Path) -> None:
    lesson.add_kinds({"disc": 6, "stripes": 6})
    lesson.learn()
    page = lesson.page
    # By its path: a buffer would travel to the browser as text.
    (tmp_path / "large.jpg").write_bytes(bytes(15_000_001))
    page.locator("#try-input").set_input_files([picture("stripes", 82)])
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    page.locator("#try-input").set_input_files([tmp_path / "large.jpg"])
    expect(page.locator("#answer")).to_contain_text("larger than 15 MB")
    expect(page.locator("#try-box canvas")).to_be_hidden()


def test_a_camera_that_is_refused_late_leaves_the_answer_alone(lesson: Lesson) -> None:
    lesson.add_kinds({"disc": 6, "stripes": 6})
    lesson.learn()
    page = lesson.page
    page.evaluate(
        """() => {
            const devices = navigator.mediaDevices;
            devices.getUserMedia = () => new Promise((_, reject) => {
                window.refuse = () => reject(new DOMException("", "NotAllowedError"));
            });
        }"""
    )
    page.locator("#try-camera").click()
    page.locator("#try-input").set_input_files([picture("stripes", 83)])
    expect(page.locator("#bars meter")).to_have_count(2, timeout=LONG_MS)
    page.evaluate("refuse(); delete navigator.mediaDevices.getUserMedia")
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 200))")
    expect(page.locator("#bars meter")).to_have_count(2)


def test_a_pasted_picture_goes_to_the_class_that_has_the_focus(lesson: Lesson) -> None:
    file = io.BytesIO()
    Image.effect_noise((80, 60), 90).convert("RGB").save(file, "PNG")
    lesson.card(1).locator(".name").focus()
    script = """bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
        document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }"""
    lesson.page.evaluate(script, list(file.getvalue()))
    expect(lesson.card(1).locator(".count")).to_have_text("Pictures: 1", timeout=LONG_MS)


def test_who_uses_the_keyboard_alone_keeps_the_place(lesson: Lesson) -> None:
    page, press = lesson.page, lesson.page.keyboard.press
    hear_on = lesson.hold_views()
    page.locator("#bears").focus()
    press("Enter")
    expect(lesson.said).to_contain_text("Added: 48.", timeout=LONG_MS)
    learn = page.locator("#learn")
    expect(learn).to_be_focused()
    press("Enter")
    # It says that it is at work, and what is pressed again meanwhile begins nothing.
    expect(learn).to_be_disabled()
    press("Enter")
    expect(page.locator("#learnt .working")).to_contain_text("You can try it now.", timeout=LONG_MS)
    expect(learn).to_be_focused()
    # Stop is the next thing after it.
    press("Tab")
    expect(page.locator("#stop")).to_be_focused()
    press("Enter")
    expect(lesson.learnt).to_contain_text("Stopped")
    expect(page.locator("#stop")).to_be_hidden()
    expect(learn).to_be_focused()
    hear_on()
    press("Enter")
    expect(lesson.learnt).not_to_contain_text("Stopped", timeout=LONG_MS)
    expect(learn).to_be_enabled(timeout=LONG_MS)
    expect(learn).to_be_focused()
    page.locator("#lesson-zip").focus()
    with page.expect_download(timeout=LONG_MS):
        press("Enter")
    expect(page.locator("#packed")).to_contain_text("is ready")
    expect(page.locator("#lesson-zip")).to_be_focused()


def test_what_was_learnt_leaves_as_two_zips_and_two_commands(lesson: Lesson, tmp_path: Path) -> None:
    lesson.add_kinds({"disc": 8, "cross": 8})
    lesson.learn()
    page = lesson.page
    page.locator("#site-title").fill("Disc or cross?")
    commands = page.locator("#commands")
    expect(commands).to_contain_text("spotter adopt disc-or-cross.spotter-lesson.zip --to hf://YOU/disc-or-cross")
    names = {}
    for button, name in (
        ("Download the site", "disc-or-cross.zip"),
        ("Download for Spotter", "disc-or-cross.spotter-lesson.zip"),
    ):
        with page.expect_download(timeout=LONG_MS) as waiting:
            page.get_by_role("button", name=button).click()
        assert waiting.value.suggested_filename == name
        waiting.value.save_as(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as file:
            assert file.testzip() is None
            names[name] = file.namelist()
            if "lesson" in name:
                told = json.loads(file.read("spotter-lesson.json"))
        expect(page.locator("#packed")).to_contain_text(f"{name} is ready")
    # What it has not learnt does not leave.
    lesson.add(0, [picture("disc", 8)])
    page.get_by_role("button", name="Download for Spotter").click()
    expect(page.locator("#packed")).to_contain_text("Pictures or names have changed since it learnt.")
    lesson.learn()
    # Another name is learnt at once.
    lesson.name(0, "ring")
    expect(page.locator("#matrix")).to_contain_text("ring", timeout=LONG_MS)
    with page.expect_download(timeout=LONG_MS) as waiting:
        page.get_by_role("button", name="Download for Spotter").click()
    with zipfile.ZipFile(waiting.value.path()) as file:
        told_later = json.loads(file.read("spotter-lesson.json"))
    assert told_later["labels"] == ["ring", "cross"]
    assert len(told_later["taught"]["fold"]) == len(told_later["pictures"]) == 17
    assert any(each.endswith("index.html") for each in names["disc-or-cross.zip"])
    assert told["labels"] == ["disc", "cross"]
    assert {each["source"] for each in told["pictures"]} == {"folder"}
    assert len(told["pictures"]) == 16
