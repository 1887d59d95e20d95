"""Pictures in JSON, as the programs of many languages write base64."""

import base64
import json
import random
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from spotter.config import ServeConfig
from spotter.errors import BadPicture
from spotter.serve.api.request_body import _pictures_in_json
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from tests.helpers.pictures import BLUE, LABELS, RED, encode, plain, predict_by_color, serving

CONFIG = ServeConfig(max_upload_bytes=30_000, max_batch=4, max_batch_bytes=60_000)
PICTURE = encode(plain(RED), "JPEG")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(create_app(predict_by_color, ModelInfo("Bears", LABELS, "r-1"), CONFIG)) as address:
        yield address


def written(content: bytes, luck: random.Random) -> str:
    """Base64 of some bytes in one of the ways in which programs write it."""
    encode_ = luck.choice([base64.b64encode, base64.urlsafe_b64encode])
    text = encode_(content).decode()
    if luck.random() < 0.5:
        text = text.rstrip("=")
    # 64 characters in PEM, 76 in MIME, 77 with Android's flag, none in JavaScript.
    width, end = luck.choice([0, 4, 60, 64, 76, 77]), luck.choice(["\n", "\r\n", " ", "\t", "\n  "])
    if width:
        text = end.join(textwrap.wrap(text, width)) + luck.choice(["", end])
    head = luck.choice(
        [
            *["", "data:image/jpeg;base64,", "data:;base64,", "DATA:image/png;name=a.png;BASE64,", " data:;base64, "],
            *["data:image/jpeg; base64,", 'data:image/jpeg;name="a, b.jpg";base64,'],
        ]
    )
    # As Python prints bytes, and quoted once more.
    mark = luck.choice(["{}"] * 8 + ["b'{}'", '"{}"'])
    return mark.format(head + (quote(text, safe="") if head and luck.random() < 0.2 else text))


def in_json(text: str, luck: random.Random) -> bytes:
    body = json.dumps({"image": text}, ensure_ascii=luck.random() < 0.5)
    if luck.random() < 0.5:
        # PHP.
        body = body.replace("/", "\\/")
    if luck.random() < 0.3:
        # A shell: "{\"image\": \"$(base64 picture.jpg)\"}".
        body = body.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")
    return body.encode()


def test_base64_is_read_however_it_is_written() -> None:
    luck = random.Random(5)
    for _ in range(3_000):
        content = luck.randbytes(luck.randrange(1, 300))
        body = in_json(written(content, luck), luck)
        assert [one.content for one in _pictures_in_json(body, False, CONFIG)] == [content], body


B64 = base64.b64encode(PICTURE)
FORM = "multipart/form-data; boundary=X"
FILE = b'form-data; name="file"; filename="a.jpg"'


def part(said: bytes, body: bytes = PICTURE, more: bytes = b"Content-Type: image/jpeg\r\n") -> bytes:
    return b"--X\r\nContent-Disposition: " + said + b"\r\n" + more + b"\r\n" + body + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--X--\r\n"


# A type that is said, or none, and a body.
BODIES: list[tuple[str, bytes]] = [
    *((kind, PICTURE) for kind in ("", "x", "text/plain", "IMAGE/JPEG", "application/x-www-form-urlencoded")),
    # curl -d, programs that say nothing, and JSON by other names.
    *(
        (kind, b' {"image": "' + B64 + b'"}')
        for kind in ("", "text/plain", "text/json", "application/vnd.api+json", "application/x-www-form-urlencoded")
    ),
    *(("text/plain", head + B64) for head in (b"", b"data:image/jpeg;base64,", b"image=", b"\n")),
    ("application/x-www-form-urlencoded", b"image=" + quote(B64, safe="").encode() + b"&more=1"),
    # Forms as curl, Go, Java, .NET, PHP, browsers and scripts write them; with a file's name or without.
    *(
        (FORM, form(part(said, more=more)))
        for said in (FILE, b"form-data; name=file; filename=a.jpg; filename*=utf-8''a.jpg", b'form-data; name="file"')
        for more in (b"", b"Content-Type: image/jpeg\r\n", b"Content-Transfer-Encoding: binary\r\n")
    ),
    (FORM, form(part(b'form-data; name="more"', b"BMW", b""), part(b'form-data; name="image"', B64, b""))),
    (FORM, form(part(b'form-data; name="image"', b"data:image/jpeg;base64," + B64, b""))),
    *((kind, form(part(FILE))) for kind in ('Multipart/Form-Data; BOUNDARY="X"', f"{FORM}; charset=utf-16")),
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_a_picture_is_found_in_any_body(number: int, url: str) -> None:
    kind, body = BODIES[number]
    answer = httpx2.post(f"{url}/api/classify", content=body, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, answer.json().get("label")) == (200, "grizzly"), answer.text


def test_a_body_that_does_not_tell_its_length_has_the_same_bound(url: str) -> None:
    for more, status in ((0, 200), (1, 413)):
        body = PICTURE.ljust(CONFIG.max_upload_bytes + more, b"\0")
        assert httpx2.post(f"{url}/api/classify", content=iter([body])).status_code == status


@pytest.mark.parametrize("path", ["//api/classify", "/api/classify/", "///api/classify//", "/api/classify?x"])
def test_a_path_is_taken_as_it_was_meant(path: str, url: str) -> None:
    assert httpx2.post(url + path, content=PICTURE).json()["label"] == "grizzly"
    assert httpx2.post(url, content=PICTURE).status_code == 404
    assert f"{url}/api/classify" in httpx2.post(url, content=bytes(29_000)).json()["error"]
    assert httpx2.get(f"{url}//gradio_api/info").status_code == 404


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("multipart/form-data", form(part(FILE)), "Content-Type"),
        ("multipart/form-data; boundary=Y", form(part(FILE)), "Content-Type"),
        (FORM, form(), "file name"),
        (FORM, form(part(b'form-data; name="a"', b"BMW", b"")), "file name"),
        ("application/json", b"image", "no JSON"),
        ("", b"{'image': 'a'}", "no JSON"),
    ],
)
def test_what_has_no_picture_is_told_what_it_lacks(kind: str, body: bytes, told: str, url: str) -> None:
    answer = httpx2.post(f"{url}/api/classify", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("熊.jpg".encode(), "熊.jpg"),
        ("bär.jpg".encode("latin-1"), "bär.jpg"),
        (b"=?utf-8?B?54aKLmpwZw==?=", "熊.jpg"),
        (b"=?odd?B?54a=?=", "=?odd?B?54a=?="),
        (b"a%22b%0D%0A.jpg", 'a"b .jpg'),
        (b"C:\\a\\b.jpg", "b.jpg"),
        (b"100%.jpg", "100%.jpg"),
    ],
)
def test_names_of_files_as_programs_write_them(sent: bytes, name: str, url: str) -> None:
    said = b'form-data; name="f"; filename="' + sent + b'"'
    headers = {"Content-Type": FORM}
    answer = httpx2.post(f"{url}/api/classify/batch", content=form(part(said)), headers=headers)
    assert answer.json()["results"][0]["file"] == name


def test_the_largest_picture_fits_with_all_its_line_breaks(url: str) -> None:
    picture = PICTURE + bytes(CONFIG.max_upload_bytes - len(PICTURE))
    text = "\r\n".join(textwrap.wrap(base64.b64encode(picture).decode(), 64))
    answer = httpx2.post(f"{url}/api/classify", json={"image": text})
    assert (answer.status_code, answer.json().get("label")) == (200, "grizzly")
    larger = base64.b64encode(picture + b"x").decode()
    assert httpx2.post(f"{url}/api/classify", json={"image": larger}).status_code == 413


@pytest.mark.parametrize(
    "text",
    [
        *["a", "a=bc", "abc$", "data:;base64,a\u00e4", "data:;base64,%zz", "", "=", "data:image/png;base64"],
        *["../a.jpg", "http://127.0.0.1/a.jpg", "C:\\a.jpg", "//host/a?b", "\u200b", "ftp:x"],
    ],
)
def test_what_is_no_base64_is_told(text: str) -> None:
    (sent,) = _pictures_in_json(json.dumps({"image": text}).encode(), False, CONFIG)
    assert isinstance(sent.content, BadPicture) or sent.content == b"", text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        *["/api/predict", "/api/predict/", "/run/predict", "/run/classify/", "/api/queue/push", "/api/queue/join/"],
        *["/queue/join", "/call/predict", "/predict", "/predict/", "/upload", "/api/typo", "/info", "/classify"],
    ],
)
def test_an_endpoint_of_older_tutorials_says_where_to_ask(url: str, path: str, method: str) -> None:
    sent: dict[str, Any] = {"json": {"data": ["data:image/png;base64," + 10_000 * "A"]}} if method == "POST" else {}
    answer = httpx2.request(method, url + path, **sent)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}
    assert f"{url}/api/classify" in answer.json()["error"]
    assert f'Client("{url}").predict' in answer.json()["error"]


def test_an_old_endpoint_tells_who_sends_a_large_picture(url: str) -> None:
    limits = replace(CONFIG, max_upload_bytes=5_000_000)
    with serving(create_app(predict_by_color, ModelInfo("Bears", LABELS, "r-1"), limits)) as large:
        answer = httpx2.post(f"{large}/run/predict", json={"data": ["data:;base64," + 4_000_000 * "A"]})
    assert (answer.status_code, "api_name=" in answer.json()["error"]) == (404, True)


def test_files_of_a_form_keep_their_names(url: str) -> None:
    names = ["a.jpg", "übung/熊.png", "a.jpg", ""]
    contents = [PICTURE, encode(plain(BLUE)), b"no picture", PICTURE]
    files = [("files", (name, content)) for name, content in zip(names, contents, strict=True) if name]
    results = httpx2.post(f"{url}/api/classify/batch", files=files).json()["results"]
    assert [result.get("file") for result in results] == names[:3]
    assert [result.get("label") for result in results] == ["grizzly", "black", None]
    without = httpx2.post(f"{url}/api/classify/batch", json=[base64.b64encode(PICTURE).decode()]).json()["results"]
    assert [("file" in result, result["label"]) for result in without] == [(False, "grizzly")]


def test_what_gradio_tells_about_the_endpoints_is_for_people(url: str) -> None:
    told = httpx2.get(f"{url}/gradio_api/info").json()
    endpoints = told["named_endpoints"]
    assert {name: [one["label"] for one in each["parameters"]] for name, each in endpoints.items()} == {
        "/predict": ["picture"],
        "/classify": ["picture"],
        "/classify_batch": ["files"],
    }
    assert [[one["label"] for one in each["returns"]] for each in endpoints.values()] == [
        ["answer"],
        ["answer"],
        ["answers", "table"],
    ]
    assert [one["parameter_name"] for each in endpoints.values() for one in each["parameters"]] == [
        "picture",
        "picture",
        "files",
    ]
    assert "__i18n__" not in json.dumps(told)
    assert "value_" not in json.dumps(told)
