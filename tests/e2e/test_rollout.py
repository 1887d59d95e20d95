"""What visitors, programs and staff meet at each stage: over HTTP, through Gradio's client, and in a browser."""

import io
import json
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app as app_command
from spotter.config import QueueConfig, ServeConfig
from spotter.monitor.log import add_answers
from spotter.rollout.stages import PLAN, Rollout
from spotter.serve.page.translations import LANGUAGES, translate
from tests.conftest import Revision
from tests.helpers.answers import joined, make_answers
from tests.helpers.drawing import draw
from tests.helpers.pictures import BLUE, GREEN, LABELS, RED, encode, plain
from tests.helpers.processes import address_of, start, stop
from tests.helpers.rolling import PASSWORD, Rolling, logged, rolling

ANSWER = {"label", "closest", "probabilities", "familiarity", "familiar", "threshold", "revision", "timings_ms"}
STAFF = {"Authorization": f"Basic {b64encode(f'anna:{PASSWORD}'.encode()).decode()}"}


def ask(url: str, body: bytes | None = None, method: str = "GET", **headers: str) -> tuple[int, dict]:
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def classify(app: Rolling, picture: bytes, query: str = "", **headers: str) -> tuple[int, dict]:
    return ask(f"{app.url}/api/classify{query}", picture, "POST", **headers)


def decide(app: Rolling, ticket: str, said: str, headers: dict[str, str] = STAFF) -> str:
    """Decide as the form of the page does; return where it leads."""
    opener = urllib.request.build_opener(_Stay())
    body = urllib.parse.urlencode({"ticket": ticket, "said": said}).encode()
    request = urllib.request.Request(f"{app.url}/staff/review", data=body, headers=headers)
    try:
        opener.open(request)
    except urllib.error.HTTPError as error:
        return error.headers["location"] or str(error.code)
    raise AssertionError("no redirect")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def test_in_shadow_a_program_says_first_what_it_is(tmp_path: Path) -> None:
    with rolling(tmp_path, "shadow") as app:
        for query in ("", "?said=", "?said=lion"):
            status, told = classify(app, encode(plain(RED)), query)
            assert (status, set(told)) == (400, {"error"})
            assert "say first what it is" in told["error"]
            assert "(grizzly, black, teddy)" in told["error"]
        assert not (tmp_path / "answers.sqlite").exists()
        status, told = classify(app, encode(plain(RED)), "?said=black")
        assert (status, set(told), told["label"]) == (200, ANSWER, "grizzly")
        classify(app, encode(plain(BLUE)), "?said=none%20of%20these")
        answers = logged(app, 2)
        assert answers.label.tolist() == ["grizzly", "black"]
        assert answers.right.tolist() == ["black", "none of these"]
        assert answers.stage.tolist() == ["shadow", "shadow"]
        assert ask(f"{app.url}/healthz")[1] == {"status": "ok", "revision": "r-1", "stage": "shadow"}
    assert not (tmp_path / "waiting").exists()


def test_under_supervision_a_program_gets_a_ticket_and_then_an_answer(tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app:
        status, told = classify(app, encode(plain(RED)))
        assert (status, set(told)) == (403, {"error"})
        assert "?consent=yes" in told["error"]
        assert app.waiting.read() == []
        status, told = classify(app, encode(plain(RED)), "?consent=yes")
        assert status == 202
        assert told == {
            "ticket": told["ticket"], "status": "waiting", "label": None, "confirmed": None, "revision": "r-1",
        }  # fmt: skip
        url = f"{app.url}/api/answers/{told['ticket']}"
        assert ask(url) == (200, told)
        assert "grizzly" not in json.dumps(ask(url))
        assert decide(app, told["ticket"], "0") == "/staff/review?told=1"
        assert ask(url)[1] == told | {"status": "answered", "label": "grizzly", "confirmed": True}
        _, other = classify(app, encode(plain(BLUE)), "?consent=yes")
        decide(app, other["ticket"], "none")
        assert ask(f"{app.url}/api/answers/{other['ticket']}")[1] == other | {"status": "answered", "confirmed": False}
        assert list(tmp_path.rglob("*.jpg")) == []
        answers = logged(app, 2)
        assert answers.right.tolist() == ["grizzly", "none of these"]
        assert answers.stage.tolist() == ["supervised", "supervised"]
        _, last = classify(app, encode(plain(GREEN)), "?consent=yes")
        url = f"{app.url}/api/answers/{last['ticket']}"
        assert ask(url, method="DELETE") == (200, last | {"status": "deleted"})
        assert ask(url)[0] == ask(url, method="DELETE")[0] == 404
        assert list(tmp_path.rglob("*.jpg")) == []
        assert classify(app, b"no picture", "?consent=yes")[0] == 415


def test_gradios_endpoints_keep_their_keys_and_tell_nothing(tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(encode(plain(RED)))
    with rolling(tmp_path / "log", "supervised") as app:
        client = Client(app.url, verbose=False)
        for stage in ("supervised", "shadow"):
            label = client.predict(handle_file(str(picture)), api_name="/predict")
            assert label["label"] == "not sure"
            assert label["confidences"] == [{"label": name, "confidence": 0.0} for name in LABELS]
            full = client.predict(handle_file(str(picture)), api_name="/classify")
            assert set(full) == ANSWER
            assert (full["label"], full["closest"], full["familiar"]) == ("not sure", "not sure", False)
            assert full["familiarity"] == 0.0
            assert set(full["probabilities"].items()) == {(name, 0.0) for name in LABELS}
            results, table = client.predict([handle_file(str(picture))], api_name="/classify_batch")
            assert [set(result) for result in results["results"]] == [{"file", "error"}]
            assert "grizzly" not in Path(table).read_text().split("\n", 1)[1]
            status, batch = ask(
                f"{app.url}/api/classify/batch",
                json.dumps([f"data:image/png;base64,{b64encode(picture.read_bytes()).decode()}"]).encode(),
                "POST",
                **{"Content-Type": "application/json"},
            )
            assert status == 200
            assert set(batch["results"][0]) == {"error"}
            # A move reaches the running app at its next answer.
            app.go_to("shadow" if stage == "supervised" else "full")
        assert client.predict(handle_file(str(picture)), api_name="/predict")["label"] == "grizzly"
        assert classify(app, picture.read_bytes())[1]["label"] == "grizzly"
        answers = logged(app, 10)
        assert answers.stage.tolist() == ["supervised"] * 4 + ["shadow"] * 4 + ["full"] * 2
        # What was answered is in the log, whoever was told.
        assert set(answers.label.tolist()) == {"grizzly"}


def test_gradual_answers_some_at_once_and_always_the_same_ones(tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text("share = 0.5")
    with rolling(tmp_path, "gradual", config=ServeConfig(behind_proxy=True)) as app:
        picture = encode(plain(RED))

        def everybody() -> list[int]:
            return [classify(app, picture, **{"X-Forwarded-For": f"9.9.9.{number}"})[0] for number in range(40)]

        first = everybody()
        assert set(first) == {200, 403}
        assert 8 < first.count(200) < 32
        assert everybody() == first
        # Nobody chooses a better name than the own address.
        named = [classify(app, picture, **{"X-Client-Id": f"user-{number}"})[0] for number in range(20)]
        assert len(set(named)) == 1
        (tmp_path / PLAN).write_text("share = 1.0")
        assert classify(app, picture)[0] == 200
        assert set(logged(app, 2 * first.count(200) + 1).stage.tolist()) == {"gradual"}


def test_staff_alone_may_decide_and_only_from_the_page_itself(tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app:
        _, told = classify(app, encode(plain(RED)), "?consent=yes")
        ticket = told["ticket"]
        assert decide(app, ticket, "0", {}) == "401"
        wrong = {"Authorization": f"Basic {b64encode(b'anna:guess').decode()}"}
        assert decide(app, ticket, "0", wrong) == "401"
        assert decide(app, ticket, "0", STAFF | {"Origin": "https://evil.test"}) == "403"
        for path in ("/staff/review", f"/staff/review/{ticket}.jpg"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(app.url + path)
            assert caught.value.code == 401
        for said in ("3", "-1", "", "grizzly", "0 OR 1"):
            assert decide(app, ticket, said) == "/staff/review?told=3"
        assert len(app.waiting.read()) == 1
        assert decide(app, ticket, "1") == "/staff/review?told=1"
        assert decide(app, ticket, "2") == "/staff/review?told=2"
        assert app.waiting.find(ticket).said == "black"  # type: ignore[union-attr]
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(f"{app.url}/staff/review/{ticket}.jpg", headers=STAFF))
        assert caught.value.code == 404


def test_a_full_queue_and_an_unwritable_log_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rolling(tmp_path, "supervised") as app:
        monkeypatch.setattr(app.waiting, "_config", QueueConfig(most=1))
        assert classify(app, encode(plain(RED)), "?consent=yes")[0] == 202
        status, told = classify(app, encode(plain(RED)), "?consent=yes")
        assert (status, told) == (503, {"error": "Too many answers wait for a person already; try again later."})
    with rolling(tmp_path / "other", "shadow") as app:
        shutil.rmtree(app.folder / "answers.sqlite", ignore_errors=True)
        (app.folder / "answers.sqlite").mkdir()
        status, told = classify(app, encode(plain(RED)), "?said=black")
        assert (status, set(told)) == (503, {"error"})
        assert "grizzly" not in json.dumps(told)


def test_the_sentence_of_consent_says_for_how_long() -> None:
    for language in LANGUAGES:
        assert f"{QueueConfig.keep_days:.0f}" in translate("consent_wait", language)


MARK, ADDRESS = "Marker-7c1e-Of-The-Camera", "203.0.113.77"


def marked(color: tuple[int, ...]) -> bytes:
    """A photo that tells in its EXIF who took it and where."""
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = MARK
    exif.get_ifd(0x8825)[29] = MARK
    buffer = io.BytesIO()
    draw("disc", sum(color), (400, 300)).save(buffer, "JPEG", exif=exif, comment=MARK.encode())
    return buffer.getvalue()


def test_nothing_of_a_visitor_is_written_without_consent(prebuilt: Revision, tmp_path: Path) -> None:
    log, feedback, home = tmp_path / "log", tmp_path / "feedback", tmp_path / "home"
    home.mkdir()
    # As on a Space, where a proxy tells the visitor's address.
    environment = {"SPACE_ID": "owner/bears", "STAFF_PASSWORD": PASSWORD, "HOME": str(home), "TMPDIR": str(home)}
    process = start(
        "--model", prebuilt.store, "--log", log, "--feedback", feedback, "--rollout", "shadow", "--port", 0,
        "--host", "127.0.0.1", **environment,
    )  # fmt: skip
    try:
        url = address_of(process)
        headers = {"X-Forwarded-For": ADDRESS, "User-Agent": MARK}
        client = Client(url, verbose=False, headers={"X-Forwarded-For": ADDRESS})
        photo = tmp_path / f"{MARK}.jpg"
        photo.write_bytes(marked(RED))
        assert ask(f"{url}/api/classify?said=disc", marked(RED), "POST", **headers)[0] == 200
        rollout = Rollout(log, prebuilt.revision)
        for stage, wanted in (("supervised", 403), ("gradual", None), ("full", 200)):
            assert rollout.move(rollout.last, "promoted", stage, "", {})
            status, _ = ask(f"{url}/api/classify", marked(BLUE), "POST", **headers)
            assert status == wanted or wanted is None
            client.predict(handle_file(str(photo)), api_name="/predict")
        client.close()
        rollout.move(rollout.last, "demoted", "supervised", "", {})
        status, told = ask(f"{url}/api/classify?consent=yes", marked(GREEN), "POST", **headers)
        assert status == 202
        kept = log / "waiting" / told["ticket"] / "picture.jpg"
        assert kept.is_file()
        assert written(log, feedback) == []
        assert ask(f"{url}/api/answers/{told['ticket']}", method="DELETE")[0] == 200
        assert not kept.exists()
    finally:
        assert stop(process) == 0
    assert written(log, feedback, home) == []
    kinds = {b"\xff\xd8\xff", b"\x89PN", b"GIF", b"RIF", b"BM\x00"}
    assert [path for path in everything(log, feedback, home) if path.read_bytes()[:3] in kinds] == []


def everything(*folders: Path) -> list[Path]:
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]


def written(*folders: Path) -> list[Path]:
    """Files that hold, or are called by, the marker or the address."""
    words = [MARK.encode(), ADDRESS.encode(), MARK.encode("utf-16-le")]
    return [path for path in everything(*folders) if any(word in path.read_bytes() + bytes(path) for word in words)]


def test_an_alert_demotes_a_running_app(prebuilt: Revision, tmp_path: Path) -> None:
    tmp_path.joinpath(PLAN).write_text("check_s = 1.0")
    quiet = make_answers(400, 1, revision=prebuilt.revision[:16])
    process = start(
        "--model", prebuilt.store, "--log", tmp_path, "--rollout", "full", "--port", 0, "--no-page",
        STAFF_PASSWORD=PASSWORD,
    )  # fmt: skip
    try:
        url = address_of(process)
        assert ask(f"{url}/healthz")[1]["stage"] == "full"
        picture = (prebuilt.folder / "example-1.jpg").read_bytes()
        assert ask(f"{url}/api/classify", picture, "POST")[0] == 200
        night = make_answers(80, 2, revision=prebuilt.revision[:16], brightness=0.05)
        add_answers(tmp_path, joined(quiet, night))
        deadline = time.monotonic() + 240
        while ask(f"{url}/healthz")[1]["stage"] == "full":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ask(f"{url}/healthz")[1]["stage"] == "gradual"
        last = Rollout(tmp_path, prebuilt.revision).last
        assert (last.action, last.to) == ("demoted", "gradual")
        assert last.why.startswith("alert: Pictures became darker")
        # The process that looks for alerts says it after it has written it down.
        late = threading.Timer(240, process.kill)
        late.start()
        assert process.stderr
        assert any("The rollout went back to gradual: alert: Pictures became darker" in line for line in process.stderr)
        late.cancel()
        # Whoever is not among those answered at once now has to wait.
        (tmp_path / PLAN).write_text("share = 0.0")
        assert ask(f"{url}/api/classify", picture, "POST")[0] == 403
        assert ask(f"{url}/api/classify?consent=yes", picture, "POST")[0] == 202
    finally:
        process.terminate()
        process.communicate(timeout=600)
    assert process.returncode == 0


def test_a_rollout_needs_a_log_and_a_stage(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ["--model", str(prebuilt.store)]
    for arguments, stage, told in (
        (["--rollout", "shadow"], "", "need --log FOLDER"),
        (["--challenger", "v1"], "", "need --log FOLDER"),
        (["--log", str(tmp_path)], "everything", "ROLLOUT must be one of shadow, supervised, gradual, full"),
        (["--log", str(tmp_path), "--rollout", "shadw"], "", "did you mean 'shadow'"),
    ):
        monkeypatch.setenv("ROLLOUT", stage)
        with pytest.raises(SystemExit) as caught:
            app_command.main([*model, *arguments])
        assert caught.value.code == 2
        assert told in capsys.readouterr().err
    (tmp_path / PLAN).write_text("share = 7")
    assert app_command.main([*model, "--log", str(tmp_path), "--rollout", "shadow", "--port", "0"]) == 1
    assert "share must be from 0 to 1, not 7" in capsys.readouterr().err
