"""The page of a static site as people meet it: a real browser, a real model, and a server of files."""

import base64
import contextlib
import csv
import gzip
import io
import json
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, TimeoutError, expect

from spotter.bundle.reading import read_bundle
from spotter.inference.predictor import Predictor
from spotter.serve.batch import Result, as_csv
from spotter.serve.page import html
from spotter.serve.page.translations import LANGUAGES, join_labels, translate
from spotter.stores.base import promised_name
from tests.conftest import Revision
from tests.helpers.access import spilled_words
from tests.helpers.browser import DESKTOP, ENLARGED, PHONE, colours_in, complaints, overflow, read_axe
from tests.helpers.bundles import advising
from tests.helpers.drawing import distant, draw, encode, turned
from tests.helpers.host_pages import LOOK, STYLES, host_page
from tests.helpers.loopback import JsonServer
from tests.helpers.patience import wait_until
from tests.helpers.picture_files import SIGNATURE, chunk, png_header
from tests.helpers.site import SiteServer, broken_off, change_site, make_site, reworded, seal, serving_site
from tests.helpers.visit import Visit, open_page
from tests.helpers.window import Window

CORS = {"Access-Control-Allow-Origin": "*"}
TABS = ("one", "many", "about", "use")
WATCH = "addEventListener('securitypolicyviolation', (event) => console.error('CSP', event.violatedDirective));"
SHIFT = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# What becomes of the service worker that the page registers.
WATCH_WORKER = """
window.states = [];
const register = ServiceWorkerContainer.prototype.register;
ServiceWorkerContainer.prototype.register = async function (...settings) {
  const found = await register.apply(this, settings);
  const worker = found.installing;
  worker.addEventListener("statechange", () => states.push(worker.state));
  return found;
};
"""
# Where a browser has no store, and where it refuses to keep a site: the language that is chosen there.
CHOSEN = {"none": "es", "refused": "zh"}
# What the model knows, and something that it never saw.
DISC = encode(draw("disc", 3), "PNG")
NOISE = encode(Image.frombytes("RGB", (80, 60), random.Random(0).randbytes(80 * 60 * 3)), "PNG")


@pytest.fixture(scope="module")
def site(prebuilt: Revision, predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(prebuilt.folder, predictor, tmp_path_factory.mktemp("static-page") / "site")


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[SiteServer]:
    with serving_site(site, headers=CORS) as running:
        yield running


@pytest.fixture
def visit_of(window: Window) -> Iterator[Callable[..., Visit]]:
    """Opens an address for somebody who was nowhere before, and sees that the page keeps to its own rules. With the
    next address, the visit is over."""
    visits: list[Visit] = []
    with contextlib.ExitStack() as under_way:

        def visit(address: str, script: str = "", **options: Any) -> Visit:
            under_way.close()
            script = WATCH + SHIFT + script
            visits.append(under_way.enter_context(window.visiting(address, locale="en-GB", script=script, **options)))
            return visits[-1]

        yield visit
    assert [line for one in visits for line in one.errors if "CSP" in line] == []


# Each visit opens the network anew: nearly a second of processor time. What leaves no trace shares one.
@pytest.fixture(scope="module")
def opened(browser: Browser, server: SiteServer) -> Iterator[Visit]:
    allowed = ["camera", "clipboard-read", "clipboard-write"]
    with browser.new_context(viewport=DESKTOP, locale="en-GB", permissions=allowed) as context:
        context.add_init_script(WATCH + SHIFT)
        yield open_page(context, server.url())


@pytest.fixture
def home(opened: Visit, server: SiteServer) -> Iterator[Visit]:
    """The page as somebody finds it who was nowhere before."""
    page = ready(opened)
    opened.requests.clear()
    opened.errors.clear()
    yield opened
    page.get_by_role("tab", name="One picture").click()
    stop, remove = page.get_by_role("button", name="Stop the camera"), page.get_by_label("Remove the picture")
    for button in (stop, remove):
        if button.is_visible():
            button.click()
    assert [line for line in opened.errors if "CSP" in line] == []
    assert all(url.startswith((server.url(), "blob:", "data:")) for url in opened.requests)


def ready(visit: Visit) -> Page:
    """The page, once the network is there."""
    expect(visit.page.locator("#loading.done")).to_be_attached()
    return visit.page


def text_of(markup: str) -> str:
    """The words of the server's page for an answer, as its template has them."""
    words = re.sub(r"<[^>]+>", "", re.sub(r"\s*<p>", " ", markup))
    return " ".join(words.replace("&#39;", "'").replace("&#34;", '"').split())


def says(page: Page) -> str:
    return " ".join(page.locator("#answer").inner_text().split())


def check_words(visit: Visit, predictor: Predictor, language: str) -> None:
    """The page answers in this language, in the words of the server's page."""
    page = visit.page
    assert page.locator("html").get_attribute("lang") == language
    for picture in (DISC, encode(draw("stripes", 9), "PNG"), NOISE):
        visit.show("picture.png", picture)
        expect(page.locator("#bars .share").first).to_be_visible()
        assert says(page) == text_of(html.answer(predictor.predict(picture), language))
        page.get_by_label(translate("name_remove", language)).click()
        expect(page.locator("#bars li")).to_have_count(0)


def test_an_answer_is_in_the_words_of_the_servers_page(home: Visit, predictor: Predictor) -> None:
    check_words(home, predictor, "en")
    assert [line for line in home.errors if "manifest" not in line] == []


# Two of the others are chosen by a link where nothing can be kept.
@pytest.mark.parametrize("language", sorted({*LANGUAGES} - {"en", *CHOSEN.values()}))
def test_an_answer_is_in_the_language_of_the_address(
    visit_of: Callable[..., Visit], server: SiteServer, predictor: Predictor, language: str
) -> None:
    visit = visit_of(server.url(f"?lang={language}"))
    ready(visit)
    check_words(visit, predictor, language)
    assert all(url.startswith((server.url(), "blob:", "data:")) for url in visit.requests)
    assert [line for line in visit.errors if "manifest" not in line] == []


def test_an_example_is_one_click_and_why_shows_the_evidence(home: Visit, predictor: Predictor) -> None:
    page = home.page
    examples = page.locator(".gallery-item")
    expect(examples).to_have_count(len(predictor.labels))
    examples.nth(1).click()
    expect(page.locator("#bars .share").first).to_be_visible()
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why figure canvas").first).to_be_visible()
    picture = next(iter(list(predictor.examples.values())[1:]))
    near = [one.thumbnail.jpeg for one in predictor.nearest(picture.read_bytes(), 100) if one.thumbnail]
    expect(page.locator(".near li")).to_have_count(min(6, len(dict.fromkeys(near))))
    drawn_as(page, predictor.explain(picture))


def test_a_part_that_was_looked_at_again_is_framed_in_a_turned_picture(
    visit_of: Callable[..., Visit], site: Path, prebuilt: Revision, tmp_path: Path
) -> None:
    twice: dict[str, Any] = {"second_look": {"window": 0.4, "margin": 0.001}, "threshold": 0.99}
    predictor = Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "revision", **twice)))
    photos = [turned(picture, 6, "JPEG", quality=90) for picture in distant()]
    photo = next(photo for photo in photos if predictor.predict(photo).looked_at)
    with serving_site(change_site(site, tmp_path / "site", **twice)) as running:
        visit = visit_of(running.url())
        page = ready(visit)
        visit.show("photo.jpg", photo)
        expect(page.locator("#answer")).to_contain_text("the part that “Why?” shows")
        page.get_by_role("button", name="Why?").click()
        expect(page.locator("#why figcaption").first).to_contain_text("The frame: the part that I looked at again")
        shown = page.locator("#why figure canvas").first
        assert str(shown.get_attribute("aria-label")).endswith("and a frame around the part that I looked at again")
        drawn_as(page, predictor.explain(photo))


def drawn_as(page: Page, wanted: Image.Image, canvas: str = "#why figure canvas") -> None:
    """The evidence, or another canvas, is drawn as Python draws it."""
    drawn = page.locator(canvas).first.evaluate(
        # As text: Playwright takes two seconds of processor time for so many numbers.
        """(one) => {
            const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
            return [one.width, one.height, new Uint8Array(data.buffer).toBase64()];
        }"""
    )
    made = Image.frombytes("RGBA", tuple(drawn[:2]), base64.b64decode(drawn[2])).convert("RGB")
    assert made.size == wanted.size
    pairs = zip(made.tobytes(), wanted.tobytes(), strict=True)
    assert max(abs(one - other) for one, other in pairs) <= 3


def test_pictures_are_pasted_and_dropped(home: Visit) -> None:
    page = home.page
    for kind in ("paste", "drop"):
        page.evaluate(
            """([kind, bytes]) => {
                const moved = new DataTransfer();
                moved.items.add(new File([Uint8Array.from(bytes)], "a.png", { type: "image/png" }));
                const options = { bubbles: true, cancelable: true };
                const event = kind === "paste"
                    ? new ClipboardEvent("paste", { ...options, clipboardData: moved })
                    : new DragEvent("drop", { ...options, dataTransfer: moved });
                document.querySelector(kind === "paste" ? "body" : "#picture").dispatchEvent(event);
            }""",
            [kind, list(DISC)],
        )
        expect(page.locator("#bars .share").first).to_be_visible()
        page.get_by_label("Remove the picture").click()


def drop(page: Page, selector: str, path: Path) -> None:
    """Drop a file or a folder of this machine, as a person does."""
    box = page.locator(selector).bounding_box()
    assert box
    place = {"x": box["x"] + 40, "y": box["y"] + 40}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def test_a_folder_is_dropped_where_many_are_taken_and_refused_where_one_is(home: Visit, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("a/disc.png", "noise.png", ".hidden.png", "@eaDir/disc.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(NOISE if "noise" in name else DISC)
    page = home.page
    drop(page, "#picture", folder)
    expect(page.locator("#answer")).to_contain_text("That is a folder.")
    drop(page, "#picture", folder / "noise.png")
    expect(page.locator("#bars .strange")).to_be_visible()
    page.get_by_role("tab", name="Many").click()
    drop(page, "#files", folder)
    expect(page.locator("#chosen")).to_have_text("2 chosen")
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#many-table tbody th")).to_have_text(["a/disc.png", "photos/noise.png"])


def test_a_picture_that_is_dragged_from_another_page_is_refused_in_words(home: Visit) -> None:
    page = home.page
    words = "Save a picture from another page first."
    link = """(selector) => {
        const moved = new DataTransfer();
        moved.setData("text/uri-list", "https://example.org/bear.jpg");
        const options = { bubbles: true, cancelable: true, dataTransfer: moved };
        document.querySelector(selector).dispatchEvent(new DragEvent("drop", options));
    }"""
    page.evaluate(link, "#picture")
    expect(page.locator("#answer")).to_contain_text(words)
    page.get_by_role("tab", name="Many").click()
    page.evaluate(link, "#files")
    expect(page.locator("#many-state")).to_contain_text(words)


HUGE = SIGNATURE + png_header(10_000, 10_000, 8, 2) + chunk(b"IDAT", b"x" * 30)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "The file is empty."),
        ("notes.txt", b"hello", "not a picture I can read"),
        ("cut.png", DISC[:-400], "damaged or cut short"),
        ("dot.png", encode(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        ("huge.png", HUGE, "The picture is too large."),
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(200), "HEIC"),
        ("long.png", DISC + bytes(15_000_001 - len(DISC)), "The file is larger than 15 MB."),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_and_the_page_goes_on(
    home: Visit, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    page = home.page
    # By its path: a buffer would travel to the browser as text.
    (tmp_path / name).write_bytes(content)
    page.set_input_files("#picture input", tmp_path / name)
    expect(page.locator("#answer")).to_contain_text(words)
    expect(page.locator("#answer h2")).to_have_text("I cannot read that")
    home.show("disc.png", DISC)
    expect(page.locator("#bars .share").first).to_be_visible()


def test_many_pictures_become_the_same_table_as_on_the_server(
    visit_of: Callable[..., Visit], server: SiteServer, predictor: Predictor
) -> None:
    # A visit of its own: no file is chosen yet.
    page = ready(visit_of(server.url()))
    page.get_by_role("tab", name="Many").click()
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#many-state")).to_have_text("Choose some files first.")
    pictures = {
        f"{kind}-{number}.png": encode(draw(kind, number), "PNG") for kind in ("disc", "cross") for number in (1, 2)
    }
    pictures["=1+1.png"] = NOISE
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in pictures.items():
            archive.writestr(f"folder/{name}", content)
        archive.writestr("__MACOSX/._disc.png", b"x")
        archive.writestr("folder/notes.txt", b"hello")
    files = [("one.png", DISC, "image/png"), ("all.zip", packed.getvalue(), "application/zip")]
    page.set_input_files(
        "#files .some", [{"name": name, "mimeType": kind, "buffer": content} for name, content, kind in files]
    )
    expect(page.locator("#chosen")).to_have_text("2 chosen")
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#csv")).to_be_visible()
    results = [Result("one.png", predictor.predict(DISC))]
    results += [Result(f"folder/{name}", predictor.predict(content)) for name, content in pictures.items()]
    results.append(Result("folder/notes.txt", problem=html.NoAnswer("not-a-picture")))
    expect(page.locator("#many-table tbody tr")).to_have_count(len(results))
    expect(page.locator("#many-state")).to_have_text(text_of(html.summary(results, "en")))
    with page.expect_download() as download:
        page.locator("#csv").click()
    assert download.value.suggested_filename == "answers.csv"
    found = Path(download.value.path()).read_bytes()
    wanted = as_csv(results, predictor.labels, predictor.card.advice).encode("utf-8-sig")
    numbers = [list(csv.reader(io.StringIO(content.decode("utf-8-sig")))) for content in (found, wanted)]
    assert [len(row) for row in numbers[0]] == [len(row) for row in numbers[1]]
    for row, other in zip(*numbers, strict=True):
        for cell, same in zip(row, other, strict=True):
            # The network's numbers differ in their last digits from machine to machine.
            assert cell == same or abs(float(cell) - float(same)) < 1e-4


def test_what_is_missing_beside_many_pictures_leaves_the_others_alone(
    visit_of: Callable[..., Visit], site: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.png", DISC)
    files = [("one.png", DISC, "image/png"), ("all.zip", packed.getvalue(), "application/zip")]
    with serving_site(site, replies={"archive.js": 404, "languages/en.json": 503}) as running:
        page = ready(visit_of(running.url("?lang=de")))
        page.get_by_role("tab", name="Viele").click()
        page.set_input_files(
            "#files .some", [{"name": name, "mimeType": kind, "buffer": content} for name, content, kind in files]
        )
        go = page.get_by_role("button", name="Alle bestimmen")
        go.click()
        rows, table = page.locator("#many-table tbody tr"), page.locator("#csv")
        # No language for tables has come: they are in that of the page.
        expect(table).to_be_visible()
        expect(rows.nth(1)).to_have_text(re.compile(f"all.zip.*{re.escape(translate('web_no_zip', 'de'))}"))
        expect(rows.nth(0)).to_contain_text("%")
        with page.expect_download() as download:
            table.click()
        assert translate("web_no_zip", "de") in Path(download.value.path()).read_text("utf-8-sig")
        running.replies = {}
        go.click()
        expect(table).to_be_visible()
        expect(rows.nth(1)).to_contain_text("a.png")
        expect(rows.nth(1)).to_contain_text("%")


def test_many_pictures_are_stopped(home: Visit) -> None:
    page = home.page
    page.get_by_role("tab", name="Many").click()
    files = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": DISC} for number in range(90)]
    page.set_input_files("#files .some", files)
    # By the page itself, at the first row: a click from here may come when all of them are answered.
    page.evaluate(
        """() => new MutationObserver((_, watch) => {
            if (!document.querySelector("#many-table tbody tr")) return;
            watch.disconnect();
            document.querySelector("#stop-all").click();
        }).observe(document.querySelector("#many-table"), { childList: true, subtree: true })"""
    )
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#many-state")).to_contain_text("Stopped after")
    assert 0 < page.locator("#many-table tbody tr").count() < 90
    expect(page.locator("#csv")).to_be_visible()


def test_a_model_that_ended_by_itself_is_loaded_again_and_what_was_answered_is_kept(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    page = ready(visit_of(server.url()))
    page.get_by_role("tab", name="Many").click()
    files = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": DISC} for number in range(90)]
    page.set_input_files("#files .some", files)
    ending = "setTimeout(() => { throw new Error('out of memory'); })"
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#many-table tbody tr").first).to_be_visible()
    page.workers[-1].evaluate(ending)
    expect(page.locator("#many-state")).to_contain_text("There is not enough memory")
    with page.expect_download() as download:
        page.locator("#csv").click()
    lines = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    assert len(lines) == page.locator("#many-table tbody tr").count() < 90
    page.get_by_role("button", name="Classify them all").click()
    expect(page.locator("#many-state")).to_contain_text("90 pictures")
    # Where it ended while nobody asked.
    page.workers[-1].evaluate(ending)
    page.get_by_role("tab", name="One picture").click()
    wait_until(lambda: not page.workers)
    page.locator(".gallery-item").first.click()
    expect(page.locator("#bars .share").first).to_be_visible()


def test_the_camera_is_answered_live_and_its_light_goes_off(home: Visit) -> None:
    page = home.page
    lit = "document.querySelector('video').srcObject?.getTracks().some((track) => track.readyState === 'live') ?? false"
    for way in ("stop", "hidden", "tab"):
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#bars .share").first).to_be_visible()
        page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
        assert page.evaluate(lit)
        if way == "stop":
            page.get_by_role("button", name="Stop the camera").click()
        elif way == "hidden":
            page.evaluate(
                "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
                "document.dispatchEvent(new Event('visibilitychange')); delete document.hidden"
            )
        else:
            page.get_by_role("tab", name="About").click()
            page.get_by_role("tab", name="One picture").click()
        expect(page.locator("#answer")).to_have_text("The camera is off")
        assert not page.evaluate(lit)
        assert page.evaluate("track.readyState") == "ended"
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#bars .share").first).to_be_visible()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("canvas.shown")).to_be_visible()
    expect(page.get_by_role("button", name="Why?")).to_be_visible()
    assert not page.evaluate(lit)


# Cameras come when they are told to, as where a visitor thinks about it; each is noted.
THINK = """
window.opened = [];
const ask = navigator.mediaDevices.getUserMedia;
const allowed = new Promise((resolve) => { window.allow = resolve; });
navigator.mediaDevices.getUserMedia = async function (wanted) {
  await allowed;
  opened.push(await ask.call(this, wanted));
  return opened.at(-1);
};
"""
LIT = "opened.flatMap((stream) => stream.getTracks()).filter(({ readyState }) => readyState === 'live').length"


@pytest.mark.parametrize("way", ["another room", "an example", "the element is gone"])
def test_a_camera_that_is_not_wanted_any_longer_when_it_is_allowed_stays_off(
    visit_of: Callable[..., Visit], server: SiteServer, way: str
) -> None:
    in_element = way == "the element is gone"
    visit = visit_of(server.url("blank.html" if in_element else ""), THINK, permissions=["camera"])
    page = visit.page
    if in_element:
        page.evaluate("document.body.append(document.createElement('spotter-classifier'))")
        page.add_script_tag(url=server.url("spotter.js"), type="module")
        expect(page.locator("spotter-classifier #loading.done")).to_be_attached()
    else:
        ready(visit)
    page.get_by_role("button", name="Use the camera").click()
    if in_element:
        page.evaluate("document.querySelector('spotter-classifier').remove()")
    elif way == "an example":
        page.locator(".gallery-item").first.click()
        expect(page.get_by_role("button", name="Why?")).to_be_visible()
    else:
        page.get_by_role("tab", name="About").click()
    page.evaluate("allow()")
    wait_until(lambda: page.evaluate(f"opened.length === 1 && {LIT} === 0"))
    if not in_element:
        page.get_by_role("tab", name="One picture").click()
        expect(page.get_by_role("button", name="Stop the camera")).to_be_hidden()


def test_a_camera_that_was_asked_for_twice_goes_off_at_once(visit_of: Callable[..., Visit], server: SiteServer) -> None:
    visit = visit_of(server.url(), THINK, permissions=["camera"])
    page = ready(visit)
    page.get_by_role("button", name="Use the camera").dblclick()
    page.evaluate("allow()")
    expect(page.locator("#bars .share").first).to_be_visible()
    wait_until(lambda: page.evaluate(f"opened.length === 2 && {LIT} === 1"))
    page.get_by_role("button", name="Stop the camera").click()
    assert page.evaluate(LIT) == 0


def test_what_was_chosen_last_is_answered_whatever_comes_later(home: Visit) -> None:
    page = home.page
    asked: list[Route] = []
    page.route("**/model/example-*", lambda route: asked.append(route))
    try:
        page.locator(".gallery-item").nth(1).click()
        expect(page.locator("#answer h2")).to_have_text("Looking …")
        wait_until(lambda: asked != [])
        home.show("disc.png", DISC)
        expect(page.get_by_role("button", name="Why?")).to_be_visible()
        before = says(page)
        page.evaluate(
            "() => { new MutationObserver(() => { window.changed = 1 }).observe(document.querySelector('#answer'),"
            " { childList: true, subtree: true }); }"
        )
        with page.expect_event("requestfinished"):
            asked.pop().continue_()
        page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 300))")
        assert says(page) == before
        assert page.evaluate("window.changed") is None
    finally:
        page.unroute("**/model/example-*")


# Pictures that are this large are ready to be shown when `show()` is called.
SLOW = """() => {
    const make = window.createImageBitmap;
    const told = new Promise((resolve) => { window.show = resolve; });
    window.slow = 0;
    window.createImageBitmap = async (picture, ...more) => {
        const isSlow = picture.size > 100_000;
        if (isSlow) await told;
        const made = await make(picture, ...more);
        if (isSlow) setTimeout(() => { window.slow += 1; });
        return made;
    };
}"""
LARGE = encode(Image.frombytes("RGB", (300, 200), random.Random(1).randbytes(300 * 200 * 3)), "PNG")


def test_the_picture_that_is_shown_is_the_one_that_is_answered(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    visit = visit_of(server.url())
    page = ready(visit)
    page.evaluate(SLOW)
    visit.show("large.png", LARGE)
    visit.show("disc.png", DISC)
    expect(page.locator("canvas.shown")).to_be_visible()
    expect(page.get_by_role("button", name="Why?")).to_be_visible()
    page.evaluate("show()")
    wait_until(lambda: page.evaluate("slow === 1"))
    drawn_as(page, Image.open(io.BytesIO(DISC)).convert("RGB"), "canvas.shown")


def test_an_example_that_does_not_come_leaves_no_camera_on(home: Visit) -> None:
    page = home.page
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#bars .share").first).to_be_visible()
    page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
    page.route("**/model/example-*", lambda route: route.abort())
    try:
        page.locator(".gallery-item").first.click()
        expect(page.locator("#answer")).to_contain_text("It could not be loaded")
    finally:
        page.unroute("**/model/example-*")
    assert page.evaluate("track.readyState") == "ended"
    expect(page.get_by_role("button", name="Stop the camera")).to_be_hidden()
    expect(page.locator("#picture .drop")).to_be_visible()


def test_without_a_camera_the_page_says_why(home: Visit) -> None:
    page = home.page
    for error, words in (
        ("NotAllowedError", "was not allowed"),
        ("NotFoundError", "no camera here"),
        ("NotReadableError", "Another program"),
    ):
        refuse = f"() => Promise.reject(new DOMException('', '{error}'))"
        page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {refuse})")
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#answer")).to_contain_text(words)
        home.show("disc.png", DISC)
        expect(page.locator("#bars .share").first).to_be_visible()
        page.get_by_label("Remove the picture").click()
    page.evaluate("delete navigator.mediaDevices.getUserMedia")


def test_it_works_without_a_network_after_the_first_visit_from_a_folder_below(
    visit_of: Callable[..., Visit], site: Path, tmp_path: Path
) -> None:
    shutil.copytree(site, tmp_path / "a" / "b c")
    with serving_site(tmp_path, headers={"Cache-Control": "no-store"}) as running:
        visit = visit_of(running.url("a/b%20c/"))
        page = ready(visit)
        kept(page)
        address = page.url
        # The page has handed over what it had, though its server lets nobody keep anything.
        asked = [path for path in running.asked if path.endswith(".gz")]
        assert sorted(asked) == [
            "a/b%20c/model/model.onnx.gz",
            "a/b%20c/model/reference.safetensors.gz",
            # For networks that need more than the usual one, and for lessons.
            "a/b%20c/ort/ort-wasm-simd-threaded.wasm.gz",
            "a/b%20c/ort/used.wasm.gz",
        ]
        running.asked.clear()
        page.reload()
        ready(visit)
        assert not [path for path in running.asked if not path.endswith(("site.json", "sw.js"))]
        # The server has nothing but errors.
        paths = [path.relative_to(tmp_path).as_posix().replace(" ", "%20") for path in tmp_path.rglob("*")]
        running.replies = dict.fromkeys([*paths, "a/b%20c/"], 503)
        page.goto(address + "?lang=es")
        ready(visit)
        expect(page.locator("#answer h2")).to_have_text(translate("start", "es"))
    # The server is gone.
    page.goto(address + "?lang=de")
    ready(visit)
    visit.show("disc.png", DISC)
    expect(page.locator("#bars .share").first).to_be_visible()
    page.get_by_role("button", name="Warum?").click()
    expect(page.locator(".near li").first).to_be_visible()
    page.get_by_role("tab", name="Über").click()
    expect(page.locator("#room-about")).to_contain_text("Wie gut es ist")
    page.get_by_role("tab", name="Viele").click()
    expect(page.locator("#limits")).to_contain_text("100 Bilder")
    # The page that teaches was kept too, though nobody has been there.
    page.goto(f"{address}teach/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Teach it your own")
    expect(page.get_by_text("Try it with drawn bears")).to_be_visible()


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["packed", "unpacked"])
def test_changed_code_is_told_and_nothing_is_kept(
    visit_of: Callable[..., Visit], site: Path, pack: Callable[[bytes], bytes]
) -> None:
    used, whole = "ort/used.wasm.gz", "ort/ort-wasm-simd-threaded.wasm.gz"
    changed = {path: pack(reworded(gzip.decompress((site / path).read_bytes()))) for path in (used, whole)}
    with serving_site(site, replies={used: changed[used]}) as running:
        page = visit_of(running.url()).page
        expect(page.locator("#answer p")).to_contain_text("changed, missing or cut short")
        assert page.evaluate("navigator.serviceWorker.getRegistrations()") == []
        # What this visit does without is kept for others, and checked as well.
        running.replies = {whole: changed[whole]}
        page = ready(visit_of(running.url(), WATCH_WORKER))
        wait_until(lambda: page.evaluate("states.at(-1)") == "redundant")
        wait_until(lambda: page.evaluate("caches.keys()") == [])


def kept(page: Page) -> None:
    """Wait until the site is kept for a visit without a network."""
    state = "navigator.serviceWorker.getRegistration().then((found) => found?.active?.state ?? '')"
    wait_until(lambda: page.evaluate(state) == "activated")


def test_a_new_revision_replaces_the_old_one_whole(visit_of: Callable[..., Visit], site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    with serving_site(folder, headers={"Cache-Control": "max-age=600"}) as running:
        visit = visit_of(running.url())
        page = ready(visit)
        kept(page)
        before = page.evaluate("caches.keys()")
        worker = page.evaluate("navigator.serviceWorker.getRegistration().then((all) => all.active.scriptURL)")
        changed = change_site(site, tmp_path / "new", title="Another model")
        index = (changed / "index.html").read_text().replace("<title>", "<title>New: ")
        (changed / "index.html").write_text(index)
        seal(changed, revision="f" * 40)
        shutil.rmtree(folder)
        shutil.copytree(changed, folder)
        # A server that takes too long is taken for one that is not there.
        wait_until(lambda: "New: " in (page.reload() and page.title()))
        ready(visit)
        expect(page.locator("#foot .revision")).to_have_text("f" * 12)
        # The next one is ready, and the old one goes when no page needs it.
        newest = "navigator.serviceWorker.getRegistration().then((all) => (all.waiting ?? all.active).scriptURL)"
        wait_until(lambda: page.evaluate(newest) != worker)

        def is_replaced() -> bool:
            page.goto("about:blank")
            # When the new one takes over, the browser chooses; it may stop the old one while it answers.
            page.wait_for_timeout(500)
            with contextlib.suppress(TimeoutError):
                page.goto(running.url(), timeout=30_000)
                ready(visit)
                return len(page.evaluate("caches.keys()")) == 1
            return False

        wait_until(is_replaced)
        assert page.evaluate("caches.keys()") != before
        expect(page.locator("#foot .revision")).to_have_text("f" * 12)
    page.reload()
    ready(visit)
    expect(page).to_have_title(re.compile("^New: "))


def test_a_new_version_opens_where_the_server_leads_elsewhere(visit_of: Callable[..., Visit], site: Path) -> None:
    with serving_site(site) as running:
        page = ready(visit_of(running.url()))
        kept(page)
        running.replies["site.json"] = (site / "site.json").read_bytes() + b" "
        # To the folder, where its last slash is missing; some lead away from "index.html", too.
        page.goto(running.url("teach"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Teach it your own")
        assert page.url == running.url("teach/")


def test_a_new_version_opens_where_the_disk_is_full(visit_of: Callable[..., Visit], site: Path) -> None:
    with serving_site(site, headers={"Cache-Control": "max-age=600"}) as running:
        visit = visit_of(running.url())
        page = ready(visit)
        kept(page)
        before = page.evaluate("caches.keys()")
        running.replies["site.json"] = (site / "site.json").read_bytes() + b" "
        running.asked.clear()
        protocol = page.context.new_cdp_session(page)
        full = {"origin": running.url().rstrip("/"), "quotaSize": 1000}
        protocol.send("Storage.overrideQuotaForOrigin", full)
        try:
            page.goto(running.url())
            ready(visit)
            visit.show("disc.png", DISC)
            expect(page.locator("#bars .share").first).to_be_visible()
            # Nothing of the earlier version is given for a file of this one.
            assert {"page.js", "worker.js", "model/model.json"} <= {*running.asked}
            assert not {*before} & {*page.evaluate("caches.keys()")}
        finally:
            protocol.detach()


@pytest.mark.parametrize("way", CHOSEN)
def test_the_page_goes_on_where_nothing_can_be_kept(
    visit_of: Callable[..., Visit], server: SiteServer, predictor: Predictor, way: str
) -> None:
    refused = "new DOMException('', 'SecurityError')"
    script = {
        "none": "Object.defineProperty(Navigator.prototype, 'serviceWorker', { get: () => undefined });"
        f"Object.defineProperty(window, 'localStorage', {{ get: () => {{ throw {refused}; }} }});",
        "refused": f"ServiceWorkerContainer.prototype.register = () => Promise.reject({refused});",
    }
    visit = visit_of(server.url(), script[way])
    page = ready(visit)
    visit.show("disc.png", DISC)
    expect(page.locator("#bars .share").first).to_be_visible()
    page.locator(f"#foot a[lang={CHOSEN[way]}]").click()
    expect(page.locator("#answer h2")).to_have_text(translate("start", CHOSEN[way]))
    ready(visit)
    check_words(visit, predictor, CHOSEN[way])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete globalThis.WebAssembly;", "no WebAssembly"),
        ("WebAssembly.validate = () => false;", "too old"),
        ("delete globalThis.Worker;", "in the background"),
    ],
)
def test_a_browser_that_cannot_run_it_is_told_so(
    visit_of: Callable[..., Visit], server: SiteServer, script: str, words: str
) -> None:
    page = visit_of(server.url(), script).page
    expect(page.locator("#answer h2")).to_have_text("I cannot run in this browser")
    expect(page.locator("#answer")).to_contain_text(words)
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#room-about .lead")).to_be_visible()


def test_a_model_that_does_not_arrive_is_asked_for_again(visit_of: Callable[..., Visit], site: Path) -> None:
    path = "model/model.onnx.gz"
    content = (site / path).read_bytes()
    offline, wrong = "Are you online?", "changed, missing or cut short"
    with serving_site(site, cut={path: len(content) // 2}) as running:
        visit = visit_of(running.url())
        page = visit.page
        expect(page.locator("#answer p")).to_contain_text(offline)
        running.cut.clear()
        for reply, words in ((content[:-9] + bytes(9), wrong), (503, offline), (404, wrong)):
            running.replies[path] = reply
            page.get_by_role("button", name="Try again").click()
            expect(page.locator("#answer h2")).to_have_text("The model is not here yet")
            expect(page.locator("#answer p")).to_contain_text(words)
        visit.show("disc.png", DISC)
        expect(page.locator("#answer p")).to_contain_text(wrong)
        running.replies.clear()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#bars .share").first).to_be_visible()


@pytest.mark.parametrize(("path", "reply"), [("model/model.json", 503), ("site.json", 404), ("site.json", b"{")])
def test_what_is_known_of_a_model_may_come_late(
    visit_of: Callable[..., Visit], site: Path, predictor: Predictor, path: str, reply: int | bytes
) -> None:
    with serving_site(site, replies={path: reply}) as running:
        visit = visit_of(running.url())
        page = visit.page
        expect(page.locator("#answer h2")).to_have_text("The model is not here yet")
        running.replies = {}
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#answer")).to_contain_text(f"I can tell apart {join_labels(predictor.labels, 'en')}")
        expect(page.locator("#foot .revision")).to_have_text(re.compile(r"\w"))
        page.locator("#examples button").first.click()
        expect(page.locator("#bars .share")).to_have_count(len(predictor.labels))
        # For a visit without a network, as after a first try.
        kept(page)


@pytest.mark.parametrize(
    ("is_there", "said"),
    [(True, "One of its files is changed"), (False, "Are you online?")],
    ids=["changed", "missing"],
)
def test_an_example_that_is_not_the_one_of_the_revision_gets_no_answer(
    visit_of: Callable[..., Visit], site: Path, is_there: bool, said: str
) -> None:
    name = next(iter(json.loads((site / "model" / "model.json").read_text())["examples"].values()))
    content = bytearray((site / "model" / name).read_bytes())
    # Of its metadata or pixels; it is a picture all the same.
    content[-20] ^= 1
    with serving_site(site, replies={f"model/{name}": bytes(content) if is_there else 404}) as running:
        page = visit_of(running.url()).page
        expect(page.locator("#answer")).to_contain_text("I can tell apart")
        page.locator("#examples button").first.click()
        expect(page.locator("#answer")).to_contain_text(said)
        expect(page.locator("#bars .share")).to_have_count(0)
        # The others are as they should be.
        page.locator("#examples button").nth(1).click()
        expect(page.locator("#bars .share").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "language", "address", "place"),
    [
        ("page.js", "en", "", "#answer"),
        ("spotter.js", "de", "?lang=de", "#answer"),
        ("languages/zh.json", "zh", "?lang=zh", "#answer"),
        ("teach.js", "fr", "teach/?lang=fr", "#elsewhere"),
        ("languages/es.json", "es", "teach/?lang=es", "#elsewhere"),
    ],
)
def test_a_page_whose_script_does_not_come_says_so(
    visit_of: Callable[..., Visit], site: Path, path: str, language: str, address: str, place: str
) -> None:
    content = (site / path).read_bytes()
    half = len(content) // 2
    with serving_site(site, headers={"Cache-Control": "no-store"}) as running:
        page = visit_of("about:blank").page
        for reply in (404, 503, broken_off(content), content):
            running.replies = {path: reply}
            running.cut = {path: half} if reply == content else {}
            page.goto(running.url(address))
            expect(page.locator(place)).to_contain_text(translate("web_unloaded", language))
            expect(page.locator(place)).to_be_visible()
            # Nothing that would do nothing, and nothing in another language.
            expect(page.locator("main").get_by_role("button")).to_have_count(0)
            expect(page.get_by_role("tab")).to_have_count(0)
            if place == "#answer":
                # In all languages, choosing one is possible.
                seen = [word for word in page.locator("body").inner_text().split("\n") if word]
                assert seen[-len(LANGUAGES) :] == list(LANGUAGES.values())
                assert seen[1:-5] == [translate(key, language) for key in ("web_no_model", "web_unloaded")]
        running.replies, running.cut = {}, {}
        page.goto(running.url(address))
        expect(page.locator(f"{place} .hint h2" if place == "#answer" else "#bears")).to_be_visible()
        expect(page.locator("#tab-one" if place == "#answer" else "#bears")).to_be_visible()


@pytest.mark.parametrize("address", ["", "teach/"])
def test_words_of_an_earlier_version_in_the_cache_are_fetched_again(
    visit_of: Callable[..., Visit], site: Path, address: str
) -> None:
    path = "languages/de.json"
    told = json.loads((site / path).read_bytes())
    # It has no word yet for what came later.
    old = {**told, "texts": {key: text for key, text in told["texts"].items() if key not in {"start", "teach_title"}}}
    with serving_site(site, headers={"Cache-Control": "max-age=600"}) as running:
        running.stale = {path: json.dumps(old).encode()}
        page = visit_of(running.url("blank.html")).page
        page.evaluate("(path) => fetch(path).then((answer) => answer.text())", f"/{path}")
        page.goto(running.url(f"{address}?lang=de"))
        key, place = ("teach_title", "h1") if address else ("start", "#answer h2")
        expect(page.locator(place)).to_have_text(translate(key, "de"))
        assert running.asked.count(path) == 2


def test_changed_words_are_not_shown(visit_of: Callable[..., Visit], site: Path) -> None:
    path = "languages/en.json"
    told = json.loads((site / path).read_bytes())
    changed = json.dumps({**told, "error": "It is never wrong."}).encode()
    with serving_site(site, replies={path: changed}) as running:
        page = visit_of(running.url()).page
        expect(page.locator("#answer")).to_contain_text(translate("web_unloaded", "en"))
        expect(page.get_by_text("never wrong")).to_have_count(0)


# The time may be over after the page has come, and in the middle of it.
@pytest.mark.parametrize("soon", ["wait(work, 100)", "queueMicrotask(work)"])
def test_a_script_that_takes_too_long_is_told_and_takes_it_back(
    visit_of: Callable[..., Visit], site: Path, soon: str
) -> None:
    hurried = f"const wait = setTimeout; window.setTimeout = (work, ms) => ms === 20000 ? {soon} : wait(work, ms);"
    with serving_site(site) as running:
        visit = visit_of("about:blank", hurried)
        page, held = visit.page, []
        page.route("**/page.js", lambda route: held.append(route))
        page.goto(running.url(), wait_until="commit")
        expect(page.locator("#answer")).to_contain_text("The page could not be loaded.")
        while not held:
            page.wait_for_timeout(10)
        held[0].continue_()
        ready(visit)
        expect(page.locator("#answer h2")).to_have_text("Choose a picture")


@pytest.mark.parametrize(("address", "place"), [("", "#answer .hint p:not(:empty)"), ("teach/", "#bears")])
def test_nobody_waits_any_longer_for_a_script_that_has_come(
    visit_of: Callable[..., Visit], server: SiteServer, address: str, place: str
) -> None:
    waits = """
    const [wait, clear] = [setTimeout, clearTimeout];
    window.late = new Map();
    window.setTimeout = (work, ms, ...more) => {
      const timer = wait(work, ms, ...more);
      if (ms === 20000) late.set(timer, work);
      return timer;
    };
    window.clearTimeout = (timer) => { late.delete(timer); clear(timer); };
    """
    page = visit_of(server.url(address), waits).page
    # What the script alone puts there.
    expect(page.locator(place)).to_contain_text(re.compile(r"\w"))
    # As if the time were over.
    page.evaluate("for (const work of late.values()) work()")
    expect(page.locator(place)).to_contain_text(re.compile(r"\w"))
    expect(page.get_by_text("The page could not be loaded.")).to_have_count(0)


def test_what_is_missing_beside_an_answer_leaves_it_alone(visit_of: Callable[..., Visit], site: Path) -> None:
    for path in (test := "self-test.jpg", near := "model/thumbnails.safetensors"):
        assert (site / path).exists()
    changed = {path: (site / path).read_bytes()[:-1] + b"x" for path in (test, near)}
    with serving_site(site, replies=changed) as running:
        visit = visit_of(running.url())
        page = ready(visit)
        visit.show("disc.png", DISC)
        expect(page.locator("#bars .share").first).to_be_visible()
        expect(page.locator("#notice")).to_contain_text("I could not check whether this browser")
        answer = says(page)
        page.get_by_role("button", name="Why?").click()
        expect(page.locator("#why canvas")).to_be_visible()
        expect(page.locator("#why")).to_contain_text("The most similar pictures could not be loaded")
        assert says(page) == answer
        assert visit.errors == []
        # Whoever asks about the next picture gets what is there by then.
        running.replies = {}
        visit.show("disc.png", DISC)
        page.get_by_role("button", name="Why?").click()
        expect(page.locator(".near li").first).to_be_visible()


def test_a_browser_that_changes_pictures_is_told_so(visit_of: Callable[..., Visit], site: Path, tmp_path: Path) -> None:
    changed = change_site(site, tmp_path / "site")
    told = json.loads((changed / "site.json").read_text())["self_test"]
    seal(changed, self_test=told | {"probabilities": told["probabilities"][1:] + told["probabilities"][:1]})
    with serving_site(changed) as running:
        visit = visit_of(running.url())
        page = ready(visit)
        expect(page.locator("#notice")).to_contain_text("This browser changes pictures")
        visit.show("disc.png", DISC)
        expect(page.locator("#bars .share").first).to_be_visible()


def test_a_prior_in_the_address_is_used_and_a_wrong_one_is_told(
    visit_of: Callable[..., Visit], server: SiteServer, prebuilt: Revision, tmp_path: Path
) -> None:
    revision = advising(prebuilt.folder, tmp_path / "revision", shares=[0.2, 0.3, 0.5])
    predictor = Predictor(read_bundle(revision), "r", promised_name((revision / "model.json").read_bytes()))
    first, second = predictor.labels[:2]
    with serving_site(make_site(revision, predictor, tmp_path / "site")) as running:
        visit = visit_of(running.url(f"?prior={first}:0.9,{second}:0.1"))
        ready(visit)
        visit.show("disc.png", DISC)
        prediction = predictor.reweigh(predictor.predict(DISC), {first: 0.9, second: 0.1})
        expect(visit.page.locator("#answer")).to_contain_text("How often each of them occurs")
        assert says(visit.page) == text_of(html.answer(prediction, "en"))
        page = visit_of(running.url("?prior=cat:1")).page
        expect(page.locator("#notice")).to_contain_text("“cat:1”")
    # A model that is too old to take one.
    visit = visit_of(server.url(f"?prior={first}:1"))
    expect(ready(visit).locator("#notice")).to_contain_text(f"“{first}:1”")
    visit.show("disc.png", DISC)
    expect(visit.page.locator("#bars .share").first).to_be_visible()


def test_what_holds_for_all_answers_stays_when_pictures_are_pasted(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    page = ready(visit_of(server.url("?prior=cat:1")))
    notice, paste = page.locator("#notice"), page.get_by_role("button", name="Paste a picture")
    before = notice.inner_text()
    assert "“cat:1”" in before
    give = """(bytes) => {
        const picture = new Blob([Uint8Array.from(bytes)], { type: "image/png" });
        navigator.clipboard.read = async () => bytes.length ? [new ClipboardItem({ "image/png": picture })] : [];
    }"""
    page.evaluate(give, [])
    paste.click()
    expect(notice).to_have_text(f"{before} There is no picture in the clipboard.")
    page.evaluate(give, list(DISC))
    paste.click()
    expect(page.locator("#bars .share").first).to_be_visible()
    expect(notice).to_have_text(before)
    # It is no longer about what is shown, whichever way that came.
    page.evaluate("void (navigator.clipboard.read = () => Promise.reject(new DOMException('', 'NotAllowedError')))")
    paste.click()
    expect(notice).to_contain_text("Paste with the keyboard instead.")
    page.locator(".gallery-item").first.click()
    expect(notice).to_have_text(before)


# Colours need both themes and what fits needs both windows, but no rule is about two of them at once.
@pytest.mark.parametrize(
    ("viewport", "theme", "language"),
    [(DESKTOP, "dark", "fr"), (PHONE, "light", "de")],
    ids=["desktop-dark-fr", "phone-light-de"],
)
def test_every_room_is_accessible_and_fits_and_nothing_moves(
    visit_of: Callable[..., Visit],
    server: SiteServer,
    node_folder: Path,
    viewport: dict[str, int],
    theme: str,
    language: str,
) -> None:
    axe = read_axe(node_folder)
    visit = visit_of(server.url(f"?__theme={theme}&lang={language}"), viewport=viewport)
    page = ready(visit)
    assert page.evaluate("shift") <= 0.01
    assert complaints(page, axe) == []
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        # What is around the rooms has been looked at.
        assert (tab, complaints(page, axe, f"#room-{tab}")) == (tab, [])
        assert (tab, overflow(page) <= 0) == (tab, True)
    page.locator("#tab-one").click()
    page.locator(".gallery-item").first.click()
    expect(page.locator("#bars .share").first).to_be_visible()
    assert page.evaluate("shift") <= 0.01
    states: list[tuple[str, Callable[[], object]]] = [
        ("answered", lambda: visit.show("disc.png", DISC)),
        ("why", lambda: page.locator("#ask-why").click()),
        ("unsure", lambda: visit.show("noise.png", NOISE)),
        ("refused", lambda: visit.show("x.png", b"x")),
    ]
    waited = {"answered": "#bars .share", "why": ".near li", "unsure": "#bars .strange", "refused": "#answer .unsure"}
    for state, begin in states:
        begin()
        expect(page.locator(waited[state]).first).to_be_visible()
        assert (state, complaints(page, axe, "#room-one")) == (state, [])
        assert (state, overflow(page) <= 0) == (state, True)
    page.locator("#tab-many").click()
    page.set_input_files("#files .some", [{"name": "disc.png", "mimeType": "image/png", "buffer": DISC}])
    page.locator("#classify-all").click()
    expect(page.locator("#csv")).to_be_visible()
    assert complaints(page, axe, "#room-many") == []
    assert overflow(page) <= 0


def test_bars_buttons_and_the_tab_are_seen_in_colours_of_the_visitors_own(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    visit = visit_of(server.url())
    page = ready(visit)
    page.emulate_media(forced_colors="active")
    try:
        for picture in (DISC, NOISE):
            visit.show("a.png", picture)
            expect(page.locator("#bars .share").first).to_be_visible()
            assert len(colours_in(page.locator("#bars meter").first)) > 1
        # The line under a tab: its colour is the ground's where the tab is not chosen.
        line = "(one) => getComputedStyle(one).borderBottomColor"
        ground = page.locator("body").evaluate("(one) => getComputedStyle(one).backgroundColor")
        for tab in ("one", "many"):
            page.locator(f"#tab-{tab}").click()
            colours = [page.locator(f"#tab-{each}").evaluate(line) for each in TABS]
            assert [each for each, colour in zip(TABS, colours, strict=True) if colour != ground] == [tab]
        assert page.locator("#classify-all").evaluate("(one) => getComputedStyle(one).borderStyle") == "solid"
        page.locator("#many-state").evaluate("(one) => one.append(document.createElement('progress'))")
        bar = page.locator("#many-state progress")
        bar.evaluate("(one) => { one.value = 0.5; }")
        assert len(colours_in(bar)) > 1
    finally:
        page.emulate_media(forced_colors="none")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_words_keep_to_their_buttons_on_a_page_that_is_enlarged(
    visit_of: Callable[..., Visit], server: SiteServer, language: str
) -> None:
    page = visit_of(server.url(f"?lang={language}"), viewport=ENLARGED).page
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        assert (tab, spilled_words(page), overflow(page) <= 0) == (tab, [], True)
    page.goto(server.url("blank.html"))
    page.evaluate("(lang) => { document.documentElement.lang = lang; document.body.style.margin = '16px'; }", language)
    page.add_script_tag(url=server.url("spotter.js"), type="module")
    page.evaluate("() => { document.body.append(document.createElement('spotter-classifier')); }")
    expect(page.locator("spotter-classifier .gallery-item").first).to_be_attached()
    assert (spilled_words(page), overflow(page) <= 0) == ([], True)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_jumps_however_long_the_reasons_take(
    visit_of: Callable[..., Visit], server: SiteServer, viewport: dict[str, int]
) -> None:
    page = ready(visit := visit_of(server.url(), viewport=viewport))
    page.locator(".gallery-item").first.click()
    page.get_by_role("button", name="Why?").wait_for()
    page.evaluate(
        """() => {
            const read = Blob.prototype.arrayBuffer;
            const held = new Promise((go) => { window.go = go; });
            Blob.prototype.arrayBuffer = async function () { await held; return read.call(this); };
        }"""
    )
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why")).to_have_text("Looking …")
    # What moves at once after a click moves for everybody to see why; a browser counts half a second as at once.
    page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
    before = page.evaluate("shift")
    page.evaluate("go()")
    expect(page.locator(".near li").first).to_be_visible()
    # Of what has moved it is told after the next two frames.
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )
    assert page.evaluate("shift") - before <= 0.01
    assert visit.errors == []


def test_tabs_work_by_keyboard(home: Visit) -> None:
    page = home.page
    page.locator("#tab-one").focus()
    for key, tab in (
        ("ArrowRight", "many"),
        ("ArrowLeft", "one"),
        ("ArrowLeft", "use"),
        ("Home", "one"),
        ("End", "use"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"#tab-{tab}")).to_be_focused()
        expect(page.locator(f"#room-{tab}")).to_be_visible()
        expect(page.locator("[role=tabpanel]:visible")).to_have_count(1)


def test_the_keyboard_keeps_its_place_while_the_page_works(home: Visit, tmp_path: Path) -> None:
    page = home.page
    page.locator(".gallery-item").first.press("Enter")
    page.get_by_role("button", name="Why?").press("Enter")
    expect(page.locator(".near li").first).to_be_visible()
    # The button has gone, and what it gave is there.
    expect(page.locator("#why")).to_be_focused()
    page.get_by_role("tab", name="Many").click()
    (tmp_path / "disc.png").write_bytes(DISC)
    page.set_input_files("#files .some", tmp_path / "disc.png")
    page.locator("#classify-all").press("Enter")
    expect(page.locator("#csv")).to_be_visible()
    expect(page.locator("#classify-all")).to_be_focused()
    page.get_by_role("button", name="Remove all files").click()


def test_a_page_in_a_frame_shows_the_picture_and_the_answer_alone(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    visit = visit_of(server.url("?embed=1"), color_scheme="dark")
    page = ready(visit)
    expect(page.locator("h1")).to_be_hidden()
    expect(page.locator("#tabs")).to_be_hidden()
    expect(page.locator("#picture")).to_be_visible()
    assert page.locator("html").get_attribute("data-theme") == "light"
    visit.show("disc.png", DISC)
    expect(page.locator("#bars .share").first).to_be_visible()
    assert page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0


def test_snippets_name_the_real_address(home: Visit, server: SiteServer) -> None:
    page = home.page
    page.get_by_role("tab", name="Embed & API").click()
    expect(page.locator(".snippet")).to_have_count(4)
    page.locator(".copy").first.click()
    expect(page.locator(".copy").first).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == [
        f'<script type="module" src="{server.url("spotter.js")}"></script>',
        "<spotter-classifier></spotter-classifier>",
    ]


@pytest.fixture(scope="module")
def blog(server: SiteServer) -> Iterator[str]:
    """A site of another origin: `/KIND/EMBED`, with rules that allow the classifier's origin and no other."""
    code = f'<script type="module" src="{server.url("spotter.js")}"></script>'
    far = '<div style="height: 5000px"></div>'
    own = "--spotter-accent: rgb(200, 0, 0); --spotter-background: rgb(1, 2, 3)"
    embeds = {
        "": far,
        "one": far + code + "<spotter-classifier></spotter-classifier>",
        "three": code
        + "<spotter-classifier></spotter-classifier>"
        + '<spotter-classifier lang="de" theme="dark"></spotter-classifier>'
        + f'<spotter-classifier style="{own}"></spotter-classifier>',
    }
    origin = server.url().rstrip("/")
    rules = (
        f"default-src 'none'; script-src {origin} 'wasm-unsafe-eval'; connect-src {origin}; img-src {origin}; "
        f"worker-src blob: {origin}; style-src 'unsafe-inline'"
    )

    def answer(path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        kind, _, embed = path[1:].partition("/")
        if kind not in STYLES:
            return 204, {}, b""
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": rules}
        return 200, headers, host_page(kind, embeds[embed])

    with JsonServer(answer) as running:
        yield running.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("kind", STYLES)
def test_the_element_answers_on_a_page_of_another_site_once_it_is_near_and_changes_nothing_there(
    visit_of: Callable[..., Visit], blog: str, kind: str
) -> None:
    before = visit_of(f"{blog}/{kind}/").page.evaluate(LOOK.replace("spotter-app", "spotter-classifier"))
    visit = visit_of(f"{blog}/{kind}/one")
    page = visit.page
    element = page.locator("spotter-classifier")
    expect(element.locator(".gallery-item").first).to_be_attached()
    assert not any("model.onnx" in url for url in visit.requests)
    element.scroll_into_view_if_needed()
    expect(element.locator("#loading.done")).to_be_attached()
    visit.page.set_input_files(
        "spotter-classifier #picture input", [{"name": "a.png", "mimeType": "image/png", "buffer": DISC}]
    )
    expect(element.locator("#bars .share").first).to_be_visible()
    assert overflow(page) <= 0
    assert page.evaluate(LOOK.replace("spotter-app", "spotter-classifier")) == before
    look = "(one) => [getComputedStyle(one).fontSize, getComputedStyle(one).textTransform, getComputedStyle(one).color]"
    assert element.locator("#private").evaluate(look)[:2] == ["14px", "none"]
    assert [line for line in visit.errors if "favicon" not in line] == []


def test_elements_share_one_model_and_a_page_colours_them_by_variables(
    visit_of: Callable[..., Visit], blog: str
) -> None:
    visit = visit_of(f"{blog}/plain/three")
    elements = visit.page.locator("spotter-classifier")
    for number in range(2):
        elements.nth(number).scroll_into_view_if_needed()
        expect(elements.nth(number).locator("#loading.done")).to_be_attached()
    expect(elements.nth(1).locator("#answer h2")).to_have_text("Wähle ein Bild")
    expect(elements.nth(2).locator("#answer h2")).to_be_visible()
    assert sum(url.endswith("model.onnx.gz") for url in visit.requests) == 1
    ground = "(one) => getComputedStyle(one).backgroundColor"
    assert [elements.nth(number).locator("#element").evaluate(ground) for number in range(3)] == [
        "rgb(247, 245, 240)",
        "rgb(22, 23, 20)",
        "rgb(1, 2, 3)",
    ]
    assert elements.nth(2).locator(".upload").evaluate("(one) => getComputedStyle(one).color") == "rgb(200, 0, 0)"


def test_nothing_is_left_of_an_element_that_is_gone(visit_of: Callable[..., Visit], server: SiteServer) -> None:
    page = visit_of(server.url("blank.html")).page
    page.add_script_tag(url=server.url("spotter.js"), type="module")
    page.evaluate("() => { document.body.append(document.createElement('spotter-classifier')); }")
    expect(page.locator("spotter-classifier #loading.done")).to_be_attached()
    page.locator("spotter-classifier .gallery-item").first.click()
    expect(page.get_by_role("button", name="Why?")).to_be_visible()
    page.evaluate(
        """() => {
            const element = document.querySelector("spotter-classifier");
            window.before = new WeakRef(element.shadowRoot.querySelector("#picture"));
            element.lang = "de";
        }"""
    )
    expect(page.locator("spotter-classifier #answer h2")).to_have_text("Wähle ein Bild")
    page.evaluate(
        """() => {
            const element = document.querySelector("spotter-classifier");
            window.gone = new WeakRef(element);
            element.remove();
        }"""
    )
    session = page.context.new_cdp_session(page)

    def is_gone() -> bool:
        session.send("HeapProfiler.collectGarbage")
        return page.evaluate("[before, gone].every((each) => each.deref() === undefined)")

    wait_until(is_gone)


def test_an_element_in_a_shadow_tree_speaks_the_language_of_the_page(
    visit_of: Callable[..., Visit], server: SiteServer
) -> None:
    page = visit_of(server.url("blank.html")).page
    page.evaluate(
        """() => {
            document.documentElement.lang = "de";
            const tree = document.body.appendChild(document.createElement("div")).attachShadow({ mode: "open" });
            tree.innerHTML = "<div><spotter-classifier></spotter-classifier></div>";
        }"""
    )
    page.add_script_tag(url=server.url("spotter.js"), type="module")
    expect(page.locator("spotter-classifier #answer h2")).to_have_text("Wähle ein Bild")


@pytest.mark.parametrize(
    ("path", "language"),
    [("element.js", "en"), ("element.js", "fr"), ("languages/en.json", "en"), ("languages/zh.json", "zh")],
)
def test_an_element_whose_files_do_not_come_says_so_in_the_language_of_the_page(
    visit_of: Callable[..., Visit], site: Path, path: str, language: str
) -> None:
    with serving_site(site, headers=CORS, replies={path: 404}) as running:
        embed = f'<script type="module" src="{running.url("spotter.js")}"></script>'
        embed += f'<p lang="{language}"><spotter-classifier></spotter-classifier></p>'
        page_of = host_page("plain", embed)
        with JsonServer(lambda _path, _query: (200, {"Content-Type": "text/html"}, page_of)) as blog:
            element = visit_of(blog.url).page.locator("spotter-classifier")
            expect(element.locator(f"p[lang={language}]")).to_have_text(translate("web_unloaded", language))
            expect(element.get_by_role("button")).to_have_count(0)
