"""Openverse and Wikimedia Commons on this machine: over TLS, and open to other sites as the real ones are."""

import hashlib
import io
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import trustme

from tests.helpers.drawing import draw

OPENVERSE, COMMONS = "api.openverse.org", "commons.wikimedia.org"
PICTURES = ("upload.wikimedia.org", "thumb.wikimedia.org")
HOSTS = (OPENVERSE, COMMONS, *PICTURES)


@dataclass
class OpenSources:
    """`openverse` and `commons` are the answers: status and JSON. `open_to_others`: whether other sites may read them.
    `asked` is what was asked for, by host and path with its query."""

    openverse: tuple[int, object] = (200, {"results": []})
    commons: tuple[int, object] = (200, {"batchcomplete": True})
    open_to_others: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def rule(self) -> str:
        """The argument with which Chromium finds the hosts here."""
        return "--host-resolver-rules=" + ", ".join(f"MAP {host}:443 127.0.0.1:{self.port}" for host in HOSTS)


def read_recorded(folder: Path, name: str) -> object:
    """A recorded answer."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def picture_of(path: str) -> bytes:
    """Another drawn picture for each address."""
    seed = int(hashlib.sha256(path.encode()).hexdigest()[:6], 16)
    file = io.BytesIO()
    draw(("disc", "cross", "stripes")[seed % 3], seed).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def serving_open_sources() -> Iterator[OpenSources]:
    told = OpenSources()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host = self.headers["Host"].split(":")[0]
            told.asked.append((host, self.path))
            parts = urlsplit(self.path)
            is_open = told.open_to_others and self.headers["Origin"] is not None
            kind, status = "application/json", 200
            if host == OPENVERSE and parts.path == "/v1/images/":
                status, content = told.openverse[0], json.dumps(told.openverse[1]).encode()
            elif host == COMMONS:
                status, content = told.commons[0], json.dumps(told.commons[1]).encode()
                # MediaWiki lets others read only what they ask for with this.
                is_open = is_open and dict(parse_qsl(parts.query)).get("origin") == "*"
            else:
                kind, content = "image/jpeg", picture_of(f"{host}{parts.path}")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if is_open:
                self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*HOSTS).configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A connection on which nothing comes yet holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    told.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
