"""From the page that teaches to a Space of one's own: the sign-in, the Space, and what may go wrong on the way."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from spotter.deploy.static_space import check_files
from spotter.web.site import SITE_JSON
from tests.conftest import Revision
from tests.helpers.hub import LOST, Hub, Repo, always, card_problems, error, read_card, running_hub
from tests.helpers.hub_site import OLD, host_site
from tests.helpers.teach import LONG_MS, Lesson, lesson_in
from tests.helpers.window import Window

MADE = "spaces/anna/disc-cross"


@dataclass
class Visit:
    """Somebody who has taught two classes on a Space, and is signed in there."""

    hub: Hub
    lesson: Lesson

    @property
    def page(self) -> Page:
        return self.lesson.page

    def put(self, name: str = "") -> str:
        """Put it on a Space; what is said of it."""
        self.page.locator("#hub-name").fill(name)
        self.page.locator("#hub-put").click()
        expect(self.page.locator("#hub-put")).to_be_enabled(timeout=LONG_MS)
        return self.said()

    def said(self) -> str:
        return self.page.locator("#hub-state").inner_text()


@pytest.fixture(scope="module")
def visit(browser: Browser, prebuilt: Revision) -> Iterator[Visit]:
    with running_hub() as hub, lesson_in(browser, host_site(hub, prebuilt)) as lesson:
        lesson.add_kinds({"disc": 6, "cross": 6})
        lesson.learn()
        expect(lesson.page.locator("#hub-sign-in")).to_be_visible(timeout=LONG_MS)
        assert not lesson.page.locator("#hub-put").is_visible()
        hub.consents = False
        lesson.page.locator("#hub-sign-in").click()
        expect(lesson.said).to_contain_text("You did not allow it", timeout=LONG_MS)
        hub.consents = True
        expect(lesson.page.locator("#hub-sign-in")).to_be_visible(timeout=LONG_MS)
        lesson.page.locator("#hub-sign-in").click()
        expect(lesson.said).to_contain_text("You are signed in to the Hub as anna.", timeout=LONG_MS)
        # What was taught is there still, and learnt.
        expect(lesson.page.locator("#hub-put")).to_be_visible(timeout=LONG_MS)
        yield Visit(hub, lesson)


@pytest.fixture(autouse=True)
def calm(visit: Visit) -> Iterator[None]:
    yield
    visit.hub.fault = None
    visit.page.remove_listener("dialog", accept)


def accept(dialog: Dialog) -> None:
    dialog.accept()


def test_the_sign_in_leaves_nothing_but_in_the_tab(visit: Visit) -> None:
    page = visit.page
    assert "?" not in page.url
    kept = page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert "Secret" not in kept
    assert "nonce" not in kept
    assert "Secret" in page.evaluate("JSON.stringify(sessionStorage)")
    [asked] = [each for each in visit.hub.requests if each.path == "/oauth/token"]
    assert b"client_secret" not in asked.body
    # It may make Spaces, and gets at no others.
    assert "contribute-repos" in visit.hub.repos[OLD].oauth["OAUTH_SCOPES"]


def test_what_was_taught_becomes_a_space_that_teaches_too(visit: Visit, window: Window) -> None:
    assert re.search(r"It is there.*anna/disc-cross", visit.put())
    repo = visit.hub.repos[MADE]
    # Made, and filled in one step.
    assert len(repo.commits) == 2
    files = repo.head.files
    card = read_card(files)
    assert card_problems(card, "space") == []
    assert (card["title"], card["sdk"], card["hf_oauth_scopes"]) == ("disc, cross", "static", ["contribute-repos"])
    assert card["custom_headers"] == read_card(visit.hub.repos[OLD].head.files)["custom_headers"]
    site = json.loads(files[SITE_JSON])
    assert site["title"] == "disc, cross"
    check_files(repo.host, files, patience_s=240)
    # What the Hub put into the pages of the Space that it was taught on is not this one's.
    assert not [name for name, content in files.items() if name.endswith(".html") and b"OAUTH" in content]
    # No picture of the visitor's own, as nobody said that they may be shown.
    assert not [name for name in files if "thumbnails" in name or "example" in name]
    with window.visiting(f"{repo.host}/teach/") as elsewhere:
        page = elsewhere.page
        expect(page.locator("#hub-sign-in")).to_be_attached(timeout=LONG_MS)
        assert page.evaluate("window.huggingface.variables.OAUTH_CLIENT_ID") == repo.oauth["OAUTH_CLIENT_ID"]


def test_a_site_is_replaced_only_if_one_wants_it_and_as_a_whole(visit: Visit) -> None:
    visit.put("again")
    repo = visit.hub.repos["spaces/anna/again"]
    site = json.loads(repo.head.files[SITE_JSON])
    more = {"model/gone.jpg": b"old", "theirs.txt": b"theirs"}
    listed = {**site, "files": {**site["files"], "model/gone.jpg": {}}}
    before = repo.add("old", {**repo.head.files, **more, SITE_JSON: json.dumps(listed).encode()})
    # Playwright says no to what nobody listens for.
    assert visit.put("again") == "The Space stays as it is."
    assert repo.head is before
    visit.page.on("dialog", accept)
    assert "It is there" in visit.put("again")
    assert json.loads(repo.head.files[SITE_JSON])["files"].keys() == site["files"].keys()
    assert "model/gone.jpg" not in repo.head.files
    assert repo.head.files["theirs.txt"] == b"theirs"


@pytest.mark.parametrize(
    ("at", "status", "words"),
    [
        ("repos/create", 402, "wants to be paid"),
        ("repos/create", 429, "too often"),
        ("repos/create", 500, r"an error \(500\)"),
        ("preupload", 403, "does not let you write to"),
        ("/commit/main", 412, "changed meanwhile"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(visit: Visit, at: str, status: int, words: str) -> None:
    visit.hub.fault = always(error(status, "no"), at=at)
    assert re.search(words, visit.put(f"refused-{status}"))


@pytest.mark.parametrize("at", ["repos/create", "preupload", "lfs/objects/batch", r"PUT /", "/commit/main"])
def test_a_space_is_never_a_mixture(visit: Visit, at: str) -> None:
    name = f"cut-{re.sub('[^a-z]', '', at.lower())}"
    # What lies in the storage already is not sent again.
    visit.hub.storage.clear()
    visit.hub.fault = always(LOST, at=at)
    assert "The Hub does not answer. The Space is as it was, or new as a whole" in visit.put(name)
    repo = visit.hub.repos.get(f"spaces/anna/{name}")
    assert repo is None or len(repo.commits) == 1
    if at == "/commit/main":
        # The Space that was begun is filled by whoever tries again.
        assert repo
        visit.hub.fault = None
        assert "It is there" in visit.put(name)
        assert len(repo.commits) == 2


def test_what_is_not_ours_stays(visit: Visit) -> None:
    visit.hub.repos["spaces/anna/diary"] = Repo(sdk="static", hardware=None)
    before = visit.hub.repos["spaces/anna/diary"].add("mine", {"index.html": b"mine"})
    assert "something else called diary" in visit.put("diary")
    assert visit.hub.repos["spaces/anna/diary"].head is before
    for name in ("-a", "a b", "a--b", "ä"):
        assert "cannot be called" in visit.put(name)


def test_a_client_of_the_hub_that_does_not_come_is_told(visit: Visit, window: Window) -> None:
    with window.visiting(f"{visit.hub.repos[OLD].host}/teach/") as elsewhere:
        page = elsewhere.page
        # Until its script listens, a press is lost; then it shows the box, though nothing was learnt.
        page.wait_for_selector("#hub:not([hidden])", state="attached", timeout=LONG_MS)
        replies: dict[str, Callable[[Route], None]] = {
            "Are you online?": lambda route: route.abort(),
            "One of its files is changed, missing": lambda route: route.fulfill(status=404),
            # A browser keeps a script that it could not read, so this is the last.
            "One of its files is changed": lambda route: route.fulfill(body="let", content_type="text/javascript"),
        }
        for words, reply in replies.items():
            page.evaluate("document.querySelector('#hub-state').textContent = ''")
            page.route("**/hub.js", reply)
            # Nothing was learnt here, so nobody sees it yet.
            page.evaluate("document.querySelector('#hub-sign-in').click()")
            expect(page.locator("#hub-state")).to_contain_text(words)
            page.unroute("**/hub.js")


def test_in_a_frame_it_offers_a_tab_of_its_own(window: Window, visit: Visit) -> None:
    with window.visiting() as elsewhere:
        page = elsewhere.page
        address = f"{visit.hub.repos[OLD].host}/teach/"
        page.route(
            "**/outside", lambda route: route.fulfill(body=f"<iframe src={address}></iframe>", content_type="text/html")
        )
        page.goto(f"{visit.hub.static_url}/outside")
        frame = page.frame_locator("iframe")
        expect(frame.locator("#hub-text")).to_contain_text("in a tab of its own", timeout=LONG_MS)
        expect(frame.locator("#hub-state a")).to_have_attribute("href", address)


# The last: nobody is signed in after it.
def test_a_sign_in_that_has_ended_is_said_and_signing_out_forgets_it(visit: Visit) -> None:
    token = json.loads(visit.page.evaluate("sessionStorage.getItem('spotter-hub')"))["token"]
    del visit.hub.users[token]
    assert "The sign-in has ended." in visit.put("late")
    expect(visit.page.locator("#hub-sign-in")).to_be_visible()
    assert visit.page.evaluate("sessionStorage.getItem('spotter-hub')") is None
    visit.page.locator("#hub-sign-in").click()
    expect(visit.page.locator("#hub-sign-out")).to_be_visible(timeout=LONG_MS)
    visit.page.locator("#hub-sign-out").click()
    expect(visit.page.locator("#hub-sign-in")).to_be_visible()
    assert visit.page.evaluate("sessionStorage.getItem('spotter-hub')") is None
