"""A proxy on this machine that shows an app below a folder, as nginx, Caddy and Traefik do."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What is about one connection alone.
HOPS = {"connection", "transfer-encoding", "content-length", "host"}


@contextmanager
def below(folder: str, app: str) -> Iterator[tuple[str, list[str]]]:
    """Show the app at `app` below `folder`, such as "/bears"; its address there, and the paths asked for outside."""
    outside: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(f"{folder}/"):
                outside.append(self.path)
                self.send_error(404)
                return
            connection = http.client.HTTPConnection(urlsplit(app).netloc, timeout=240)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOPS}
            headers |= {"X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Prefix": folder}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection.request(self.command, self.path.removeprefix(folder), body or None, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOPS:
                    self.send_header(name, value)
            self.end_headers()
            while part := answer.read1(65536):
                self.wfile.write(part)
                self.wfile.flush()
            connection.close()

        do_GET = do_POST = pass_on

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{folder}", outside
    finally:
        server.shutdown()
        server.server_close()
