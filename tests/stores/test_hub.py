"""The store on the Hub, by the Hub's own client, against a Hub on this machine."""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path

import pytest
from huggingface_hub import constants

from spotter.cli import main
from spotter.errors import (
    AccessRefused,
    BrokenModel,
    CacheUnwritable,
    LostRace,
    ModelNotPublic,
    PaymentRequired,
    RevisionMissing,
    SpotterError,
    StoreBusy,
    StoreUnreachable,
    StoreUnwritable,
)
from spotter.stores.base import content_name
from spotter.stores.hub import HubStore
from spotter.stores.hub_client import SILENCE_S
from tests.conftest import ROOT, Published, Revision
from tests.helpers.bundles import make_bundle, same_files
from tests.helpers.hub import (
    FINE,
    LOST,
    READER,
    SHORT_S,
    SILENT,
    STRANGER,
    WRITER,
    Answer,
    Fault,
    Hub,
    Repo,
    Request,
    always,
    environment,
    error,
    point_client,
    refusal,
    reply,
    running_hub,
    whoami,
)
from tests.helpers.patience import at_some_pace
from tests.helpers.processes import address_of, start, stop

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


def once(answer: Answer, at: str = "") -> Fault:
    done: list[Request] = []

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if done or not re.search(at, str(request)):
            return usual(request)
        done.append(request)
        return answer

    return fault


@pytest.mark.parametrize("name", ["model.json", "reference.safetensors", "model.onnx"])
@pytest.mark.parametrize("where", ["on the way", "on the disk"])
def test_what_is_damaged_in_the_cache_is_fetched_again(
    where: str, name: str, hub: Hub, store: HubStore, one: Path, tmp_path: Path
) -> None:
    store.push(one)
    whole = (one / name).read_bytes()
    damaged = whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]
    cold = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cold")
    if where == "on the way":
        told: list[Request] = []

        def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
            answer = usual(request)
            if answer.body != whole or request.headers.get("range") or told:
                return answer
            told.append(request)
            return replace(answer, body=damaged)

        hub.fault = fault
    else:
        (cold.pull()[0] / name).resolve().write_bytes(damaged)
    folder, _ = cold.pull()
    assert same_files(folder, one)
    hub.forget()
    cold.pull()
    assert hub.asked(f"GET .*{name}") == 0
    # Without the Hub, the reader of the bundle says what is wrong.
    hub.fault = always(LOST)
    (folder / name).resolve().write_bytes(damaged)
    with contextlib.suppress(BrokenModel):
        assert (cold.pull()[0] / name).read_bytes() == damaged


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


@pytest.mark.parametrize(
    ("at", "answer", "why"),
    [
        ("/tag/", error(403, "not now"), "Your token may not write to hf://anna/store (it says: not now)"),
        ("/tag/", error(409, "there is one"), "Others took every version"),
        ("/refs", error(500, "oops"), "HTTP 500"),
        ("/commits/", Answer(200, b"<html>"), "broken answer"),
    ],
)
def test_what_is_published_without_its_version_is_told_and_gets_it_the_next_time(
    at: str, answer: Answer, why: str, hub: Hub, store: HubStore, one: Path, two: Path, caplog
) -> None:
    hub.fault = always(answer, at=at)
    first = store.push(one)
    assert first == hub.repos[NAME].head.oid
    (told,) = caplog.messages
    assert f"Published to hf://anna/store as {first}, but the version tag could not be set (" in told
    assert why in told
    assert hub.repos[NAME].tags == {}
    hub.fault = None
    assert store.push(one) == first
    assert hub.repos[NAME].tags == {"v1": first}
    assert len(hub.repos[NAME].commits) == 2
    hub.fault = always(answer, at=at)
    second = store.push(two)
    hub.fault = None
    third = store.push(one)
    assert hub.repos[NAME].tags == {"v1": first, "v2": second, "v3": third}


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
    "answer",
    [error(503, "down"), error(429, "slow down", Retry_After="3600"), error(500, ""), LOST, SILENT, error(403, "no")],
)
def test_a_hub_in_trouble_is_no_trouble_with_a_warm_cache(answer: Answer, hub: Hub, one: Path, tmp_path: Path) -> None:
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache")
    revision = store.push(one)
    store.pull()
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache", silence_s=SHORT_S)
    hub.fault = always(answer)
    for name in (None, revision):
        assert store.pull(name)[1] == revision


def test_told_to_be_offline_only_the_cache_is_used(hub: Hub, store: HubStore, one: Path, monkeypatch) -> None:
    revision = store.push(one)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in refusal(StoreUnreachable, store.pull)
    assert "HF_HUB_OFFLINE forbids" in refusal(StoreUnreachable, store.check)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in (None, "v1"):
        store.pull(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.forget()
    for name in (None, "v1", revision, content_name(one)):
        folder, pulled = store.pull(name)
        assert pulled == revision
        assert same_files(folder, one)
    assert hub.requests == []


def test_a_download_that_breaks_off_is_tried_again(hub: Hub, store: HubStore, tmp_path: Path) -> None:
    files = make_bundle(tmp_path / "big", "big", **{"model.onnx": "x" * 300_000})
    store.push(files)
    content = (files / "model.onnx").read_bytes()
    hub.fault = once(Answer(200, content, cut=True), at="GET /[0-9a-f]{64}")
    assert (store.pull()[0] / "model.onnx").read_bytes() == content
    assert hub.asked(f"GET /{hashlib.sha256(content).hexdigest()}") == 2


# Refusals

CONFLICT = "Cannot create repo: another conflicting operation is in progress"
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
        ("hf_Secret with space", AccessRefused, "characters that a token cannot have"),
        ("hf_Secretä", AccessRefused, "characters that a token cannot have"),
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
    ("token", "sentence"),
    [
        ("", "you need a token that may write"),
        ("hf_wrongSecret", "not accept the token"),
        (READER, "may only read"),
        (STRANGER, "one of bert, who may not write to hf://anna/store"),
    ],
)
def test_tokens_that_may_not_publish_are_found_before_the_work(
    token: str, sentence: str, hub: Hub, store: HubStore, one: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert sentence in refusal(AccessRefused, store.check)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    store.push(one)
    monkeypatch.setenv("HF_TOKEN", token)
    assert sentence in refusal(AccessRefused, store.check)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        whoami("Anna", "write"),
        whoami("ben", "write", ("others", "Anna")),
        whoami("ben", "fineGrained"),
        whoami("ben", "something new"),
        reply({"name": "ben", "orgs": None, "auth": {"type": "oauth"}}),
        reply({"name": "anna", "auth": {"accessToken": None}}),
        reply(["anna"]),
        error(429, "too often", Retry_After="3600"),
    ],
)
def test_a_token_that_may_perhaps_publish_is_not_refused(
    answer: Answer | None, hub: Hub, store: HubStore, monkeypatch
) -> None:
    for token in (WRITER, FINE):
        monkeypatch.setenv("HF_TOKEN", token)
        hub.fault = always(answer, at="whoami") if answer else None
        store.check()
    assert hub.asked("whoami") == 2
    assert hub.repos == {}


def test_a_fine_grained_token_publishes(hub: Hub, store: HubStore, one: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", FINE)
    store.check()
    assert store.push(one) == hub.repos[NAME].head.oid


def test_a_hub_that_is_busy_with_another_repository_is_asked_a_few_times(
    hub: Hub, store: HubStore, one: Path, waits: list[float]
) -> None:
    hub.fault = always(error(409, CONFLICT), at="repos/create")
    assert "another repository of the same owner" in refusal(StoreBusy, lambda: store.push(one))
    assert hub.asked("repos/create") == 3
    hub.fault = once(error(409, CONFLICT), at="repos/create")
    assert store.push(one) == hub.repos[NAME].head.oid
    assert waits == [1, 3, 1]


@pytest.mark.parametrize(("private", "gated", "word"), [(True, False, "private"), (False, True, "gated")])
def test_what_only_some_may_read_is_told(
    private: bool, gated: bool, word: str, hub: Hub, store: HubStore, one: Path
) -> None:
    store.push(one)
    store.check_public()
    hub.repos[NAME].private, hub.repos[NAME].gated = private, gated
    assert f"hf://anna/store is {word}" in refusal(ModelNotPublic, store.check_public)


@pytest.mark.parametrize(
    ("token", "fault", "kind", "sentence"),
    [
        ("", None, RevisionMissing, "if it is private"),
        (STRANGER, None, RevisionMissing, "if it is private"),
        ("hf_wrongSecret", None, AccessRefused, "not accept the token"),
        ("hf_Secret with space", None, AccessRefused, "characters that a token cannot have"),
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


@pytest.mark.parametrize(
    ("told", "waited"),
    [
        (3000, []),
        (-3000, [1]),
        ("9" * 5000, [1]),
        ("\xb2", [1]),
        ("soon", [1]),
    ],
    ids=["a-date", "a-date-gone-by", "huge", "no-digit", "a-word"],
)
def test_a_retry_after_in_other_words(
    told: str | int, waited: list[float], hub: Hub, store: HubStore, one: Path, waits: list[float]
) -> None:
    words = told if isinstance(told, str) else formatdate(time.time() + told, usegmt=True)
    hub.fault = once(error(429, "slow down", Retry_After=words), "GET /api/models/anna/store$")
    if waited:
        store.push(one)
    else:
        assert re.search(r"wait [23]\d{3} seconds", refusal(StoreBusy, lambda: store.push(one)))
    assert waits == waited


@pytest.mark.parametrize("body", [b"null", b"[null]", b"5"])
@pytest.mark.parametrize("at", ["GET /api/models/anna/store$", "/commits/", "/refs"])
def test_an_answer_of_another_shape_is_told(at: str, body: bytes, hub: Hub, store: HubStore, one: Path) -> None:
    store.push(one)
    hub.fault = always(Answer(200, body, {"Content-Type": "application/json"}), at=at)
    assert "broken answer" in refusal(StoreUnreachable, store.check if "models" in at else store.history)


# A Hub that says nothing


@dataclass(frozen=True)
class Held:
    """What a Hub holds, for others that hold the same from their beginning."""

    repos: dict[str, Repo]
    storage: dict[str, bytes]

    @classmethod
    def by(cls, hub: Hub) -> "Held":
        return cls(deepcopy(hub.repos), dict(hub.storage))

    def give(self, hub: Hub) -> None:
        hub.repos, hub.storage = deepcopy(self.repos), dict(self.storage)


def in_silence(
    tmp_path: Path,
    number: int,
    before: Held,
    silence_s: float,
    at: str,
    answer: Answer,
    act: Callable[[Hub, HubStore, Path], object],
) -> str:
    """What is told, "" for nothing, when there is silence at requests that look like `at`.

    With time-outs as long as they are, it would have taken some minutes.
    """
    with running_hub() as hub:
        waits: list[float] = []
        cache = tmp_path / f"cache{number}"
        store = HubStore(NAME, endpoint=hub.url, cache=cache, sleep=waits.append, silence_s=silence_s)
        before.give(hub)
        hub.fault = always(answer, at=at)
        try:
            act(hub, store, make_bundle(tmp_path / f"new{number}", "new"))
        except StoreUnreachable as told:
            return str(told)
        finally:
            asked = [each for each in (*hub.requests, *hub.storage_requests) if re.search(at, str(each))]
            # Files go in parallel.
            most = max(Counter((str(each), each.body) for each in asked).values())
            assert most * SILENCE_S + sum(waits) < 450, at
    return ""


@pytest.mark.slow
def test_a_hub_that_falls_silent_at_any_request_is_told(tmp_path: Path, hub: Hub, without_rest: None, caplog) -> None:
    def push(hub: Hub, store: HubStore, files: Path) -> None:
        store.push(files)

    def check(hub: Hub, store: HubStore, files: Path) -> None:
        store.check()

    def pull(hub: Hub, store: HubStore, files: Path) -> None:
        HubStore(NAME, endpoint=hub.url, cache=files / "cold", silence_s=store._silence_s).pull()

    half = Answer(200, b'{"half": "of this"}' * 50, silent=True)
    tagging = ["/commits/", "/refs", "/tag/"]
    cases = [
        *((at, answer, check) for at in ("GET /api/models/anna/store$", "whoami") for answer in (SILENT, half)),
        *((at, answer, push) for at in ("GET /api/models/anna/store$", "validate-yaml") for answer in (SILENT, half)),
        *((at, answer, push) for at in ("preupload", "/batch", "PUT /", "/verify") for answer in (SILENT, half)),
        *((at, answer, push) for at in ("/commit/", *tagging) for answer in (SILENT, half)),
        *((at, SILENT, pull) for at in ("HEAD .*/main/model.json", "HEAD .*/model.onnx")),
        *((at, answer, pull) for at in ("GET .*/model.json", "GET /[0-9a-f]{64}") for answer in (SILENT, half)),
    ]
    HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache").push(make_bundle(tmp_path / "old", "old"))
    before = Held.by(hub)
    sentence = "The Hub does not answer for hf://anna/store; try again later."

    def try_all(pace: float) -> None:
        caplog.clear()
        (folder := tmp_path / str(pace)).mkdir()

        def told_at(number: int) -> str:
            return in_silence(folder, number, before, SHORT_S * pace, *cases[number])

        with ThreadPoolExecutor(len(cases)) as pool:
            told = list(pool.map(told_at, range(len(cases))))
        assert told == ["" if at in tagging else sentence for at, _, _ in cases]
        untagged = [line for line in caplog.messages if "version tag could not be set (The Hub does not answer" in line]
        assert len(untagged) == 2 * len(tagging)

    at_some_pace(try_all)


def test_a_hub_that_falls_silent_when_asked_for_a_new_model_is_told(hub: Hub, tmp_path: Path, one: Path) -> None:
    hub.fault = always(SILENT, at="repos/create")
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path, sleep=lambda _: None, silence_s=SHORT_S)
    assert "does not answer" in refusal(StoreUnreachable, lambda: store.push(one))
    assert hub.asked("repos/create") <= 3


# Connections that break


def with_fault(
    tmp_path: Path, name: str, before: Held, old: Path | None, new: Path, make_fault: Callable[[], Fault]
) -> None:
    """Push `new` over `old`, or over nothing, under a fault: `main` names one or the other, whole; then push again."""
    pushed = [folder for folder in (old, new) if folder]
    with running_hub() as hub:
        store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / name, sleep=lambda _: None)
        before.give(hub)
        hub.fault = make_fault()
        with contextlib.suppress(SpotterError):
            store.push(new)
        if NAME in hub.repos:
            assert published(hub.repos[NAME]) in (files_of(old) if old else {}, files_of(new)), name
        hub.fault = None
        revision = store.push(new)
        repo = hub.repos[NAME]
        assert published(repo) == files_of(new), name
        assert [commit.title for commit in repo.commits[1:]] == [f"Publish {content_name(each)}" for each in pushed], (
            name
        )
        assert repo.tags[f"v{len(pushed)}"] == revision == repo.head.oid, name


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


@pytest.mark.slow
@pytest.mark.parametrize("is_first", [False, True])
def test_cut_at_any_request_the_head_is_old_or_new_and_never_a_mixture(
    is_first: bool, hub: Hub, one: Path, two: Path, tmp_path: Path
) -> None:
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "count")
    if not is_first:
        store.push(one)
    hub.forget()
    before = Held.by(hub)
    store.push(two)
    count = len(hub.requests) + len(hub.storage_requests)
    assert count >= 12
    cases = [
        (f"{number} {kind}", lambda number=number, kind=kind: at_request(number, **kind))
        for number in range(count)
        for kind in ({}, {"answered": True}, {"for_good": True})
    ]
    with ThreadPoolExecutor(len(cases)) as pool:
        for result in [
            pool.submit(with_fault, tmp_path, name, before, None if is_first else one, two, make)
            for name, make in cases
        ]:
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_train_publishes_and_the_app_serves_even_without_network(
    hub: Hub, published: Published, tmp_path: Path
) -> None:
    address, home = "hf://anna/shapes", tmp_path / "home"
    # A copy: the set remembers its last run, and other tests read that of the fixture.
    data = shutil.copytree(published.data, tmp_path / "data")
    classes = [word for kind in ("disc", "cross", "stripes") for word in ("--class", kind)]
    pictures = ["--search", f"folder:{published.pictures}", "--data", str(data)]
    trained = subprocess.run(
        [sys.executable, "train.py", *classes, *pictures, "--to", address, "--private"],
        cwd=ROOT, env=environment(hub, home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    repo = hub.repos["anna/shapes"]
    revision = trained.stdout.splitlines()[-1].removeprefix("revision ")
    assert revision == repo.head.oid
    assert repo.private
    # The same run gave a folder store the same files, and so the same name of contents.
    assert {name: content for name, content in repo.head.files.items() if name != ".gitattributes"} == files_of(
        published.folder
    )
    assert repo.head.title == f"Publish {published.revision}"
    assert re.search(r"model\.onnx: .*100%", trained.stderr)
    assert f"python app.py --model {address}" in trained.stdout
    assert WRITER not in trained.stdout + trained.stderr

    hub.forget()
    once = start("--model", address, "--revision", revision, "--port", 0, "--no-page", **environment(hub, home))
    assert served(once) == revision
    assert hub.asked("HEAD .*/model.json") == 1
    assert hub.asked("export.pkl") == 0

    hub.close()
    settings = {"MODEL_STORE": address, "MODEL_REVISION": published.revision}
    assert served(start("--port", 0, **environment(hub, home, **settings))) == revision


@pytest.mark.slow
def test_train_finds_a_token_that_may_only_read_before_it_collects(hub: Hub, drawn: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "train.py", "--class", "disc", "--class", "cross", "--search", f"folder:{drawn}",
         "--to", "hf://anna/shapes", "--data", str(tmp_path / "data")],
        cwd=ROOT, env=environment(hub, tmp_path / "home", HF_TOKEN=READER), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    assert "train.py: Your token may only read" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert "Collect" not in finished.stdout
    assert not (tmp_path / "data").exists()
    assert hub.repos == {}


def served(process: subprocess.Popen[str]) -> str:
    """The revision that the app says it serves, until it is stopped."""
    try:
        with urllib.request.urlopen(f"{address_of(process)}/healthz") as answer:
            return json.load(answer)["revision"]
    finally:
        stop(process)


@pytest.mark.slow
def test_the_predictor_opens_the_hub(hub: Hub, prebuilt: Revision, tmp_path: Path) -> None:
    store = HubStore(NAME, endpoint=hub.url, cache=tmp_path / "cache")
    store.push(prebuilt.folder)
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


@pytest.mark.slow
def test_rollback_as_a_command(
    hub: Hub, store: HubStore, one: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    first, second = store.push(one), store.push(two)
    point_client(monkeypatch, hub.url, tmp_path / "here")
    capsys.readouterr()
    assert main(["rollback", f"hf://{NAME}", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[-1] == f"revision {second}"
    assert [line.split()[0] for line in listed[:-1]] == ["v1", "v2"]
    assert first in listed[0]
    assert content_name(one) in listed[0]
    hub.fault = always(error(403, "not now"), at="/tag/")
    finished = subprocess.run(
        [sys.executable, "-m", "spotter", "rollback", f"hf://{NAME}", "v1"],
        cwd=ROOT, env=environment(hub, tmp_path / "home", PYTHONPATH="."), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.splitlines()[-1] == f"revision {hub.repos[NAME].head.oid}"
    assert published(hub.repos[NAME]) == files_of(one)
    assert "but the version tag could not be set (Your token may not write" in finished.stderr


@pytest.mark.slow
def test_a_folder_as_store_is_not_asked_through_the_hubs_client() -> None:
    code = (
        "import sys; from spotter.stores import open_store; open_store('x'); sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
