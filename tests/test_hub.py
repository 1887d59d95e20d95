"""The store on the Hub, by the Hub's own client, against a Hub on this machine."""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spotter.errors import (
    AccessRefused,
    BrokenModel,
    CacheUnwritable,
    LostRace,
    PaymentRequired,
    RevisionMissing,
    SpotterError,
    StoreBusy,
    StoreUnreachable,
    StoreUnwritable,
)
from spotter.stores.base import content_name
from spotter.stores.hub import HubStore
from tests.conftest import ROOT, Published
from tests.hub import LOST, READER, STRANGER, WRITER, Answer, Fault, Hub, Repo, Request, error, running_hub
from tests.test_app import address_of, start, stop
from tests.test_stores import make_bundle, same_files

NAME = "anna/store"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "one", "one")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "two", "two")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def store(hub: Hub, tmp_path: Path, waits: list[float]) -> HubStore:
    return HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache", sleep=waits.append)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def published(repo: Repo, commit: int = -1) -> dict[str, bytes]:
    return {name: content for name, content in repo.commits[commit].files.items() if name != ".gitattributes"}


def refusal(kind: type[SpotterError], act: Callable[[], object]) -> str:
    """The sentence of the refusal. It is one, and neither it nor what lies below it shows a token."""
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", sentence), sentence
    assert "\n" not in sentence
    assert "Secret" not in "".join(traceback.format_exception(caught.value))
    return sentence


def always(*answers: Answer, at: str = "") -> Fault:
    """Give these answers in turn, then the last again and again, to requests that look like `at`."""
    rest = list(answers)

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if not re.search(at, str(request)):
            return usual(request)
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return fault


def once(answer: Answer, at: str = "") -> Fault:
    done: list[Request] = []

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if done or not re.search(at, str(request)):
            return usual(request)
        done.append(request)
        return answer

    return fault


# Publishing


def test_all_files_come_with_one_commit(hub: Hub, store: HubStore, one: Path) -> None:
    revision = store.push(one)
    repo = hub.repos[NAME]
    assert published(repo) == files_of(one)
    assert "export.pkl" in published(repo)
    assert [commit.title for commit in repo.commits] == ["initial commit", f"Publish {content_name(one)}"]
    assert repo.tags == {"v1": revision} == {"v1": repo.head.oid}
    assert hub.asked("POST .*/commit/main") == 1
    assert not any(request.token for request in hub.storage_requests)


@pytest.mark.parametrize("private", [False, True])
def test_a_new_model_is_public_unless_told_otherwise(private: bool, hub: Hub, tmp_path: Path, one: Path) -> None:
    HubStore(NAME, private=private, endpoint=hub.url, cache=tmp_path / "cache").push(one)
    assert hub.repos[NAME].private is private


def test_unchanged_files_make_no_commit_and_no_upload(hub: Hub, store: HubStore, one: Path, tmp_path: Path) -> None:
    revision = store.push(one)
    hub.forget()
    assert HubStore(NAME, endpoint=hub.url, cache=tmp_path / "other").push(one) == revision
    assert len(hub.repos[NAME].commits) == 2
    assert hub.repos[NAME].tags == {"v1": revision}
    assert hub.asked("POST .*/commit/|PUT ") == 0


def test_changed_files_replace_ours_and_leave_others_alone(
    hub: Hub, store: HubStore, tmp_path: Path, two: Path
) -> None:
    store.push(make_bundle(tmp_path / "more", "one", **{"example-2.jpg": "only in the first"}))
    repo = hub.repos[NAME]
    repo.add("Add a licence", repo.head.files | {"LICENSE": b"Apache"})
    revision = store.push(two)
    assert published(repo) == files_of(two) | {"LICENSE": b"Apache"}
    assert repo.tags["v2"] == revision == repo.head.oid


def test_a_tag_that_a_killed_publisher_did_not_set_is_set_later(hub: Hub, store: HubStore, one: Path) -> None:
    hub.fault = always(error(403, "not now"), at="/tag/")
    refusal(AccessRefused, lambda: store.push(one))
    assert hub.repos[NAME].tags == {}
    hub.fault = None
    revision = store.push(one)
    assert hub.repos[NAME].tags == {"v1": revision}
    assert len(hub.repos[NAME].commits) == 2


def test_a_lost_race_is_run_again_on_the_new_head(
    hub: Hub, store: HubStore, one: Path, two: Path, tmp_path: Path
) -> None:
    store.push(one)
    repo = hub.repos[NAME]
    winner = files_of(make_bundle(tmp_path / "winner", "winner", **{"example-9.jpg": "only the winner has it"}))
    other: list[str] = []

    def race(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if "/commit/main" in request.path and not other:
            other.append(repo.add("Somebody else", repo.head.files | winner | {"NOTES": b"theirs"}).oid)
        return usual(request)

    hub.fault = race
    revision = store.push(two)
    assert [commit.oid for commit in repo.commits[-2:]] == [other[0], revision]
    assert published(repo) == files_of(two) | {"NOTES": b"theirs"}


def test_a_race_lost_again_and_again_is_told(hub: Hub, store: HubStore, one: Path, two: Path) -> None:
    store.push(one)
    repo = hub.repos[NAME]

    def race(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if "/commit/main" in request.path:
            repo.add("Somebody else", repo.head.files | {"NOTES": os.urandom(4)})
        return usual(request)

    hub.fault = race
    assert "again and again" in refusal(LostRace, lambda: store.push(two))
    assert files_of(one).items() <= published(repo).items()


@pytest.mark.parametrize(("status", "at"), [(409, "/commit/main"), (412, "/commit/main"), (409, "/tag/")])
def test_a_conflict_is_tried_again(status: int, at: str, hub: Hub, store: HubStore, one: Path) -> None:
    hub.fault = once(error(status, "conflict"), at)
    revision = store.push(one)
    assert hub.repos[NAME].tags == {"v1": revision}


def test_two_publishers_at_once_both_stay_in_the_history(hub: Hub, tmp_path: Path) -> None:
    bundles = [make_bundle(tmp_path / text, text) for text in ("one", "two", "three")]

    def push(number: int) -> str:
        return HubStore(NAME, endpoint=hub.url, cache=tmp_path / f"cache{number}", sleep=lambda _: None).push(
            bundles[number]
        )

    with ThreadPoolExecutor(3) as pool:
        revisions = list(pool.map(push, range(3)))
    repo = hub.repos[NAME]
    assert {commit.oid for commit in repo.commits[1:]} == set(revisions)
    assert set(repo.tags.values()) == set(revisions)
    for files, revision in zip(bundles, revisions, strict=True):
        commit = repo.find(revision)
        assert commit
        assert files_of(files).items() <= commit.files.items()


def test_rollback_uploads_nothing_and_leaves_exactly_the_old_files(
    hub: Hub, store: HubStore, one: Path, two: Path, tmp_path: Path
) -> None:
    two = make_bundle(tmp_path / "more", "two", **{"example-2.jpg": "only in the second"})
    first, second = store.push(one), store.push(two)
    hub.forget()
    revision = store.rollback()
    assert hub.asked("PUT ") == 0
    repo = hub.repos[NAME]
    assert published(repo) == files_of(one)
    assert repo.tags == {"v1": first, "v2": second, "v3": revision}
    assert store.rollback("v1") == revision
    assert len(repo.commits) == 4


def test_an_edit_by_hand_is_in_the_history_and_can_be_taken_back(
    hub: Hub, store: HubStore, one: Path, two: Path
) -> None:
    store.push(one)
    repo = hub.repos[NAME]
    edited = repo.add("Update README.md", repo.head.files | {"README.md": b"by hand"}).oid
    assert [(event.action, event.version) for event in store.history()] == [("push", "v1"), ("edit", "")]
    assert store.pull()[1] == edited
    store.rollback()
    assert published(repo) == files_of(one)
    repo.add("Update README.md", repo.head.files | {"README.md": b"by hand again"})
    store.push(two)
    store.rollback()
    assert published(repo) == files_of(one)


def test_what_is_not_spotters_is_not_touched(hub: Hub, tmp_path: Path, one: Path) -> None:
    foreign = {
        "anna/tfjs": {"model.json": b'{"format": "layers-model", "weightsManifest": []}', "group1.bin": b"1"},
        "anna/llm": {"model.onnx": b"1", "README.md": b""},
        "anna/ignores": {".gitignore": b"*.pkl"},
    }
    for name, files in foreign.items():
        hub.repos[name] = Repo()
        hub.repos[name].add("theirs", files)
        store = HubStore(name, endpoint=hub.url, cache=tmp_path / "cache")
        for act in (store.check, lambda store=store: store.push(one)):
            assert re.search(r"did not publish|\.gitignore", refusal(StoreUnwritable, act))
        assert hub.repos[name].head.files == files


def test_private_is_not_promised_for_a_public_model(hub: Hub, tmp_path: Path, store: HubStore, one: Path) -> None:
    store.push(one)
    private = HubStore(NAME, private=True, endpoint=hub.url, cache=tmp_path / "cache")
    assert "is public" in refusal(StoreUnwritable, private.check)


def test_a_card_that_the_hub_refuses_is_told(hub: Hub, store: HubStore, tmp_path: Path) -> None:
    files = make_bundle(tmp_path / "bad", "bad", **{"README.md": "---\na: [\n---\n"})
    assert "model card" in refusal(StoreUnwritable, lambda: store.push(files))
    assert published(hub.repos[NAME]) == {}


# Pulling


def test_only_what_serving_needs_is_fetched(hub: Hub, store: HubStore, one: Path) -> None:
    revision = store.push(one)
    hub.forget()
    folder, name = store.pull("v1")
    assert name == revision
    assert {path.name for path in folder.iterdir()} == {
        "model.json", "model.onnx", "reference.safetensors", "example-1.jpg", "metrics.json",
    }  # fmt: skip
    assert hub.asked("/resolve/.*(pkl|manifest)") == 0
    assert not any(request.token for request in hub.storage_requests)


def test_a_pinned_revision_stays_when_main_and_tags_move(hub: Hub, store: HubStore, one: Path, two: Path) -> None:
    first = store.push(one)
    hub.repos[NAME].tags["v1"] = store.push(two)
    assert same_files(store.pull("v1")[0], two)
    for pin in (first, content_name(one)):
        folder, name = store.pull(pin)
        assert (name, same_files(folder, one)) == (first, True)


def test_a_hub_that_gives_other_files_than_were_pinned_is_not_believed(
    hub: Hub, store: HubStore, one: Path, two: Path
) -> None:
    store.push(one)
    repo = hub.repos[NAME]
    repo.add(f"Publish {content_name(two)}", repo.head.files)
    assert "other files" in refusal(BrokenModel, lambda: store.pull(content_name(two)))


def test_a_warm_cache_needs_no_network_for_a_pinned_revision(hub: Hub, store: HubStore, one: Path, two: Path) -> None:
    first, second = store.push(one), store.push(two)
    for revision in (first, "v2", None):
        store.pull(revision)
    hub.forget()
    for pin, files in ((first, one), (content_name(one), one), (second, two)):
        assert same_files(store.pull(pin)[0], files)
    assert hub.requests == []
    hub.close()
    assert same_files(store.pull("v2")[0], two)
    assert store.pull()[1] == second


@pytest.mark.parametrize(
    "answer", [error(503, "down"), error(429, "slow down", Retry_After="3600"), error(500, ""), LOST, error(403, "no")]
)
def test_a_hub_in_trouble_is_no_trouble_with_a_warm_cache(answer: Answer, hub: Hub, store: HubStore, one: Path) -> None:
    revision = store.push(one)
    store.pull()
    hub.fault = always(answer)
    for name in (None, revision):
        assert store.pull(name)[1] == revision


def test_a_download_that_breaks_off_is_tried_again(hub: Hub, store: HubStore, tmp_path: Path) -> None:
    files = make_bundle(tmp_path / "big", "big", **{"model.onnx": "x" * 300_000})
    store.push(files)
    content = (files / "model.onnx").read_bytes()
    hub.fault = once(Answer(200, content, cut=True), at="GET /[0-9a-f]{64}")
    assert (store.pull()[0] / "model.onnx").read_bytes() == content
    assert hub.asked(f"GET /{hashlib.sha256(content).hexdigest()}") == 2


# Refusals

TRY_AGAIN = {"Retry_After": "0"}
LONG = {"Retry_After": "3600"}


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (always(error(401, "Invalid credentials in Authorization header")), AccessRefused, "not accept the token"),
        (always(error(402, "Payment required", at="")), PaymentRequired, "paid"),
        (always(error(403, "No write access"), at="POST"), AccessRefused, "may not write .*No write access"),
        (always(error(404, "nothing here"), at="POST"), RevisionMissing, "shows no model"),
        (always(error(409, "conflict"), at="/commit/"), LostRace, "at the same time"),
        (always(error(412, "conflict"), at="/commit/"), LostRace, "at the same time"),
        (always(error(413, "too large"), at="/commit/"), StoreUnwritable, "HTTP 413 .*too large"),
        (always(error(429, "slow down", **LONG)), StoreBusy, "3600 seconds"),
        (always(error(429, "slow down", **LONG), at="preupload"), StoreBusy, "3600 seconds"),
        (always(error(429, "slow down")), StoreBusy, "some minutes"),
        (always(error(500, "oops")), StoreUnreachable, "HTTP 500"),
        (always(error(503, "oops", **LONG), at="/batch"), StoreUnreachable, "HTTP 503"),
        (always(Answer(502, b"<html>Bad gateway</html>"), at="validate"), StoreUnreachable, "broken answer"),
        (always(Answer(200, b"<html>Log in to the wifi</html>")), StoreUnreachable, "broken answer"),
        (always(Answer(200, b"{}"), at="/commit/"), StoreUnreachable, "broken answer"),
        (always(LOST), StoreUnreachable, "cannot be reached"),
    ],
)
def test_refusals_to_publish(
    fault: Fault, kind: type[SpotterError], sentence: str, hub: Hub, store: HubStore, one: Path, two: Path
) -> None:
    first = store.push(one)
    hub.fault = fault
    assert re.search(sentence, refusal(kind, lambda: store.push(two)))
    assert hub.repos[NAME].head.oid == first


@pytest.mark.parametrize(
    ("token", "kind", "sentence"),
    [
        ("", AccessRefused, "you need a token that may write"),
        ("hf_wrongSecret", AccessRefused, "not accept the token"),
        (READER, AccessRefused, "may not write"),
        (STRANGER, AccessRefused, "may not write"),
        ("hf_Secret with space", AccessRefused, "characters that no token has"),
        ("hf_Secretä", AccessRefused, "characters that no token has"),
    ],
)
def test_tokens_that_may_not_publish(
    token: str, kind: type[SpotterError], sentence: str, hub: Hub, store: HubStore, one: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert sentence in refusal(kind, lambda: store.push(one))
    assert hub.repos == {}


def test_a_hub_that_wants_money_is_told(hub: Hub, store: HubStore, one: Path) -> None:
    hub.wants_money = True
    assert "Payment required to create" in refusal(PaymentRequired, lambda: store.push(one))


@pytest.mark.parametrize(
    ("token", "fault", "kind", "sentence"),
    [
        ("", None, RevisionMissing, "if it is private"),
        (STRANGER, None, RevisionMissing, "if it is private"),
        ("hf_wrongSecret", None, AccessRefused, "not accept the token"),
        ("hf_Secret with space", None, AccessRefused, "characters that no token has"),
        ("", always(error(401, "no")), AccessRefused, "wants a token"),
        (WRITER, always(error(403, "Access is restricted", "GatedRepo")), AccessRefused, "is gated"),
        (WRITER, always(error(403, "no")), AccessRefused, "may not read"),
        (WRITER, always(error(404, "no", "RepoNotFound")), RevisionMissing, "shows no model"),
        (WRITER, always(error(404, "no", "RevisionNotFound")), RevisionMissing, "no such revision"),
        (WRITER, always(error(404, "no", "EntryNotFound")), RevisionMissing, "lacks a file"),
        (WRITER, always(error(429, "slow down", **LONG)), StoreBusy, "3600 seconds"),
        (WRITER, always(Answer(200, b"<html>Log in to the wifi</html>")), StoreUnreachable, "broken answer"),
    ],
)
def test_refusals_to_give_to_an_empty_cache(
    token: str, fault: Fault | None, kind: type[SpotterError], sentence: str,
    hub: Hub, store: HubStore, one: Path, monkeypatch, tmp_path: Path, capfd,
) -> None:  # fmt: skip
    store.push(one)
    hub.repos[NAME].private = True
    monkeypatch.setenv("HF_TOKEN", token)
    hub.fault = fault
    cold = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cold")
    assert sentence in refusal(kind, cold.pull)
    assert "Secret" not in "".join(capfd.readouterr())


def test_a_gated_model_is_given_to_who_was_let_in(hub: Hub, store: HubStore, one: Path, tmp_path, monkeypatch) -> None:
    store.push(one)
    hub.repos[NAME].gated = True
    assert same_files(HubStore(NAME, endpoint=hub.url, cache=tmp_path / "warm").pull()[0], one)
    for token in ("", STRANGER):
        monkeypatch.setenv("HF_TOKEN", token)
        assert f"{hub.url}/{NAME}" in refusal(
            AccessRefused, HubStore(NAME, endpoint=hub.url, cache=tmp_path / f"cold{token}").pull
        )


def test_a_hub_that_stays_down_is_asked_a_few_times_and_told(hub: Hub, store: HubStore, one: Path) -> None:
    store.push(one)
    hub.forget()
    hub.fault = always(error(503, "down", **TRY_AGAIN))
    assert "HTTP 503" in refusal(StoreUnreachable, store.pull)
    assert len(hub.requests) < 10


@pytest.mark.parametrize("at", ["GET /api/models/anna/store$", "/commit/", "/refs", "/tag/", "repos/create"])
def test_retry_after_is_obeyed(at: str, hub: Hub, store: HubStore, one: Path, waits: list[float]) -> None:
    hub.fault = once(error(429, "slow down", Retry_After="17"), at)
    store.push(one)
    assert waits == [17]
    assert len(hub.repos[NAME].commits) == 2


# Connections that break


def with_fault(tmp_path: Path, name: str, old: Path, new: Path, make_fault: Callable[[], Fault]) -> None:
    """Push `new` over `old` under a fault: `main` names one or the other, whole; and then push again."""
    with running_hub() as hub:
        store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / name, sleep=lambda _: None)
        store.push(old)
        hub.fault = make_fault()
        with contextlib.suppress(SpotterError):
            store.push(new)
        repo = hub.repos[NAME]
        assert published(repo) in (files_of(old), files_of(new)), name
        hub.fault = None
        revision = store.push(new)
        assert published(repo) == files_of(new), name
        assert [commit.title for commit in repo.commits[1:]] == [
            f"Publish {content_name(old)}", f"Publish {content_name(new)}",
        ], name  # fmt: skip
        assert repo.tags["v2"] == revision == repo.head.oid, name


def at_request(number: int, *, answered: bool = False, for_good: bool = False) -> Fault:
    """Cut the connection at the numbered request, before the Hub looks at it or after; or refuse it and all later."""
    seen = iter(range(1000))

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        now = next(seen)
        if for_good and now >= number:
            return error(403, "gone")
        if now != number:
            return usual(request)
        if answered:
            usual(request)
        return LOST

    return fault


def test_cut_at_any_request_the_head_is_old_or_new_and_never_a_mixture(hub: Hub, one: Path, two: Path, tmp_path: Path):
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "count")
    store.push(one)
    hub.forget()
    store.push(two)
    count = len(hub.requests) + len(hub.storage_requests)
    assert count >= 12
    cases = [
        (f"{number} {kind}", lambda number=number, kind=kind: at_request(number, **kind))
        for number in range(count)
        for kind in ({}, {"answered": True}, {"for_good": True})
    ]
    with ThreadPoolExecutor(len(cases)) as pool:
        for result in [pool.submit(with_fault, tmp_path, name, one, two, make) for name, make in cases]:
            result.result()


# Disks that are full

PULLER = """
import resource, sys
from pathlib import Path
from spotter.errors import CacheUnwritable
from spotter.stores.hub import HubStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    HubStore("anna/store", cache=Path(sys.argv[1])).pull()
except CacheUnwritable as told:
    print(told)
"""


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    """For commands that talk to this Hub."""
    mine = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": WRITER}
    return {**os.environ, **mine, "HF_HOME": str(home), **more}


def test_a_file_that_cannot_grow_is_told(hub: Hub, store: HubStore, tmp_path: Path) -> None:
    store.push(make_bundle(tmp_path / "big", "big", **{"model.onnx": "x" * 3_000_000}))
    finished = subprocess.run(
        [sys.executable, "-c", PULLER, str(tmp_path / "cold")],
        cwd=ROOT, env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot be kept" in finished.stdout
    assert not list((tmp_path / "cold").rglob("*.incomplete"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "tiny"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() != 0 or libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=1m"):
        pytest.skip("a tiny disk can only be mounted by root")
    yield disk
    libc.umount(str(disk).encode())


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_full_disk_is_told(hub: Hub, store: HubStore, tiny_disk: Path, tmp_path: Path) -> None:
    store.push(make_bundle(tmp_path / "big", "big", **{"model.onnx": "x" * 3_000_000}))
    cold = HubStore(NAME, endpoint=hub.url, cache=tiny_disk / "cache")
    assert "No space left on device" in refusal(CacheUnwritable, cold.pull)
    assert not list(tiny_disk.rglob("*.incomplete"))
    small = make_bundle(tmp_path / "small", "small")
    store.push(small)
    assert same_files(cold.pull()[0], small)


# The commands


def test_train_publishes_and_the_app_serves_even_without_network(
    hub: Hub, published: Published, tmp_path: Path
) -> None:
    address, home = "hf://anna/shapes", tmp_path / "home"
    classes = [word for kind in ("disc", "cross", "stripes") for word in ("--class", kind)]
    pictures = ["--search", f"folder:{published.pictures}", "--data", str(published.data)]
    trained = subprocess.run(
        [sys.executable, "train.py", *classes, *pictures, "--to", address, "--private"],
        cwd=ROOT, env=environment(hub, home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    repo = hub.repos["anna/shapes"]
    revision = trained.stdout.splitlines()[-1].removeprefix("revision ")
    assert revision == repo.head.oid
    assert repo.private
    apart = {".gitattributes", "README.md", "model.json"}
    there, here = repo.head.files, files_of(published.folder)
    assert there.keys() - {".gitattributes"} == here.keys()
    assert {n: c for n, c in there.items() if n not in apart} == {n: c for n, c in here.items() if n not in apart}
    assert f'Predictor.load("{address}")'.encode() in repo.head.files["README.md"]
    assert f"python app.py --model {address}" in trained.stdout
    assert WRITER not in trained.stdout + trained.stderr

    hub.forget()
    assert served(start("--model", address, "--revision", revision, "--port", 0, **environment(hub, home))) == revision
    assert hub.asked("HEAD .*/model.json") == 1
    assert hub.asked("export.pkl") == 0

    hub.close()
    settings = {"MODEL_STORE": address, "MODEL_REVISION": repo.head.title.split()[-1]}
    assert served(start("--port", 0, **environment(hub, home, **settings))) == revision


def served(process: subprocess.Popen[str]) -> str:
    """The revision that the app says it serves, until it is stopped."""
    try:
        with urllib.request.urlopen(f"{address_of(process)}/healthz") as answer:
            return json.load(answer)["revision"]
    finally:
        stop(process)


def test_the_predictor_opens_the_hub(hub: Hub, published: Published, tmp_path: Path) -> None:
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache")
    store.push(published.folder)
    code = (
        "import sys; from spotter import Predictor; "
        "p = Predictor.load('hf://anna/store', revision='v1'); "
        "print(p.revision, p.predict(str(p.examples['cross'])).label); "
        "sys.exit(bool({'torch', 'fastai'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(hub, tmp_path / "home"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.split() == [hub.repos[NAME].head.oid, "cross"]


def test_rollback_as_a_command(hub: Hub, store: HubStore, one: Path, two: Path, tmp_path: Path) -> None:
    first, second = store.push(one), store.push(two)

    def run(*arguments: str) -> list[str]:
        return subprocess.run(
            [sys.executable, "scripts/rollback.py", f"hf://{NAME}", *arguments],
            cwd=ROOT, env=environment(hub, tmp_path / "home", PYTHONPATH="."),
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip

    listed = run("--list")
    assert listed[-1] == f"revision {second}"
    assert [line.split()[0] for line in listed[:-1]] == ["v1", "v2"]
    assert first in listed[0]
    assert content_name(one) in listed[0]
    assert run("v1")[-1] == f"revision {hub.repos[NAME].head.oid}"
    assert published(hub.repos[NAME]) == files_of(one)


def test_a_folder_as_store_is_not_asked_through_the_hubs_client() -> None:
    code = (
        "import sys; from spotter.stores import open_store; open_store('x'); sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
