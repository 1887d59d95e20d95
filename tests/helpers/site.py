"""Sites of revisions in a browser and in Node: made, changed, served, and asked."""

import base64
import functools
import gzip
import hashlib
import json
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from spotter.inference.predictor import Predictor
from spotter.stores.base import promised_name
from spotter.web.packing import pack
from spotter.web.site import site_files
from spotter.web.tabs import Tab

ROOT = Path(__file__).parents[2]
STATIC, WEB = ROOT / "spotter" / "web" / "static", ROOT / "web"
UNLISTED = {"site.json", "sw.js"}
PATIENCE_S = 240.0
BLANK = b"<!doctype html><meta charset=utf-8><title>A page</title>"
# How pictures, pixels and answers travel between a test and JavaScript.
TRAVEL = """
const encode = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
const decode = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));
const pack = async value => {
    if (value instanceof Blob) return { bytes: encode(new Uint8Array(await value.arrayBuffer())) };
    if (ArrayBuffer.isView(value)) {
        return { bytes: encode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
    }
    if (Array.isArray(value)) return Promise.all(value.map(pack));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await pack(v)])));
};
const unpack = value => value?.bytes === undefined ? value
    : value.width ? { ...value, data: decode(value.bytes) } : decode(value.bytes);
const told = async work => {
    try { return { value: await pack(await work()) }; }
    catch (error) { return { error: [error.name, error.reason ?? "", error.message, error instanceof Error] }; }
};
"""


class ToldError(Exception):
    """An error of the JavaScript API: its class, its reason ("" where there is none) and its sentence."""

    def __init__(self, name: str, reason: str, message: str, is_error: bool) -> None:
        super().__init__(message)
        self.name, self.reason, self.message = name, reason, message
        assert is_error


# How `site.json` says that the numbers of a file were sorted.
HOW = ("by_place", "steps")


def built() -> dict[str, bytes]:
    """The built files of web/, with a page or without."""
    if not (STATIC / "spotter.js").exists():
        pytest.skip("the browser edition is not built here: scripts/build_web, which needs npm")
    return {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}


def make_site(revision: Path, predictor: Predictor, folder: Path) -> Path:
    """Write the site of a revision, and an empty page beside its own."""
    for name, content in site_files(revision, predictor, built()).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "blank.html").write_bytes(BLANK)
    return folder


def change_site(site: Path, to: Path, files: Mapping[str, bytes] | None = None, **model: object) -> Path:
    """A copy of a site with other files of the model (unpacked, by their names in a revision) and another `model.json`,
    all hashes as they should be: what somebody can make who means ill."""
    shutil.copytree(site, to)
    how = {}
    card = json.loads((to / "model" / "model.json").read_text())
    for name, content in (files or {}).items():
        packed = to / "model" / f"{name}.gz"
        if packed.exists():
            content_packed, how[f"model/{name}.gz"] = pack(content, name)
            packed.write_bytes(content_packed)
        else:
            (to / "model" / name).write_bytes(content)
        card["sha256"][name] = hashlib.sha256(content).hexdigest()
    (to / "model" / "model.json").write_text(json.dumps(card | model))
    seal(to, how)
    return to


def seal(site: Path, how: Mapping[str, Mapping[str, object]] | None = None, **more: object) -> None:
    """Let `site.json` say what the files are now, and of those that were packed anew, how."""
    told = json.loads((site / "site.json").read_text())
    before = {path: {name: entry[name] for name in HOW if name in entry} for path, entry in told["files"].items()}
    sorted_how = before | dict(how or {})
    told["files"] = {
        (name := path.relative_to(site).as_posix()): _described(path) | dict(sorted_how.get(name, {}))
        for path in sorted(site.rglob("*"))
        if path.is_file() and path.name not in UNLISTED
    }
    told["contents"] = promised_name((site / "model" / "model.json").read_bytes())
    (site / "site.json").write_text(json.dumps(told | more))


def _described(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    told: dict[str, object] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if path.suffix != ".gz":
        return told
    return told | _unpacked_as(content)


def reworded(code: bytes) -> bytes:
    """The WebAssembly with one letter of a message in it changed: of the same length, and it runs as well."""
    words = b"Unknown error"
    assert words in code
    return code.replace(words, words.swapcase())


def broken_off(script: bytes) -> bytes:
    """The first half of a script, so that no browser can read it: a cut may happen to fall between two statements."""
    return script[: len(script) // 2] + b"{("


# Each changed site has the same four large files, and one that changed.
@functools.lru_cache(maxsize=64)
def _unpacked_as(content: bytes) -> dict[str, object]:
    unpacked = gzip.decompress(content)
    return {"unpacked": len(unpacked), "unpacked_sha256": hashlib.sha256(unpacked).hexdigest()}


@dataclass
class SiteServer:
    """A server of files. `headers` go with every answer; `replies` stand for a path: other bytes, or a number, the
    status; those in `stale` stand for it once, and may be cached; of a path in `cut` so many bytes come, and then the
    connection breaks. `unpacks`: packed files are said to
    be packed for the way, so that the browser unpacks them. `asked` are the paths of all requests; `told` is what
    pages sent to `told`."""

    port: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    replies: dict[str, bytes | int] = field(default_factory=dict)
    stale: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    unpacks: bool = False
    told: queue.Queue[Any] = field(default_factory=queue.Queue)
    asked: list[str] = field(default_factory=list)

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, settings: SiteServer, *arguments: Any, **options: Any) -> None:
        self.settings = settings
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        path = self.path.split("?")[0].lstrip("/")
        self.settings.asked.append(path)
        reply = self.settings.stale.pop(path, None) or self.settings.replies.get(path)
        if isinstance(reply, int):
            self.send_error(reply)
        elif reply is not None or path in self.settings.cut:
            content = reply if reply is not None else (Path(self.directory) / path).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: self.settings.cut.get(path, len(content))])
            self.close_connection = True
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.settings.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def end_headers(self) -> None:
        if self.settings.unpacks and self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        for name, value in self.settings.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_site(folder: Path, **settings: Any) -> Iterator[SiteServer]:
    """Serve a folder on this machine."""
    told = SiteServer(**settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, told, directory=str(folder)))
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TabPage:
    """As much of Playwright's page as `SitePage` uses, in a tab that Spotter opened."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab

    def goto(self, address: str) -> None:
        self._tab.open(address)

    def evaluate(self, code: str, given: object = None) -> Any:
        """What a function gives for `given`, or an expression without it."""
        return self._tab.run(code if given is None else f"({code})({json.dumps(given)})", PATIENCE_S)


class SitePage:
    """The API in a page of a browser."""

    def __init__(self, page: Page | TabPage, code: str) -> None:
        self.page, self._code = page, code

    def open(self, address: str) -> "SitePage":
        """Go to a page from which the API is used."""
        self.page.goto(address)
        self.page.evaluate(f"window.travel = (() => {{ {TRAVEL} return {{ pack, unpack, told }}; }})()")
        return self

    def load(self, url: str | None = None, **options: object) -> dict[str, Any]:
        """Load a model, and give its card.

        Raises:
            ToldError: it does not load.
        """
        script = """([code, url, options]) => travel.told(async () => {
            const { load } = await import(code);
            window.progress = [];
            const progress = (loaded, total) => window.progress.push([loaded, total]);
            window.model = await load(url ?? undefined, { ...options, progress });
            return model.card;
        })"""
        return value_of(self.page.evaluate(script, [self._code, url, options]))

    def ask(self, method: str, *parameters: Any) -> Any:
        """Ask the model. Bytes and arrays of pixels are pictures.

        Raises:
            ToldError: with the class and the reason of what was thrown.
        """
        script = """([method, parameters]) =>
            travel.told(() => model[method](...parameters.map(each => travel.unpack(each) ?? undefined)))"""
        return value_of(self.page.evaluate(script, [method, [packed(each) for each in parameters]]))


def packed(value: Any) -> Any:
    """Bytes, and arrays of pixels (height, width, channels), as they travel to JavaScript."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        height, width = value.shape[:2]
        return {"bytes": base64.b64encode(value.tobytes()).decode(), "width": width, "height": height}
    return value


def value_of(told: dict[str, Any]) -> Any:
    if "error" in told:
        raise ToldError(*told["error"])
    return _unpacked(told.get("value"))


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"bytes"}:
            return base64.b64decode(value["bytes"])
        return {name: _unpacked(each) for name, each in value.items()}
    return [_unpacked(each) for each in value] if isinstance(value, list) else value


def told_by(work: Callable[[], object]) -> tuple[str, str]:
    """The class and the reason of the error that something ends in; ("", "") when it ends in none."""
    try:
        work()
    except ToldError as error:
        return error.name, error.reason
    return "", ""
