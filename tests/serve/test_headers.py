"""What every answer tells browsers about itself, whoever gives it: ours, Gradio's, a refusal or a failure."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from PIL import Image

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.serve.app import create_app
from spotter.serve.service import ModelInfo
from tests.helpers.pictures import LABELS, encode, plain, serving

PASSWORD = "honey & lime 7"  # noqa: S105


def fail(picture: Image.Image) -> Prediction:
    raise MemoryError("on purpose")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    info = replace(ModelInfo("Bears?", LABELS), revision="r-1")
    with serving(create_app(fail, info, ServeConfig(metrics=True), password=PASSWORD)) as address:
        yield address


@pytest.mark.parametrize(
    "path",
    [
        "/", "/config", "/theme.css", "/favicon.ico", "/healthz", "/readyz", "/metrics", "/openapi.json", "/api",
        "/api/nothing", "/nothing", "/gradio_api/info", "/gradio_api/file=/etc/passwd", "/gradio_api/nothing",
        "/monitoring", "/staff", "/staff/report", "/gradio_api/queue/data", "/assets/../config",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_every_answer_says_nosniff_once(url: str, path: str, method: str) -> None:
    response = httpx.request(method, url + path)
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    if response.headers.get("content-type", "").startswith("text/html"):
        assert "object-src 'none'" in response.headers["content-security-policy"]


def test_failures_and_what_is_no_request_say_it_too(url: str) -> None:
    failed = httpx.post(f"{url}/api/classify", content=encode(plain()))
    assert failed.status_code >= 400
    assert failed.headers.get_list("x-content-type-options") == ["nosniff"]
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"this is no HTTP\r\n\r\n")
        assert b"x-content-type-options: nosniff" in connection.recv(1000)
