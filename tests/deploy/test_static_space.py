"""Deploying to a static Space, against a Hub on this machine that serves its files; the browser is a real one."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

from spotter.cli import main
from spotter.deploy.space import VARIABLES
from spotter.deploy.space_repo import STATIC, SpaceRepo
from spotter.deploy.static_space import check_files, deploy_static, plan_static
from spotter.errors import AccessRefused, LostRace, SpaceFailed, StoreUnwritable
from spotter.inference.predictor import Predictor
from spotter.stores.hub import HubStore
from spotter.web.browser import Browser
from spotter.web.gate import Parity
from spotter.web.site import SITE_JSON, read_site, site_files
from spotter.web.tabs import opened
from tests.conftest import Revision
from tests.helpers.built import ALTERED, altered, site_of
from tests.helpers.hub import LOST, READER, Hub, Repo, Request, always, error, point_client, refusal

AGREES = """(async () => {
  const { load } = await import(new URL("spotter.js", document.baseURI).href);
  return (await (await load(new URL("./", document.baseURI))).selfTest()).agrees;
})()"""
STORE, NAME, SPACE = "hf://anna/shapes", "anna/app", "spaces/anna/app"
APP = {"README.md": b"old", "app.py": b"old", "spotter/inference/predictor.py": b"old", "requirements.txt": b"old"}


@pytest.fixture(scope="module")
def files(prebuilt: Revision, predictor: Predictor, built: dict[str, bytes]) -> dict[str, bytes]:
    return plan_static(STORE, predictor, site_files(prebuilt.folder, predictor, built))


@pytest.fixture
def space(hub: Hub) -> SpaceRepo:
    return SpaceRepo(NAME, endpoint=hub.url, sleep=lambda _: None)


@pytest.fixture
def old(hub: Hub, files: dict[str, bytes]) -> Repo:
    """A static Space of an earlier site, with a file that is no longer needed and one that is not ours."""
    site = json.loads(files[SITE_JSON])
    earlier = {"spotter.js": {}, "gone.js": {}}
    mine = {"spotter.js": b"old", "gone.js": b"old", SITE_JSON: json.dumps(site | {"files": earlier}).encode()}
    card = b"---\nsdk: static\n---\nold"
    hub.repos[SPACE] = Repo(sdk="static", hardware=None, host=f"{hub.static_url}/{NAME}", variables={"THEIRS": "1"})
    hub.repos[SPACE].add("old", {".gitattributes": b"", "NOTES.txt": b"theirs", "README.md": card, **mine})
    return hub.repos[SPACE]


def run(
    space: SpaceRepo, files: dict[str, bytes], predictor: Predictor, browser: Browser, patience: float = 240,
    said: list[str] | None = None,
) -> str:  # fmt: skip
    say = (said if said is not None else []).append
    return deploy_static(
        space, files, space.state(VARIABLES), predictor, browser, "Serve", say,
        build_patience_s=60, smoke_patience_s=patience,
    )  # fmt: skip


# What is put there


def test_the_card_says_what_is_served_and_asks_for_isolation(files: dict[str, bytes], predictor: Predictor) -> None:
    card = SpaceCard(files["README.md"].decode())
    assert (card.data.sdk, card.data.app_file, card.data.models) == ("static", "index.html", ["anna/shapes"])
    assert card.data.custom_headers == {
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "cross-origin",
    }
    assert f"/anna/shapes/tree/{predictor.revision}" in card.text
    site = read_site(files[SITE_JSON])
    assert site
    assert site["revision"] == predictor.revision
    assert not hasattr(card.data, "sdk_version") or card.data.sdk_version is None


@pytest.mark.slow
def test_a_new_space_is_made_filled_and_tried(
    hub: Hub, space: SpaceRepo, files: dict[str, bytes], predictor: Predictor, chromium: Browser
) -> None:
    hub.wants_money = True
    said: list[str] = []
    url = run(space, files, predictor, chromium, said=said)
    assert url == f"{hub.static_url}/{NAME}"
    there = hub.repos[SPACE].head.files
    assert {name: content for name, content in there.items() if name != ".gitattributes"} == files
    created = next(json.loads(request.body) for request in hub.requests if request.path == "/api/repos/create")
    assert (created["type"], created["sdk"], created.get("hardware")) == ("space", "static", None)
    assert "4 of 4 pictures get the same answer in Chromium" in said[-1]
    with opened(chromium, f"{url}/") as tab:
        assert tab.run("crossOriginIsolated", 240) is True
        # The Hub has put its own script into the page.
        assert tab.run("typeof window.huggingface", 240) == "object"
        # A second visit is as isolated as the first, whose answers were compared, and what the service worker has kept
        # runs there too.
        tab.run("navigator.serviceWorker.ready.then(() => true)", 240)
        tab.open(f"{url}/")
        assert tab.run("crossOriginIsolated && navigator.serviceWorker.controller !== null", 240) is True
        assert tab.run(AGREES, 240) is True


@pytest.mark.slow
def test_firefox_tries_it_too(
    hub: Hub, space: SpaceRepo, files: dict[str, bytes], predictor: Predictor, firefox: Browser
) -> None:
    hub.wants_money = True
    said: list[str] = []
    assert run(space, files, predictor, firefox, said=said) == f"{hub.static_url}/{NAME}"
    assert "4 of 4 pictures get the same answer in Firefox" in said[-1]


def test_an_older_one_is_brought_up_to_date_in_one_commit_whose_answer_got_lost(
    hub: Hub, space: SpaceRepo, old: Repo, files: dict[str, bytes], predictor: Predictor, chromium: Browser,
    without_rest: None,
) -> None:  # fmt: skip
    lost: set[str] = set()

    def fault(request: Request, usual):
        answer = usual(request)
        if "/commit/main" in request.path and not lost:
            lost.add(request.path)
            return LOST
        return answer

    hub.fault = fault
    # A server may unpack files itself.
    hub.on_the_way = lambda path, content: gzip.decompress(content) if path.endswith(".gz") else content
    run(space, files, predictor, chromium)
    assert lost
    assert old.head.files == {".gitattributes": b"", "NOTES.txt": b"theirs", **files}
    assert len(old.commits) == 2
    assert old.variables == {"THEIRS": "1"}


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers have tried a site, and it answers as it should: for what is done with that."""
    parity = Parity("Chromium 1", 4, 4, 0.0, 0.0)
    monkeypatch.setattr("spotter.web.gate.check_site", lambda *_: parity)
    monkeypatch.setattr("spotter.deploy.static_space.ask_site", lambda *_: parity)


def test_an_app_becomes_a_static_space(
    hub: Hub, space: SpaceRepo, files: dict[str, bytes], predictor: Predictor, chromium: Browser, answered: None
) -> None:
    hub.repos[SPACE] = Repo(host="http://127.0.0.1:9", variables={"MODEL_STORE": "hf://anna/old"})
    hub.repos[SPACE].add("old", {".gitattributes": b"", **APP, "NOTES": b"theirs"})
    assert run(space, files, predictor, chromium) == f"{hub.static_url}/{NAME}"
    assert hub.repos[SPACE].head.files == {".gitattributes": b"", "NOTES": b"theirs", **files}
    state = space.state(VARIABLES)
    assert state
    assert state.kind == STATIC


# What fails


Change = Callable[[str, bytes], bytes | None]


def at(name: str, change: Callable[[bytes], bytes | None]) -> Change:
    return lambda path, content: change(content) if path == name else content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at("page.js", lambda content: content + b" "), "gives another page.js than was put"),
        (at("model/model.onnx.gz", lambda _: None), r"not give model/model\.onnx\.gz \(HTTP 404"),
        (at("model/reference.safetensors.gz", lambda content: content[:900]), "gives another"),
        (at("index.html", lambda content: content.replace(b"page.js", b"other.js")), "another index.html"),
        (at(SITE_JSON, lambda _: None), "shows no site"),
        (at(SITE_JSON, lambda _: b"{}"), "shows no site"),
    ],
)
def test_what_is_served_otherwise_is_told_and_taken_back(
    change: Change, words: str, hub: Hub, space: SpaceRepo, old: Repo, files: dict[str, bytes], predictor: Predictor,
    chromium: Browser,
) -> None:  # fmt: skip
    there, commit = old.head.files, old.head.oid
    hub.on_the_way = change
    with pytest.raises(SpaceFailed, match=words) as caught:
        run(space, files, predictor, chromium, patience=0.3)
    assert f"the files from before ({commit[:7]}) are back" in str(caught.value)
    assert old.head.files == there
    assert old.variables == {"THEIRS": "1"}
    assert [commit.title.split()[0] for commit in old.commits] == ["old", "Serve", "Roll"]


def test_a_site_that_answers_otherwise_is_taken_back(
    hub: Hub, space: SpaceRepo, old: Repo, predictor: Predictor, prebuilt: Revision, built: dict[str, bytes],
    chromium: Browser, tmp_path: Path,
) -> None:  # fmt: skip
    there = old.head.files
    other = site_of(altered(prebuilt.folder, tmp_path / "other", ALTERED["network"]), built)
    with pytest.raises(SpaceFailed, match="does not answer like the model here"):
        run(space, plan_static(STORE, predictor, other), predictor, chromium)
    assert old.head.files == there


def test_an_app_that_was_replaced_in_vain_is_back(
    hub: Hub, space: SpaceRepo, files: dict[str, bytes], predictor: Predictor, chromium: Browser
) -> None:
    repo = hub.repos[SPACE] = Repo(host="http://127.0.0.1:9", variables={"MODEL_STORE": "hf://anna/old"})
    card = b"---\nsdk: gradio\n---\nold"
    repo.add("old", {".gitattributes": b"", **APP, "README.md": card})
    hub.on_the_way = lambda path, content: None
    with pytest.raises(SpaceFailed, match="are back"):
        run(space, files, predictor, chromium, patience=0.2)
    assert repo.head.files == {".gitattributes": b"", **APP, "README.md": card}
    assert (repo.sdk, repo.variables) == ("gradio", {"MODEL_STORE": "hf://anna/old"})


def test_an_earlier_site_is_not_taken_for_this_one(hub: Hub, old: Repo, files: dict[str, bytes]) -> None:
    said = refusal(SpaceFailed, lambda: check_files(old.host, files, 0.2))
    assert "shows the site of the revision" in said
    assert "does not answer at /site.json" in refusal(
        SpaceFailed, lambda: check_files("http://127.0.0.1:9", files, 0.2)
    )


def test_refusals_leave_the_space_as_it_was(
    hub: Hub, space: SpaceRepo, old: Repo, files: dict[str, bytes], predictor: Predictor, chromium: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    head, before = old.head, space.state(VARIABLES)
    hub.fault = always(error(403, "no"), at="/commit/main")
    refusal(AccessRefused, lambda: run(space, files, predictor, chromium))
    hub.fault = None
    assert old.head == head
    moved = old.add("somebody else", old.head.files | {"NOTES": b"new"})
    with pytest.raises(LostRace):
        deploy_static(space, files, before, predictor, chromium, "Serve", print)
    assert old.head == moved
    old.add("theirs", {"index.html": b"a chess game"})
    assert "did not deploy" in refusal(StoreUnwritable, lambda: space.state(VARIABLES))
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "may not write" in refusal(AccessRefused, lambda: SpaceRepo("anna/new", endpoint=hub.url).create(None, ""))


# The command


def command(*arguments: str) -> int:
    return main(["deploy", f"hf://{NAME}", "--model", STORE, *arguments])


def test_a_free_account_gets_a_static_space(
    hub: Hub, prebuilt: Revision, built: dict[str, bytes], chromium: Browser, answered: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    point_client(monkeypatch, hub.url, tmp_path / "hub")
    monkeypatch.setenv("SPOTTER_BROWSER", chromium.program)
    revision = HubStore("anna/shapes", endpoint=hub.url, cache=tmp_path / "cache").push(prebuilt.folder)
    hub.wants_money = True
    assert command("--static", "--dry-run") == 0
    planned = capsys.readouterr().out
    for word in ("spotter.js", "model/model.onnx.gz", "sdk: static", f"/tree/{revision}"):
        assert word in planned
    assert SPACE not in hub.repos

    assert command("--hardware", "cpu-basic") == 1
    assert "--static (free" in capsys.readouterr().err
    assert SPACE not in hub.repos

    assert command() == 0
    done = capsys.readouterr().out.splitlines()
    (told,) = (line for line in done if "PRO" in line)
    assert told.endswith("so it becomes a static Space, which is free and answers in the visitor's browser")
    assert done[-1] == f"{hub.static_url}/{NAME}"
    there = hub.repos[SPACE].head.files
    site = read_site(there[SITE_JSON])
    assert site
    assert (site["revision"], site["parity"]["pictures"]) == (revision, 4)
    # The card of the model too, which an app does not need.
    assert there["model/README.md"] == (prebuilt.folder / "README.md").read_bytes()

    # Another time it stays one; to try it again would cost as much, and is not asked about here.
    monkeypatch.setenv("SPOTTER_BROWSER", "no-such-browser")
    assert command() == 1
    again = capsys.readouterr()
    assert "is a static Space and stays one" in again.out
    assert "there is no such program" in again.err
    assert hub.repos[SPACE].sdk == "static"


def test_a_static_space_has_no_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command("--static", "--hardware", "cpu-basic")
    assert "give --static or --hardware, not both" in capsys.readouterr().err
