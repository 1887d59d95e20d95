"""A server of pictures on 127.0.0.1 that answers as it is told for each path."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USUAL_TRUST = ssl.create_default_context()
Route = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Route] = {"/ok": body(b"picture")}
        # Of pictures; what is asked of /robots.txt is kept apart.
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.rules_asked: list[dict[str, str]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/ok", host: str = "pictures.test", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in these tests; that is no error."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        headers = dict(self.headers)
        if self.path == "/robots.txt":
            self.server.rules_asked.append(headers)
        else:
            self.server.requests.append((self.path, headers))
        self.server.routes.get(self.path, status(404))(self)

    def send(self, code: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def body(content: bytes, **headers: str) -> Route:
    fields = {"Content-Length": str(len(content))} | {k.replace("_", "-"): v for k, v in headers.items()}
    return lambda handler: handler.send(200, fields, content)


def status(code: int, **headers: str) -> Route:
    fields = {"Content-Length": "0"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return lambda handler: handler.send(code, fields)


def redirect(location: str, code: int = 302) -> Route:
    return status(code, Location=location)


def in_turn(*routes: Route) -> Route:
    left = iter(routes)
    return lambda handler: next(left)(handler)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server() as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def rules(text: str) -> Route:
    return body(text.encode(), Content_Type="text/plain")
