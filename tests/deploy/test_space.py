"""Deploying to a Space: what is put there, against a Hub on this machine, with a real app in the Space's place."""

import ast
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from huggingface_hub import SpaceCard
from PIL import Image

from spotter.bundle.format import INT8_ONNX, Int8, ParityReport
from spotter.bundle.reading import read_bundle
from spotter.cli import main
from spotter.config import ServeConfig
from spotter.deploy.space import INT8_TOLERANCE, VARIABLES, ZERO_APP, Plan, check_answers, deploy, plan_space
from spotter.deploy.space_repo import POLL_S, SpaceRepo
from spotter.errors import (
    AccessRefused,
    LostRace,
    PaymentRequired,
    SpaceFailed,
    SpotterError,
    StoreUnreachable,
    StoreUnwritable,
)
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.publish.writing import write_model_json
from spotter.serve.app import create_app
from spotter.serve.page.translations import LANGUAGES
from spotter.serve.service import ModelInfo, Predict
from spotter.stores.hub import HubStore
from tests.conftest import ROOT, Revision
from tests.helpers.bare import bare_environment
from tests.helpers.hub import (
    LOST,
    READER,
    SHORT_S,
    SILENT,
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
)
from tests.helpers.patience import at_some_pace
from tests.helpers.pictures import serving
from tests.helpers.processes import address_of, stop

STORE, NAME, SPACE = "hf://anna/shapes", "anna/app", "spaces/anna/app"
OLD = {"README.md": b"old", "app.py": b"old", "spotter/inference/predictor.py": b"old", "spotter/gone.py": b"old"}


@pytest.fixture(scope="module")
def plan(predictor: Predictor) -> Plan:
    return plan_space(ROOT, STORE, predictor)


@pytest.fixture(scope="module")
def with_int8(prebuilt: Revision, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a revision with an int8 network, which for this purpose may be as exact as the other."""
    files = Path(shutil.copytree(prebuilt.folder, tmp_path_factory.mktemp("int8") / "files"))
    shutil.copy(files / "model.onnx", files / INT8_ONNX)
    figures = Int8(0.0, 30, 1, 1, 0.97, 0.97, ParityReport(72, 0.0, 0.0, 0), 1.8, "Some CPU")
    write_model_json(files, replace(read_bundle(files).card, int8=figures))
    return files


def serving_as(predictor: Predictor, revision: str, predict: Predict | None = None) -> AbstractContextManager[str]:
    """An app of that model, and its address."""
    return serving(create_app(predict or predictor.predict, ModelInfo("x", predictor.labels, revision), ServeConfig()))


@pytest.fixture(scope="module")
def app(predictor: Predictor) -> Iterator[str]:
    with serving_as(predictor, predictor.revision) as address:
        yield address


@pytest.fixture
def space(hub: Hub, app: str) -> SpaceRepo:
    hub.space_host = app
    return SpaceRepo(NAME, endpoint=hub.url, sleep=lambda _: None)


@pytest.fixture
def old(hub: Hub, app: str) -> Repo:
    """A Space that was deployed before, with a file that is no longer needed and one that is not ours."""
    hub.repos[SPACE] = Repo(host=app, variables={"MODEL_STORE": "hf://anna/old", "THEIRS": "1"})
    hub.repos[SPACE].add("old", {".gitattributes": b"", **OLD, "NOTES": b"theirs"})
    return hub.repos[SPACE]


def run(
    space: SpaceRepo, plan: Plan, predictor: Predictor, said: list[str] | None = None, patience: float = 240
) -> str:
    say = (said if said is not None else []).append
    return deploy(space, plan, space.state(VARIABLES), predictor, say, build_patience_s=60, smoke_patience_s=patience)


# What a Space needs


def test_the_files_are_what_the_app_imports_and_no_training(plan: Plan) -> None:
    modules = {name for name in plan.files if name.endswith(".py")}
    assert {"app.py", "spotter/serve/app.py", "spotter/inference/predictor.py", "spotter/stores/hub.py"} <= modules
    folders = {Path(name).parts[1] for name in modules if name.count("/") > 1}
    assert not {"clean", "collect", "data", "evaluate", "publish", "scale", "search", "train"} & folders
    # Whatever one of them imports, for types alone or inside a function too, is among them.
    # But for the sources that `spotter.get_backend` would load: an app never asks for one.
    code = modules - {"spotter/__init__.py"}
    missing = {(name, wanted) for name in code for wanted in imported_files(ROOT / name) if wanted not in modules}
    assert missing == set()


def test_templates_and_style_sheets_go_along(plan: Plan) -> None:
    others = {name for name in plan.files if not name.endswith(".py")}
    assert {f"spotter/serve/locales/{language}.json" for language in LANGUAGES} <= others
    assert {f"spotter/serve/static/page.{kind}" for kind in ("css", "js")} <= others
    folders = [ROOT / "spotter" / name for name in ("serve", "utils", "monitor")]
    found = [path for folder in folders for path in folder.rglob("*.*") if not path.suffix.startswith(".py")]
    assert others == {"requirements.txt", "README.md", *(path.relative_to(ROOT).as_posix() for path in found)}


def imported_files(path: Path) -> set[str]:
    """The files of this project that a file imports from, as paths below the checkout."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = [ROOT.joinpath(*name.split(".")) for name in names if name.split(".")[0] == "spotter"]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return {file.relative_to(ROOT).as_posix() for file in files}


def test_the_card_pins_what_requirements_pin(plan: Plan, predictor: Predictor) -> None:
    data = SpaceCard(plan.files["README.md"].decode()).data
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert (data.sdk, data.sdk_version, data.app_file) == ("gradio", pins["gradio"], "app.py")
    assert data.python_version == "3.12"
    assert data.models == ["anna/shapes"]
    repo, files, revision = data.preload_from_hub[0].split()
    assert (repo, revision) == ("anna/shapes", predictor.revision)
    assert files.split(",") == [
        "model.json", "model.onnx", "reference.safetensors", "example-1.jpg", "example-2.jpg", "example-3.jpg",
        "metrics.json", "thumbnails.safetensors",
    ]  # fmt: skip
    assert len(data.short_description) <= 60
    assert data.thumbnail.endswith(f"/anna/shapes/resolve/{predictor.revision}/example-1.jpg")
    assert data.title == predictor.card.title
    assert {data.colorFrom, data.colorTo} <= {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_an_int8_network_is_asked_for_by_a_variable_and_loaded_with_the_build(
    with_int8: Path, predictor: Predictor
) -> None:
    quick = Predictor(read_bundle(with_int8, int8=True), predictor.revision, predictor.contents)
    plan = plan_space(ROOT, STORE, quick, int8=True)
    assert plan.variables == {
        "MODEL_STORE": STORE,
        "MODEL_REVISION": predictor.revision,
        "MODEL_CONTENTS": predictor.contents,
        "MODEL_INT8": "1",
    }
    loaded = SpaceCard(plan.files["README.md"].decode()).data.preload_from_hub[0].split()[1].split(",")
    assert {"model.onnx", "model-int8.onnx"} <= set(loaded)
    assert "MODEL_INT8" not in plan_space(ROOT, STORE, quick).variables


def test_hostile_titles_and_many_labels_break_no_card(prebuilt: Revision) -> None:
    predictor = Predictor.load(prebuilt.store)
    labels = tuple(f"a very long label {number}" for number in range(12))
    predictor.card = replace(predictor.card, title='---\nsdk: docker # "x" [y](z)', labels=labels)
    card = SpaceCard(plan_space(ROOT, STORE, predictor).files["README.md"].decode())
    assert card.data.sdk == "gradio"
    assert card.data.title == '--- sdk: docker # "x" [y](z)'
    assert len(card.data.short_description) <= 60
    assert "[y](z)" not in card.text


def test_the_files_serve_where_only_the_requirements_are(
    plan: Plan, bare_python: Path, prebuilt: Revision, predictor: Predictor, tmp_path: Path
) -> None:
    folder = tmp_path / "space"
    for name, content in plan.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    settings = bare_environment(tmp_path, **plan.variables | {"MODEL_STORE": str(prebuilt.store)})
    for heavy in ("torch", "fastai"):
        tried = subprocess.run([bare_python, "-c", f"import {heavy}"], env=settings, capture_output=True, check=False)
        assert b"ModuleNotFoundError" in tried.stderr
    process = subprocess.Popen(
        [bare_python, "app.py", "--port", "0"],
        cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = address_of(process)
        with urllib.request.urlopen(f"{address}/healthz") as answer:
            assert json.load(answer)["revision"] == prebuilt.revision
        check_answers(address, predictor, 60)
        picture = handle_file(str(prebuilt.folder / "example-2.jpg"))
        assert Client(address, verbose=False).predict(picture, api_name="/predict")["label"] == "cross"
    finally:
        stop(process)


# Deploying


@pytest.mark.slow
def test_a_new_space_is_made_filled_and_tried(
    hub: Hub, space: SpaceRepo, plan: Plan, predictor: Predictor, app: str
) -> None:
    assert run(space, plan, predictor) == app
    repo = hub.repos[SPACE]
    assert {name: content for name, content in repo.head.files.items() if name != ".gitattributes"} == plan.files
    assert repo.variables == {
        "MODEL_STORE": STORE,
        "MODEL_REVISION": predictor.revision,
        "MODEL_CONTENTS": predictor.contents,
    }
    created = next(json.loads(request.body) for request in hub.requests if request.path == "/api/repos/create")
    assert (created["type"], created["sdk"], created["hardware"]) == ("space", "gradio", "cpu-basic")


@pytest.mark.slow
def test_an_older_one_is_brought_up_to_date_in_one_commit(
    space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    run(space, plan, predictor)
    assert old.head.files == {".gitattributes": b"", "NOTES": b"theirs", **plan.files}
    assert len(old.commits) == 2
    assert old.variables == {**plan.variables, "THEIRS": "1"}


@pytest.mark.slow
def test_the_next_one_without_int8_takes_the_variable_away_and_a_failure_brings_it_back(
    space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    run(space, replace(plan, variables={**plan.variables, "MODEL_INT8": "1"}), predictor)
    before = dict(old.variables)
    assert before["MODEL_INT8"] == "1"
    old.stages = [{"stage": "RUNNING"}, {"stage": "BUILD_ERROR"}]
    refusal(SpaceFailed, lambda: run(space, plan, predictor))
    assert old.variables == before
    old.stages = [{"stage": "RUNNING"}]
    run(space, plan, predictor)
    assert old.variables == {**plan.variables, "THEIRS": "1"}


@pytest.mark.slow
def test_it_waits_for_its_own_commit_and_wakes_a_sleeper(
    space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    old.stages = [
        {"stage": "RUNNING"},
        {"stage": "PAUSED"},
        {"stage": "RUNNING", "sha": "0" * 40},
        {"stage": "BUILD_ERROR", "sha": "0" * 40},
        {"stage": "RUNNING_BUILDING"},
        {"stage": "RUNNING"},
    ]
    said: list[str] = []
    run(space, plan, predictor, said)
    assert said == [
        f"the Space is {stage}" for stage in ("PAUSED", "RUNNING", "BUILD_ERROR", "RUNNING_BUILDING", "RUNNING")
    ]
    assert old.restarts == 1


LOG = "".join(
    f'data: {{"data": "{line}", "timestamp": "2026-01-01T00:00:00Z"}}\n\n'
    for line in ("Collecting gradio", "ERROR: no such version")
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "log", "words"),
    [
        ({"stage": "BUILD_ERROR"}, LOG, r"ends in BUILD_ERROR \(it says: ERROR: no such version\)"),
        (
            {"stage": "RUNTIME_ERROR", "errorMessage": "Exit code: 1."},
            "",
            r"ends in RUNTIME_ERROR \(it says: Exit code: 1\)",
        ),
        ({"stage": "CONFIG_ERROR"}, "", r"ends in CONFIG_ERROR; its log"),
        ({"stage": "BUILDING"}, "", r"does not run after 1 minutes \(BUILDING\)"),
    ],
)
def test_what_does_not_run_is_told_and_taken_back(
    stage: dict, log: str, words: str, space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    files, variables, commit = old.head.files, dict(old.variables), old.head.oid
    old.stages, old.log = [{"stage": "RUNNING"}, stage], log
    sentence = refusal(SpaceFailed, lambda: run(space, plan, predictor))
    assert re.search(words, sentence)
    assert f"from before ({commit[:7]}) are back" in sentence
    assert old.head.files == files
    assert old.variables == variables
    assert [commit.title.split()[0] for commit in old.commits] == ["old", "Serve", "Roll"]


@pytest.mark.slow
def test_what_serves_another_revision_is_taken_back(
    space: SpaceRepo, old: Repo, plan: Plan, prebuilt: Revision
) -> None:
    other = Predictor.load(prebuilt.store)
    other.revision = "f" * 40
    sentence = refusal(SpaceFailed, lambda: run(space, plan, other, patience=0.2))
    assert "serves the revision" in sentence
    assert old.head.files.items() >= OLD.items()


def test_what_answers_otherwise_is_told(predictor: Predictor) -> None:
    def wrong(picture):
        answer = predictor.predict(picture)
        return replace(answer, closest="disc", familiar=True)

    def near(picture):
        answer = predictor.predict(picture)
        others = {
            label: value + (0.03 if label != answer.label else 0) for label, value in answer.probabilities.items()
        }
        return replace(answer, probabilities=others)

    def vague(picture):
        answer = predictor.predict(picture)
        return replace(answer, probabilities=dict.fromkeys(answer.probabilities, 1 / 3))

    def broken(picture):
        raise RuntimeError

    now = [predictor.predict]
    with serving_as(predictor, predictor.revision, lambda picture: now[0](picture)) as url:
        check_answers(url, predictor, 240)
        now[0] = near
        check_answers(url, predictor, 240, INT8_TOLERANCE)
        for predict, words in (
            (near, "answers '"), (wrong, "answers 'disc' where"), (vague, "answers '"), (broken, "does not answer as"),
        ):  # fmt: skip
            now[0] = predict
            with pytest.raises(SpaceFailed, match=words):
                check_answers(url, predictor, 240)


@pytest.mark.slow
def test_a_page_that_never_answers_is_left_alone_and_shown_no_token(
    hub: Hub, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    done = threading.Event()

    def never(picture: Image.Image) -> Prediction:
        done.wait(600)
        return predictor.predict(picture)

    app = create_app(never, ModelInfo("x", predictor.labels, predictor.revision), ServeConfig())

    async def recorded(scope, receive, send) -> None:
        asked.append(f"{scope.get('path')} {scope.get('headers')}")
        await app(scope, receive, send)

    def check(pace: float) -> None:
        monkeypatch.setattr("spotter.deploy.space.ANSWER_PATIENCE_S", 1.5 * pace)
        with pytest.raises(SpaceFailed, match="does not answer as it should \\(TimeoutError\\)"):
            check_answers(url, predictor, 240)
        assert [line for line in asked if "cancel" in line]

    with serving(recorded) as url:
        try:
            at_some_pace(check)
        finally:
            done.set()
    assert not [line for line in asked if WRITER in line]


def test_a_page_of_anything_is_told(predictor: Predictor) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health = json.dumps({"revision": predictor.revision}).encode()
            body = {"/readyz": health, "/config": b"[]"}.get(self.path, b"gradio")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SpaceFailed, match="does not answer as it should"):
            check_answers(f"http://127.0.0.1:{server.server_address[1]}", predictor, 240)
        server.shutdown()


@pytest.mark.slow
def test_a_hub_that_is_slow_to_tell_takes_of_the_patience(hub: Hub, space: SpaceRepo, old: Repo) -> None:
    old.stages = [{"stage": "BUILDING"}]

    def slow(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        time.sleep(0.3)
        return usual(request)

    hub.fault = slow
    # Were only the rests counted, it would be asked a third time.
    assert "does not run" in refusal(SpaceFailed, lambda: space.wait("x", POLL_S + 0.1, print))
    assert hub.asked("/runtime") == 2


@pytest.mark.slow
def test_a_first_try_that_fails_stays_to_be_looked_at(
    hub: Hub, space: SpaceRepo, plan: Plan, predictor: Predictor
) -> None:
    hub.space_host = "http://127.0.0.1:9"
    assert "nothing from before to put back" in refusal(SpaceFailed, lambda: run(space, plan, predictor, patience=0.2))
    assert hub.repos[SPACE].head.files["app.py"] == plan.files["app.py"]


@pytest.mark.slow
def test_a_way_back_that_is_blocked_is_told_with_the_reason(
    hub: Hub, space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    old.stages = [{"stage": "RUNNING"}, {"stage": "BUILD_ERROR"}]

    def fault(request, usual):
        answer = usual(request)
        if "/commit/main" in request.path:
            hub.fault = always(error(403, "no"), at="/commit/main")
        return answer

    hub.fault = fault
    assert "BUILD_ERROR; its log" in (said := refusal(SpaceFailed, lambda: run(space, plan, predictor)))
    assert "could not be put back (Your token may not write" in said


@pytest.mark.slow
def test_files_that_are_not_taken_leave_the_settings_as_they_were(
    hub: Hub, space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor
) -> None:
    variables, head = dict(old.variables), old.head
    hub.fault = always(error(403, "no"), at="/commit/main")
    assert "settings from before" in refusal(AccessRefused, lambda: run(space, plan, predictor))
    assert (old.variables, old.head) == (variables, head)


def at_numbers(numbers: range, answer: Answer, at: str = "", *, answered: bool = False) -> Fault:
    """Answer thus the numbered ones of the requests that look like `at`; with `answered`, after the usual answer."""
    seen = iter(range(1000))

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if not re.search(at, str(request)) or next(seen) not in numbers:
            return usual(request)
        if answered:
            usual(request)
        return answer

    return fault


@pytest.mark.slow
def test_cut_at_any_request_the_space_is_the_old_or_the_new_one(
    hub: Hub, space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor, without_rest: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # The page of the Space, which other tests ask, is not what is cut off here.
    asked: list[str] = []
    monkeypatch.setattr("spotter.deploy.space.check_answers", lambda url, *_: asked.append(url))
    old.variables["MODEL_INT8"] = "1"
    there = (old.head.files, dict(old.variables))
    new = ({".gitattributes": b"", "NOTES": b"theirs", **plan.files}, {**plan.variables, "THEIRS": "1"})
    run(space, plan, predictor)
    assert (old.head.files, old.variables) == new
    count = len(hub.requests)
    assert count >= 8
    assert len(asked) == 1
    for number in range(count):
        for answered in (False, True):
            old.add("as it was", there[0])
            old.variables = dict(there[1])
            hub.fault = at_numbers(range(number, number + 1), LOST, answered=answered)
            run(space, plan, predictor)
            assert (old.head.files, old.variables) == new, number


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "first", "kind"),
    [
        ("GET /api/spaces/anna/app$", 0, StoreUnreachable),
        ("/variables", 0, StoreUnreachable),
        ("POST .*/variables", 1, StoreUnreachable),
        ("/preupload/", 0, StoreUnreachable),
        ("/commit/", 0, StoreUnreachable),
        ("/runtime", 0, StoreUnreachable),
        ("/runtime", 1, SpaceFailed),
    ],
)
def test_a_hub_that_falls_silent_is_told_and_the_space_stays_as_it_was(
    at: str, first: int, kind: type[SpotterError], hub: Hub, old: Repo, plan: Plan, predictor: Predictor, without_rest
) -> None:
    kept = deepcopy(hub.repos)
    before = (old.head.files, dict(old.variables))

    def check(pace: float) -> None:
        hub.repos = deepcopy(kept)
        space = SpaceRepo(NAME, endpoint=hub.url, sleep=lambda _: None, silence_s=SHORT_S / 2 * pace)
        # Until it is told: nothing is in the way of the way back.
        attempts = 6 if at == "/preupload/" else 2
        hub.fault = at_numbers(range(first, first + attempts), SILENT, at)
        assert "does not answer" in refusal(kind, lambda: run(space, plan, predictor))
        now = hub.repos[SPACE]
        assert (now.head.files, now.variables) == before

    at_some_pace(check)


def test_a_space_that_falls_silent_is_told(hub: Hub, plan: Plan, predictor: Predictor) -> None:
    hub.fault = always(SILENT)
    started = time.monotonic()
    with pytest.raises(SpaceFailed, match="does not answer at /readyz"):
        check_answers(hub.url, predictor, 0.5)
    assert time.monotonic() - started < 300


# Refusals


@pytest.mark.slow
def test_money_is_told_with_what_remains(hub: Hub, space: SpaceRepo, plan: Plan, predictor: Predictor) -> None:
    hub.wants_money = True
    said = refusal(PaymentRequired, lambda: run(space, plan, predictor))
    for choice in ("requires a PRO", "--hardware zero-a10g", "Dockerfile", f"spotter serve --model {STORE}"):
        assert choice in said
    assert SPACE not in hub.repos


@pytest.mark.slow
def test_zero_gpu_gets_its_own_entry(hub: Hub, space: SpaceRepo, predictor: Predictor, tmp_path: Path) -> None:
    hub.wants_money = True
    plan = plan_space(ROOT, STORE, predictor, "zero-a10g")
    data = SpaceCard(plan.files["README.md"].decode()).data
    assert (data.app_file, data.python_version) == (ZERO_APP, "3.12.12")
    run(space, plan, predictor)
    assert hub.repos[SPACE].hardware == "zero-a10g"
    # A stand-in for the package that is on ZeroGPU machines alone.
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text("def GPU(f):\n    print('function', f.__name__)\n    return f\n")
    (tmp_path / "spaces" / "zero.py").write_text("def startup():\n    print('ready')\n")
    (tmp_path / ZERO_APP).write_bytes(plan.files[ZERO_APP])
    finished = subprocess.run(
        [sys.executable, ZERO_APP, "--model", "s3://none"],
        cwd=tmp_path, env=environment(hub, tmp_path, PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.stdout.split() == ["function", "use_no_card", "ready"]
    assert "cannot be opened" in finished.stderr


@pytest.mark.slow
def test_other_peoples_spaces_and_races_are_left_alone(
    hub: Hub, space: SpaceRepo, old: Repo, plan: Plan, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = space.state(VARIABLES)
    moved = old.add("somebody else", old.head.files | {"NOTES": b"new"})
    with pytest.raises(LostRace):
        deploy(space, plan, before, predictor, print)
    assert old.head == moved
    old.add("theirs", {"app.py": b"a chess game"})
    assert "did not deploy" in refusal(StoreUnwritable, lambda: space.state(VARIABLES))
    new = SpaceRepo("anna/new", endpoint=hub.url)
    monkeypatch.setenv("HF_TOKEN", "")
    assert "need a token" in refusal(AccessRefused, lambda: new.state(VARIABLES))
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "may not write" in refusal(AccessRefused, lambda: new.create("cpu-basic", "nothing"))


# The command


@pytest.fixture
def here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process talk to that Hub."""
    point_client(monkeypatch, hub.url, tmp_path / "here")


def command(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spotter", "deploy", *arguments],
        cwd=ROOT, env=environment(hub, home, PYTHONPATH="."), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_shows_and_then_deploys(
    hub: Hub, here: None, prebuilt: Revision, predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    revision = HubStore("anna/shapes", endpoint=hub.url, cache=tmp_path / "cache").push(prebuilt.folder)
    assert main(["deploy", f"hf://{NAME}", "--model", f"{STORE}@v1", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for word in ("spotter/serve/app.py", f"MODEL_REVISION={revision}", "hardware cpu-basic", "preload_from_hub"):
        assert word in shown
    assert SPACE not in hub.repos

    with serving_as(predictor, revision) as hub.space_host:
        done = command(hub, tmp_path, f"hf://{NAME}", "--model", f"{STORE}@v1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == hub.space_host
    assert hub.repos[SPACE].variables["MODEL_REVISION"] == revision
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "anna/app", "--model", STORE])
    assert ended.value.code == 2


@pytest.mark.slow
def test_the_command_deploys_int8_where_there_is_one(
    hub: Hub, here: None, prebuilt: Revision, with_int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = HubStore("anna/shapes", endpoint=hub.url, cache=tmp_path / "cache")
    store.push(prebuilt.folder)
    assert main(["deploy", f"hf://{NAME}", "--model", STORE, "--int8"]) == 1
    assert "has no int8 network" in capsys.readouterr().err
    assert SPACE not in hub.repos
    store.push(with_int8)
    assert main(["deploy", f"hf://{NAME}", "--model", STORE, "--int8", "--dry-run"]) == 0
    assert "MODEL_INT8=1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("how", "more"), [("private", []), ("gated", ["--dry-run"])])
def test_the_command_refuses_a_model_that_a_space_may_not_read(
    how: str, more: list[str], hub: Hub, here: None, prebuilt: Revision, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    HubStore("anna/shapes", endpoint=hub.url, cache=tmp_path / "cache").push(prebuilt.folder)
    setattr(hub.repos["anna/shapes"], how, True)
    capsys.readouterr()
    assert main(["deploy", f"hf://{NAME}", "--model", STORE, *more]) == 1
    told = capsys.readouterr().err
    assert f"hf://anna/shapes is {how}, and others may not read it without a token; make it" in told
    assert len(told.splitlines()) == 1
    assert SPACE not in hub.repos
    assert hub.asked("resolve") == 0
