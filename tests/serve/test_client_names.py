"""Who a client is: nothing that a request says about itself gives it another name."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from spotter.config import ServeConfig
from spotter.serve.app import create_app
from spotter.serve.auth import GUESSES, AccessControl
from spotter.serve.limits import client_name
from spotter.serve.service import ModelInfo
from tests.helpers.pictures import LABELS, encode, plain, predict_by_color, serving
from tests.helpers.rolling import rolling

PASSWORD = "honey & lime 7"  # noqa: S105
TRIES = 60
# What proxies, balancers and programs call the address, or the user, that they speak for.
NAMING = (
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "X-Client-Id",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
    "X-Appengine-User-IP",
    "X-Azure-ClientIP",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Remote-Addr",
    "Remote-Addr",
    "Client-IP",
    "Via",
    "From",
    "User-Agent",
    "Cookie",
    "Host",
)


def naming(number: int) -> dict[str, str]:
    """Every such header, each time with another address."""
    address = f"9.{number // 200}.9.{number % 200}"
    return dict.fromkeys(NAMING, address) | {"Forwarded": f"for={address};proto=https", "Cookie": f"id={address}"}


@pytest.fixture
def url() -> Iterator[str]:
    with serving(create_app(predict_by_color, ModelInfo("Bears?", LABELS), ServeConfig(), password=PASSWORD)) as url:
        yield url


def test_wrong_passwords_lock_out_whatever_the_headers_say(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        codes = [
            client.get("/staff/report", auth=("", f"guess {number}"), headers=naming(number)).status_code
            for number in range(TRIES)
        ]
        assert codes == [401] * GUESSES + [429] * (TRIES - GUESSES)
        for name in NAMING:
            assert client.get("/staff/report", auth=("", PASSWORD), headers={name: "8.8.8.8"}).status_code == 429
    # Another address is another client.
    with httpx.Client(base_url=url, transport=httpx.HTTPTransport(local_address="127.0.0.9")) as client:
        assert client.get("/staff/report", auth=("", PASSWORD)).status_code == 404


def test_the_rate_is_that_of_the_address(tmp_path: Path) -> None:
    config = ServeConfig(rate_per_s=0.01, burst=5)
    picture = encode(plain())
    with serving(create_app(predict_by_color, ModelInfo("Bears?", LABELS), config)) as url, httpx.Client() as client:
        codes = [
            client.post(f"{url}/api/classify", content=picture, headers=naming(number)).status_code
            for number in range(8)
        ]
    assert codes == [200] * 5 + [429] * 3


def test_a_rollout_treats_an_address_alike(tmp_path: Path) -> None:
    picture = encode(plain())
    (tmp_path / "rollout.toml").write_text("share = 0.5")
    with rolling(tmp_path, "gradual") as app, httpx.Client(base_url=app.url) as client:
        codes = [
            client.post("/api/classify", content=picture, headers=naming(number)).status_code for number in range(20)
        ]
    assert len(set(codes)) == 1


def test_on_a_space_only_what_the_proxy_added_last_counts() -> None:
    def name(*lines: str, **others: str) -> str:
        raw = [(b"x-forwarded-for", line.encode()) for line in lines]
        raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in others.items()]
        return client_name("10.0.0.1", Headers(raw=raw), behind_proxy=True)

    assert name("8.8.8.8") == "8.8.8.8"
    # A proxy adds to the line, or adds a line.
    assert name("1.2.3.4, 8.8.8.8") == name("1.2.3.4", "8.8.8.8") == name("1.2.3.4", "8.8.8.8, 10.9.9.9") == "8.8.8.8"
    assert name("8.8.8.8", x_real_ip="1.2.3.4", forwarded="for=1.2.3.4", x_client_id="me") == "8.8.8.8"
    assert name(x_real_ip="1.2.3.4", forwarded="for=1.2.3.4", x_client_id="me") == "10.0.0.1"


def test_the_cleaning_page_knows_an_address_by_its_network() -> None:
    codes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the password was wrong")

    async def send(message: dict[str, object]) -> None:
        codes.append(message.get("status"))

    control = AccessControl(app, PASSWORD)
    for number in range(TRIES):
        given = b64encode(f":guess {number}".encode()).decode()
        headers = [(name.lower().encode(), value.encode()) for name, value in naming(number).items()]
        headers.append((b"authorization", f"Basic {given}".encode()))
        # Whoever has a network of IPv6 has more addresses than anybody can count.
        scope = {"type": "http", "method": "GET", "headers": headers, "client": (f"2a00:1450:4001:81b::{number:x}", 1)}
        asyncio.run(control(scope, None, send))  # type: ignore[arg-type]
    assert [code for code in codes if code] == [401] * GUESSES + [429] * (TRIES - GUESSES)
