"""The plain HTTP routes over a real server on 127.0.0.1: every way to send a picture, and the frozen answers."""

import base64
import functools
import gzip
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.serve.api.prometheus import Metrics
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from tests.helpers.pictures import BLUE, GREY, LABELS, RED, encode, plain, predict_by_color, serving
from tests.helpers.rolling import PASSWORD

INFO = ModelInfo("Which bear is this?", LABELS, "r-1", threshold=0.5)
CONFIG = ServeConfig(max_upload_bytes=30_000, max_batch=4, max_batch_bytes=60_000, metrics=True)
JSON = {"Content-Type": "application/json"}
PICTURE = encode(plain(RED), "JPEG")
# What programs rely on: names, types and order of nothing else. A change here breaks them.
FROZEN = {
    "label": str,
    "closest": str,
    "probabilities": dict,
    "familiarity": float,
    "familiar": bool,
    "threshold": float,
    "revision": str,
    "timings_ms": dict,
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(create_app(predict_by_color, INFO, CONFIG)) as address:
        yield address


def data_url(content: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def form(*files: bytes, **fields: str) -> dict[str, Any]:
    return {"files": [("files", ("a.jpg", content, "image/jpeg")) for content in files], "data": fields}


def assert_frozen(answer: dict[str, Any]) -> None:
    assert {name: type(value) for name, value in answer.items()} == FROZEN
    assert {name: type(value) for name, value in answer["probabilities"].items()} == dict.fromkeys(LABELS, float)
    assert {name: type(value) for name, value in answer["timings_ms"].items()} == dict.fromkeys(
        ("decode", "predict", "total"), float
    )


def test_the_answers_are_frozen(url: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    for color, label, familiar in ((RED, "grizzly", True), (GREY, "teddy", False)):
        path.write_bytes(encode(plain(color), "JPEG"))
        client = Client(url, verbose=False, analytics_enabled=False)
        through = client.predict(handle_file(str(path)), api_name="/classify")
        direct = httpx.post(f"{url}/api/classify", content=path.read_bytes()).json()
        for answer in (direct, through):
            assert_frozen(answer)
            assert (answer["closest"], answer["familiar"]) == (label, familiar)
            assert answer["label"] == (label if familiar else "not sure")
        answer = client.predict(handle_file(str(path)), api_name="/predict")
        assert set(answer) == {"label", "confidences"}
        assert answer["label"] == (label if familiar else "not sure")
        assert answer["confidences"][0]["label"] == label
        assert {tuple(row) for row in answer["confidences"]} == {("label", "confidence")}


@pytest.mark.parametrize(
    "way",
    [
        {"content": PICTURE},
        {"content": PICTURE, "headers": {"Content-Type": "image/jpeg"}},
        # As curl --data-binary sends it.
        {"content": PICTURE, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": PICTURE, "headers": {"Content-Type": "text/plain; charset=utf-8"}},
        {"content": iter([PICTURE[:100], PICTURE[100:]])},
        form(PICTURE),
        form(PICTURE, encode(plain(BLUE)), note="first a field"),
        {"json": {"image": data_url(PICTURE), "more": 1}},
        {"content": f'\ufeff{{"name": "Bär 🐻", "image": "{data_url(PICTURE)}"}}'.encode(), "headers": JSON},
        {"content": f'{{"image": "{data_url(PICTURE, "")}"}}', "headers": {"Content-Type": "APPLICATION/JSON; x=y"}},
        {"json": {"image": "DATA:image/png;name=a;BASE64," + base64.b64encode(PICTURE).decode()}},
    ],
    ids=["raw", "image", "curl", "text", "chunks", "form", "first-file", "json", "utf-8", "upper-case", "odd-url"],
)
def test_the_content_type_decides_how_a_picture_is_read(url: str, way: dict[str, Any]) -> None:
    response = httpx.post(f"{url}/api/classify", **way)
    assert response.status_code == 200, response.text
    assert response.json()["label"] == "grizzly"


@pytest.mark.parametrize(
    ("way", "status", "words"),
    [
        ({"json": {"image": "http://127.0.0.1:1/a.jpg"}}, 400, "fetches no addresses"),
        ({"json": {"image": "file:///etc/passwd"}}, 400, "fetches no addresses"),
        ({"json": {"image": {"path": "/etc/passwd"}}}, 400, "fetches no addresses"),
        ({"json": {"image": "data:image/jpeg,hello"}}, 400, "data URL"),
        ({"json": {"image": "data:image/jpeg;base64,a$b"}}, 400, "base64"),
        ({"json": {"image": "data:image/jpeg;base64,äö"}}, 400, "base64"),
        ({"json": {"image": data_url(PICTURE).replace(",", ",$$$$")}}, 400, "base64"),
        ({"json": {"image": data_url(b"hello")}}, 415, "not a picture"),
        ({"json": {"image": data_url(b"x" * 30_001)}}, 413, "0.03 MB"),
        ({"json": {"images": []}}, 400, '{"image"'),
        ({"json": [data_url(PICTURE)]}, 400, '{"image"'),
        ({"content": b"{", "headers": JSON}, 400, "no JSON"),
        ({"content": b"[" * 20_000, "headers": JSON}, 400, "no JSON"),
        ({"content": b"\xff\xfe\x00", "headers": JSON}, 400, "no JSON"),
        ({"content": b" " * 60_000, "headers": JSON}, 413, "0.03 MB"),
        ({"content": PICTURE, "headers": {"Content-Type": "multipart/form-data"}}, 400, "form"),
        ({"content": PICTURE, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "form"),
        ({"files": {"note": (None, "no file")}}, 400, "no picture"),
        (form(b"x" * 30_001), 413, "0.03 MB"),
        (form(b"hello"), 415, "not a picture"),
        (form(*[PICTURE] * 5), 413, "At most 4"),
        ({"content": b"x" * 30_001}, 413, "0.03 MB"),
        ({"content": b""}, 400, "empty"),
        ({"content": gzip.compress(PICTURE), "headers": {"Content-Encoding": "gzip"}}, 415, "nothing is unpacked"),
        # Each would become an object of its own, thirty times as large.
        ({"content": b"[" + b"[]," * 12_000 + b"[]]", "headers": JSON}, 400, "far more than pictures"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(url: str, way: dict[str, Any], status: int, words: str) -> None:
    response = httpx.post(f"{url}/api/classify", **way)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]
    assert response.json()["error"].endswith(".")


@pytest.mark.parametrize("make", [lambda *pictures: form(*pictures), lambda *p: {"json": [data_url(c) for c in p]}])
def test_a_batch_answers_for_each_picture_in_order(url: str, make: Callable[..., dict[str, Any]]) -> None:
    way = make(encode(plain(BLUE)), b"hello", b"x" * 30_001, PICTURE)
    response = httpx.post(f"{url}/api/classify/batch", **way)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    # Only what came in a form has a file name.
    assert [result.pop("file", None) for result in results] == ["a.jpg" if "files" in way else None] * 4
    first, second, third, fourth = results
    assert_frozen(first)
    assert_frozen(fourth)
    assert (first["label"], fourth["label"]) == ("black", "grizzly")
    assert list(second) == list(third) == ["error"]
    assert "not a picture" in second["error"]
    assert "0.03 MB" in third["error"]


@pytest.mark.parametrize(
    ("way", "status", "words"),
    [
        (form(*[PICTURE] * 5), 413, "At most 4"),
        ({"json": [data_url(PICTURE)] * 5}, 413, "At most 4"),
        (form(*[b"x" * 29_000] * 3), 413, "0.06 MB"),
        ({"json": [data_url(b"x" * 29_000)] * 3}, 413, "0.06 MB"),
        ({"content": b"x" * 120_000, "headers": JSON}, 413, "0.06 MB"),
        ({"json": []}, 400, "no picture"),
        ({"files": {"note": (None, "no file")}}, 400, "no picture"),
        ({"json": {"image": data_url(PICTURE)}}, 400, "a list"),
        ({"content": PICTURE}, 415, "multipart/form-data"),
    ],
)
def test_a_batch_has_limits(url: str, way: dict[str, Any], status: int, words: str) -> None:
    response = httpx.post(f"{url}/api/classify/batch", **way)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]


def test_a_picture_of_a_batch_counts_like_one_by_itself() -> None:
    config = replace(CONFIG, rate_per_s=0.001, burst=4)
    with serving(create_app(predict_by_color, INFO, config)) as url:
        assert httpx.post(f"{url}/api/classify/batch", **form(*[PICTURE] * 4)).status_code == 200
        refused = httpx.post(f"{url}/api/classify", content=PICTURE)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 900


def test_an_item_of_a_batch_that_is_no_text_spoils_no_other(url: str) -> None:
    results = httpx.post(f"{url}/api/classify/batch", json=[None, 7, data_url(PICTURE)]).json()["results"]
    assert [min(result) for result in results] == ["error", "error", "closest"]


def test_a_batch_ends_when_nobody_waits_for_it() -> None:
    seen, go_on = [], threading.Event()

    def predict(picture: Image.Image) -> Prediction:
        seen.append(picture)
        go_on.wait(240)
        return predict_by_color(picture)

    with serving(create_app(predict, INFO, CONFIG)) as url:
        request = httpx.Request("POST", f"{url}/api/classify/batch", **form(*[PICTURE] * 4))
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with socket.create_connection((request.url.host, request.url.port or 0), timeout=240) as connection:
            connection.sendall(f"POST /api/classify/batch HTTP/1.1\r\n{head}\r\n".encode() + request.read())
            while not seen:
                time.sleep(0.01)
        # By the time this is answered, the server has noticed.
        assert httpx.get(f"{url}/healthz").status_code == 200
        go_on.set()
        while "spotter_in_flight 0" not in (counts := httpx.get(f"{url}/metrics").text):
            time.sleep(0.01)
    assert len(seen) == 1
    assert 'route="/api/classify/batch",status="499"} 1' in counts


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/api/classify", 405, "POST, OPTIONS"),
        ("HEAD", "/api/classify", 405, "POST, OPTIONS"),
        ("PUT", "/api/classify/batch", 405, "POST, OPTIONS"),
        ("OPTIONS", "/api/classify", 204, "POST, OPTIONS"),
        ("POST", "/healthz", 405, "GET, HEAD, OPTIONS"),
        ("DELETE", "/readyz", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/api", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/api", 200, None),
        ("HEAD", "/readyz", 200, None),
        ("GET", "/api/classify/", 405, "POST, OPTIONS"),
        ("POST", "/api/predict", 404, None),
        ("GET", "/api/answers/0", 404, None),
    ],
)
def test_a_wrong_method_or_path_is_told(url: str, method: str, path: str, status: int, allowed: str | None) -> None:
    response = httpx.request(method, url + path)
    assert (response.status_code, response.headers.get("allow")) == (status, allowed)
    if method == "HEAD" or status == 204:
        assert response.content == b""
    else:
        assert list(response.json()) == ["error"]
        assert "/api" in response.json()["error"]


@pytest.mark.parametrize(
    "path", ["/api/predict", "/api/classify/many", "/api/x", "/run/predict", "/queue/push", "/call"]
)
@pytest.mark.parametrize("announced", ["Content-Length: 20000", "Transfer-Encoding: chunked"])
def test_an_unknown_route_is_told_before_the_body_comes(url: str, path: str, announced: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = b"x" * 20_000
    sent = body if "Length" in announced else b"4e20\r\n" + body + b"\r\n0\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=120) as connection, connection.makefile("rb") as answers:
        # Who sends all the same may go on with the same connection.
        for _ in range(2):
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{announced}\r\n\r\n".encode())
            assert answers.readline() == b"HTTP/1.1 404 Not Found\r\n"
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert b"/api/classify" in answers.read(length)
            connection.sendall(sent)


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """An app that others can reach, too."""

    def predict(picture: Image.Image) -> Prediction:
        if picture.size == (13, 13):
            raise RuntimeError("no")
        return predict_by_color(picture)

    config = replace(CONFIG, host="0.0.0.0")
    with serving(create_app(predict, INFO, config, password=PASSWORD)) as address:
        yield address


@pytest.mark.parametrize("origin", ["https://blog.example", "null"])
def test_pages_of_other_origins_may_ask(shared: str, origin: str) -> None:
    here = {"Origin": origin}
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in ("/api/classify", "/api/classify/batch"):
        allowed = httpx.options(shared + path, headers=here | wanted)
        assert allowed.status_code == 200
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert allowed.headers["access-control-allow-headers"] == "content-type"
    ways: list[tuple[int, dict[str, Any]]] = [
        (200, {"content": PICTURE}),
        (415, {"content": b"hello"}),
        # These three are refused in other places: before the routes, by the route, after it failed.
        (413, {"content": b"x" * 200_000}),
        (413, {"content": b"x" * 30_001}),
        (500, {"content": encode(plain(size=(13, 13)))}),
    ]
    for status, way in ways:
        answer = httpx.post(f"{shared}/api/classify", headers=here, **way)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
        assert "access-control-allow-credentials" not in answer.headers
    for path in ("/healthz", "/readyz", "/openapi.json", "/api"):
        answer = httpx.get(shared + path, headers=here)
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        assert "Retry-After" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/staff/report", "/staff", "/metrics", "/"])
def test_what_is_for_nobody_else_stays_so(shared: str, path: str) -> None:
    headers = {"Origin": "https://blog.example", "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        answer = httpx.request(method, shared + path, headers=headers)
        assert answer.headers.get("access-control-allow-origin") != "*"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_and_readiness(url: str, path: str) -> None:
    response = httpx.get(url + path)
    assert (response.status_code, response.json()) == (200, {"status": "ok", "revision": "r-1"})
    assert httpx.head(url + path).status_code == 200


def test_without_a_model_nothing_is_ready() -> None:
    problem = "The model is broken."
    app = create_app(predict_by_color, ModelInfo("Bears?", ()), CONFIG, problem=problem)
    with serving(app) as url:
        for path, stops in (("/healthz", False), ("/readyz", False), ("/readyz", True)):
            app.state.traffic.stopping = stops
            response = httpx.get(url + path)
            assert (response.status_code, response.json()) == (503, {"status": "fail", "problem": problem})
        app.state.traffic.stopping = False
        for path in ("/api/classify", "/api/classify/batch"):
            response = httpx.post(url + path, **form(PICTURE))
            assert (response.status_code, response.json()) == (503, {"error": problem})


def counts(url: str) -> dict[str, float]:
    response = httpx.get(f"{url}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    assert response.text.endswith("\n")
    assert all(re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+', line) for line in lines)
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_count_requests_and_pictures() -> None:
    with serving(create_app(predict_by_color, INFO, CONFIG)) as url:
        httpx.post(f"{url}/api/classify/batch", **form(PICTURE, encode(plain(GREY)), b"hello"))
        httpx.post(f"{url}/api/classify", content=b"")
        httpx.get(f"{url}/no/such/page/{'x' * 100}")
        found = counts(url)
    assert found['spotter_requests_total{route="/api/classify/batch",status="200"}'] == 1
    assert found['spotter_requests_total{route="/api/classify",status="400"}'] == 1
    assert found['spotter_requests_total{route="page",status="404"}'] == 1
    outcomes = {name: value for name, value in found.items() if name.startswith("spotter_pictures_total")}
    assert outcomes == {
        f'spotter_pictures_total{{outcome="{outcome}"}}': 1
        for outcome in ("sure", "not-sure", "not-a-picture", "empty")
    }
    buckets = [value for name, value in found.items() if name.startswith("spotter_picture_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == found["spotter_picture_seconds_count"] == 4
    assert found["spotter_picture_seconds_sum"] > 0
    assert found["spotter_in_flight"] == 0


def test_each_time_falls_into_its_bucket() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.006, 99.0):
        metrics.count_picture("sure", seconds)
    text = metrics.as_text(3)
    for line in ('_bucket{le="0.005"} 2', '_bucket{le="0.01"} 3', '_bucket{le="10.0"} 3', '_bucket{le="+Inf"} 4'):
        assert f"spotter_picture_seconds{line}\n" in text
    assert "spotter_in_flight 3\n" in text


def test_metrics_are_off_unless_asked_for() -> None:
    with serving(create_app(predict_by_color, INFO, ServeConfig())) as url:
        assert httpx.get(f"{url}/metrics").status_code == 404


@functools.cache
def openapi(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/openapi.json").json()


def fits(value: object, schema: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a value is what a JSON schema says; the few words of it that ours use."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return fits(value, document["components"]["schemas"][name], document)
    if "anyOf" in schema:
        return any(fits(value, option, document) for option in schema["anyOf"])
    kinds = {"string": str, "number": (int, float), "boolean": bool, "object": dict, "array": list, "null": type(None)}
    if not isinstance(value, kinds[schema["type"]]) or (schema["type"] == "number" and isinstance(value, bool)):
        return False
    if isinstance(value, list):
        return all(fits(item, schema["items"], document) for item in value)
    if not isinstance(value, dict):
        return True
    named, others = schema.get("properties", {}), schema.get("additionalProperties")
    return set(schema.get("required", ())) <= set(value) and all(
        fits(item, named[name], document) if name in named else others and fits(item, others, document)
        for name, item in value.items()
    )


def test_openapi_describes_the_plain_routes_alone(url: str) -> None:
    document = openapi(url)
    assert document["openapi"].startswith("3.")
    assert document["info"]["title"] == INFO.title
    operations = {(path, method) for path, item in document["paths"].items() for method in item}
    assert operations == {
        ("/api/classify", "post"),
        ("/api/classify/batch", "post"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }
    single = document["paths"]["/api/classify"]["post"]["requestBody"]["content"]
    assert {"image/*", "multipart/form-data", "application/json", "application/x-www-form-urlencoded"} <= set(single)
    batch = document["paths"]["/api/classify/batch"]["post"]["requestBody"]["content"]
    assert batch["application/json"]["schema"]["maxItems"] == CONFIG.max_batch
    references = re.findall(r"#/components/schemas/(\w+)", str(document))
    assert set(references) <= set(document["components"]["schemas"])
    assert document["components"]["schemas"]["Classified"]["required"] == list(FROZEN)


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/api/classify", {"content": PICTURE}),
        ("/api/classify", {"content": b"hello"}),
        ("/api/classify", {"content": b""}),
        ("/api/classify", {"content": b"x" * 40_000}),
        ("/api/classify/batch", form(PICTURE, b"hello")),
        ("/api/classify/batch", form(*[PICTURE] * 5)),
        ("/healthz", None),
        ("/readyz", None),
    ],
)
def test_real_answers_fit_the_description(url: str, path: str, way: dict[str, Any] | None) -> None:
    document = openapi(url)
    response = httpx.get(url + path) if way is None else httpx.post(url + path, **way)
    operation = document["paths"][path]["get" if way is None else "post"]
    schema = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
    assert fits(response.json(), schema, document)
    assert not fits({"label": 7}, schema, document)


def test_what_json_bodies_are_described_as_is_accepted(url: str) -> None:
    document = openapi(url)
    for path, body in (("/api/classify", {"image": data_url(PICTURE)}), ("/api/classify/batch", [data_url(PICTURE)])):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert fits(body, schema, document)
        assert httpx.post(url + path, json=body).status_code == 200
