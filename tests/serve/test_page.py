"""The endpoint for many pictures, and what the page's handlers answer, over a real server."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from spotter.bundle.thumbnails import Thumbnail
from spotter.config import ServeConfig
from spotter.errors import BadPicture
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Neighbour
from spotter.serve.app import create_app
from spotter.serve.page import html
from spotter.serve.page.translations import LANGUAGES
from spotter.serve.service import AppOptions, ModelInfo
from tests.helpers.pictures import BLUE, GREY, LABELS, RED, encode, plain, predict_by_color, serving

INFO = ModelInfo("Bears?", LABELS, "r-1", 0.5)
SAID = Prediction("a", {"a": 1.0}, 0.9, True, 0.5)
EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = ServeConfig(max_upload_bytes=200_000, max_batch=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with serving(create_app(predict_by_color, INFO, config)) as address:
            yield address


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, analytics_enabled=False)


def test_many_pictures_give_a_result_each_and_a_csv(client: Client, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(encode(plain(RED)))
    (tmp_path / "=cmd.txt").write_bytes(b"no picture")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("in/blue.png", encode(plain(BLUE)))
        archive.writestr("in/grey.png", encode(plain(GREY)))
    files = [handle_file(str(tmp_path / name)) for name in ("red.png", "=cmd.txt", "more.zip")]
    answers, table = client.predict(files, api_name="/classify_batch")
    assert (answers["revision"], answers["threshold"]) == ("r-1", 0.5)
    results = answers["results"]
    assert [(row.get("label"), row.get("familiar")) for row in results] == [
        ("grizzly", True),
        (None, None),
        ("black", True),
        ("not sure", False),
    ]
    assert set(results[1]) == {"file", "error"}
    rows = list(csv.DictReader(io.StringIO(Path(table).read_bytes().decode("utf-8-sig"))))
    assert [row["label"] for row in rows] == ["grizzly", "", "black", "not sure"]


def test_the_number_of_pictures_is_bounded(client: Client, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for number in range(9):
            archive.writestr(f"{number}.png", encode(plain(BLUE)))
    answers, _ = client.predict([handle_file(str(tmp_path / "more.zip"))], api_name="/classify_batch")
    assert len(answers["results"]) == 5
    assert answers["results"][-1]["error"] == "5 more pictures were left out. At most 4 are taken at a time."


FILE = {"_type": "gradio.FileData"}
NO_FILES: list[object] = [
    *(["picture.jpg"], [5], [True], [[1]], [["x"]], ["data:image/png;base64,AAAA"], [], [None, None]),
    *([{"path": path, "meta": FILE}] for path in ("nowhere.jpg", "", 5, "a\0b", None)),
]


@pytest.mark.parametrize("endpoint", ["predict", "classify", "classify_batch"])
def test_what_is_no_file_is_told_how_to_send_one(endpoint: str, url: str) -> None:
    for data in NO_FILES:
        event = httpx.post(f"{url}/gradio_api/call/{endpoint}", json={"data": data}).json()["event_id"]
        answer = httpx.get(f"{url}/gradio_api/call/{endpoint}/{event}").text
        told = json.loads(answer.split("data: ", 1)[1])["error"] or ""
        assert any(words in told for words in ("handle_file", "upload one", "at least one")), (data, answer)


def test_no_files_are_told(client: Client) -> None:
    with pytest.raises(AppError, match="no files"):
        client.predict([], api_name="/classify_batch")


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}], ids=["file", "no-meta"])
def test_no_file_of_the_machine_is_read(url: str, tmp_path: Path, meta: dict) -> None:
    private = tmp_path / "private.png"
    private.write_bytes(encode(plain(RED)))
    for payload in ([{"path": str(private), **meta}], {"path": str(private), **meta}, [None], ["x"], 3, [[1]]):
        asked = httpx.post(f"{url}/gradio_api/call/classify_batch", json={"data": [payload]})
        answer = httpx.get(f"{url}/gradio_api/call/classify_batch/{asked.json()['event_id']}").text
        assert answer.startswith("event: error")
        assert "grizzly" not in answer
        assert str(tmp_path) not in answer


@pytest.mark.parametrize(("language", "words"), [("en", "sure"), ("es,en", "seguridad"), ("zh-CN", "把握")])
def test_the_answer_is_in_the_language_of_the_request(url: str, language: str, words: str) -> None:
    config = httpx.get(f"{url}/config").json()
    picture = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "picture")
    number = next(event["id"] for event in config["dependencies"] if [picture, "change"] in event["targets"])
    stored = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", encode(plain(RED)))}).json()[0]
    headers = {"Accept-Language": language}
    data = [{"path": stored, "meta": {"_type": "gradio.FileData"}}]
    event = {"data": data, "fn_index": number, "session_hash": f"lang-{language[:2]}"}
    assert httpx.post(f"{url}/gradio_api/queue/join", json=event, headers=headers).status_code == 200
    params = {"session_hash": event["session_hash"]}
    answer = httpx.get(f"{url}/gradio_api/queue/data", params=params).text
    done = next(json.loads(line[6:]) for line in answer.splitlines() if "process_completed" in line)
    assert words in done["output"]["data"][0]


def test_frames_are_allowed(url: str) -> None:
    headers = httpx.get(f"{url}/?embed=1").headers
    assert "x-frame-options" not in headers
    assert "frame-ancestors" not in headers.get("content-security-policy", "")


def test_without_extras_nobody_can_ask_why(url: str) -> None:
    parts_of = {part["props"].get("elem_id"): part["props"] for part in httpx.get(f"{url}/config").json()["components"]}
    assert parts_of["ask-why"]["visible"] is False
    able = replace(INFO, options=AppOptions(explain=lambda picture: picture))
    with serving(create_app(predict_by_color, able, ServeConfig())) as other:
        config = httpx.get(f"{other}/config").json()
    assert {part["props"].get("elem_id"): part["props"] for part in config["components"]}["ask-why"]["visible"] is True


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_from_outside_are_escaped(language: str) -> None:
    prediction = Prediction(EVIL, {EVIL: 0.9, "b": 0.1}, 0.9, True, 0.5)
    framed = replace(prediction, looked_at=[0, 0, 1, 1])
    thumbnail = Thumbnail(b"", EVIL, EVIL, EVIL, f"https://x/{EVIL}", f"http://x/{EVIL}")
    info = replace(INFO, title=EVIL, summary=EVIL, revision=EVIL, examples=((EVIL, EVIL),))
    made = (
        html.headline(info)
        + html.foot(info, language)
        + html.answer(prediction, language)
        + html.answer(replace(prediction, familiar=False), language)
        + html.bars(prediction, 5, language)
        + html.refusal(BadPicture("strange", EVIL), language)
        + html.reasons(framed, plain(RED), [Neighbour(0, 0.9, thumbnail)], 6, language)
        + html.table([html.Result(EVIL, prediction)], language)
    )
    assert "<img src=x" not in made
    assert made.count("onerror") > 8


def test_links_lead_to_pages_only() -> None:
    thumbnails = [Thumbnail(b"1", "a", "Ann", "CC0-1.0", "data:text/html,x", "javascript:alert(1)")]
    near = [Neighbour(0, 0.9, one) for one in thumbnails]
    assert "href" not in html.reasons(SAID, None, near, 6, "en")


@pytest.mark.parametrize(
    ("thumbnail", "credit"),
    [
        (Thumbnail(b"1", "a"), "the owner&#39;s own"),
        (Thumbnail(b"1", "a", license_id="CC0-1.0"), "CC0-1.0"),
        (Thumbnail(b"1", "a", creator="Ann", license_id="CC-BY-4.0"), "Ann, CC-BY-4.0"),
    ],
)
def test_a_credit_says_what_is_known(thumbnail: Thumbnail, credit: str) -> None:
    text = html.reasons(SAID, None, [Neighbour(0, 0.9, thumbnail)], 6, "en")
    assert f"<b>a</b> {credit}</figcaption>" in text


def test_a_picture_without_a_creator_names_the_site() -> None:
    thumbnail = Thumbnail(b"1", "a", "", "CC0-1.0", "", "https://commons.wikimedia.org/wiki/File:A.jpg")
    text = html.reasons(SAID, None, [Neighbour(0, 0.9, thumbnail)], 6, "en")
    assert ">commons.wikimedia.org</a>, CC0-1.0" in text


def test_an_address_that_is_none_is_no_link() -> None:
    thumbnail = Thumbnail(b"1", "a", "Ann", "CC0-1.0", "", "http://[broken")
    assert "href" not in html.reasons(SAID, None, [Neighbour(0, 0.9, thumbnail)], 6, "en")


def test_nothing_is_quite_certain() -> None:
    prediction = Prediction("a", {"a": 0.9999, "b": 0.0001}, 0.9, True, 0.5)
    assert 'over <span class="whole">99 %</span> sure' in html.answer(prediction, "en")
    assert "100" not in html.bars(prediction, 5, "en").replace("100.0%", "")
    assert "&gt; 99 %" in html.table([html.Result("x", prediction)], "en")
