"""A webhook on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Webhook:
    """A server that takes what is posted. `answers` are the statuses of the first requests; the rest get 204."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[dict] = field(default_factory=list)
    asked: int = 0

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.got]


@contextmanager
def listening(*answers: tuple[int, dict[str, str]]) -> Iterator[Webhook]:
    webhook = Webhook(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            webhook.asked += 1
            status, headers = webhook.answers.pop(0) if webhook.answers else (204, {})
            if status < 300:
                webhook.got.append(content)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook.url = f"http://127.0.0.1:{server.server_address[1]}/secret-token"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
