"""Runs the app with uvicorn: the address to listen on, connections with limits, graceful shutdown."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from spotter.config import ServeConfig
from spotter.errors import PortUnavailable
from spotter.serve.failures import FEW
from spotter.serve.limits import BUSY_S, Pool, Traffic, client_name
from spotter.serve.middleware import HEALTH

_log = logging.getLogger(__name__)

PATIENCE_S = 15.0
NOSNIFF = (b"x-content-type-options", b"nosniff")
# Beyond `max_connections`, for health checks alone.
SPARE_CONNECTIONS = 50


class Connections:
    """The connections of all clients. Whoever gets no further one may still look whether the app works."""

    def __init__(self, config: ServeConfig) -> None:
        self._behind_proxy = config.behind_proxy
        self._usual, self._spare = Pool(config.max_connections), Pool(SPARE_CONNECTIONS)

    def take(self, peer: str) -> "Place | None":
        """Count one more connection; None when there is no room for it."""
        client = client_name(peer, Headers(), behind_proxy=False)
        for pool in (self._usual, self._spare):
            # A proxy holds the connections of everybody.
            if pool.total < pool.most if self._behind_proxy else pool.has_room(client):
                pool.take(client)
                return Place(pool, client, pool is self._spare)
        return None


@dataclass(frozen=True)
class Place:
    """Where a connection is counted; a `spare` one is for health checks alone."""

    pool: Pool
    client: str
    is_spare: bool

    def give_back(self) -> None:
        """Count it no more."""
        self.pool.give_back(self.client)


class Connection(H11Protocol):
    """Ends when the headers of a request do not arrive, when an answer is not read, or when the body of a request goes
    on long after it was answered.

    uvicorn waits for all of them without end, and counts nobody's connections. Its faster parser also takes headers
    without end, so this builds on the other. It uses what uvicorn does not document; a test names all of it, and fails
    when uvicorn changes.
    """

    patience_s = PATIENCE_S
    _seen: RequestResponseCycle | None = None
    _unread, _has_moved = 0, False
    _timer: asyncio.TimerHandle | None = None
    _place: Place | None = None

    def __init__(self, *words: Any, connections: Connections, **more: Any) -> None:
        super().__init__(*words, **more)
        self._counted = connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._place = self._counted.take(self.client[0] if self.client else "")
        if self._place is None:
            transport.write(NO_ROOM)
            transport.close()
        elif self._place.is_spare:
            self.app = _HealthOnly(self.app)
        self._timer = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._place:
            self._place.give_back()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say what uvicorn says, in JSON as all else."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": "This is no HTTP request."}).encode()
            length = (b"content-length", str(len(body)).encode())
            headers = [(b"content-type", b"application/json"), length, (b"connection", b"close"), NOSNIFF]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        # Else it was answered before it went wrong.
        self.transport.close()

    def resume_writing(self) -> None:
        self._has_moved = True
        super().resume_writing()

    def _look(self) -> None:
        unread = self.transport.get_write_buffer_size()
        is_answered = self.cycle is None or self.cycle.response_complete
        is_unfinished = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if unread and unread == self._unread and not self._has_moved:
            # Nothing was read since the last look; to close it would wait for that without end.
            self.transport.abort()
            return
        if is_answered and is_unfinished and self.cycle is self._seen:
            # Nothing new since the last look.
            self.transport.close()
        self._seen, self._unread, self._has_moved = self.cycle, unread, False
        self._timer = self.loop.call_later(self.patience_s, self._look)


class _HealthOnly:
    """What stands before the app on a connection that is only there for health checks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            busy = JSONResponse({"error": CROWDED}, 503, {"Retry-After": str(BUSY_S), "Connection": "close"})
            await busy(scope, receive, send)
        else:
            await self._app(scope, receive, send)


CROWDED = "Too many connections at once; try again in a moment."
_TOLD = json.dumps({"error": CROWDED}).encode()
NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"x-content-type-options: nosniff\r\nretry-after: %d\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (BUSY_S, len(_TOLD), _TOLD)
)


def listen(host: str, port: int) -> socket.socket:
    """Take an address of this machine.

    Raises:
        PortUnavailable: it is taken or not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortUnavailable(
            f"Cannot listen on {host} port {port}; choose another port, or stop what is using it."
        ) from error
    return listener


# Windows has no SIGHUP, which tells that the terminal was closed, or the connection to it lost.
ENDS = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
# A client asks first and fetches the answer with another request.
QUIET_S = 0.3


class Running:
    """An app that is served in a thread of its own, so that the main one can go on with what else it needs."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        """Raises PortUnavailable: the address is taken or not ours."""
        self._listener = listen(config.host, config.port)
        self._address = self._listener.getsockname()
        self._server = _Server(uvicorn_settings(app, config), config.stop_s)
        self._is_told = False
        self.is_to_end = False
        self._failure: BaseException | None = None
        # Not the thread's `join`: Python 3.11 takes a thread for ended when a signal interrupts that.
        self._ended = threading.Event()
        # What is written to one end wakes the thread that waits.
        self._heard, self.bell = socket.socketpair()
        self.bell.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        self._server.is_up.wait()

    @property
    def is_stopping(self) -> bool:
        return self._server.should_exit

    def announce(self, notice: str = "") -> None:
        """Print the address, once; log a notice for whoever runs the app."""
        if not self._is_told:
            host, port = self._address[:2]
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
            print(f"http://{shown}:{port}", flush=True)
            self._is_told = True
        if notice:
            _log.warning("%s", notice)

    def wait(self, for_s: float | None = None) -> bool:
        """Wait until it is to stop, or for so many seconds; return whether they are over.

        Raises:
            SystemExit: SIGTERM came before, in the middle of code that lets nothing out, as libraries have while they
                are imported.
        """
        if self.is_to_end:
            sys.exit(0)
        with contextlib.suppress(KeyboardInterrupt):
            return not self._wait(for_s)
        return False

    def stop(self) -> None:
        """Finish what was asked; with Ctrl-C, stop at once.

        Raises:
            Whatever ended it before.
        """
        self._server.should_exit = True
        while self._thread.ident is not None and not self._ended.is_set():
            try:
                self._wait()
            except KeyboardInterrupt:
                self._server.force_exit = True
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """Give back what it waits by, once it has ended."""
        self._listener.close()
        self._heard.close()
        self.bell.close()

    def _wait(self, for_s: float | None = None) -> bool:
        # Not by the event: the system may hand a signal to any thread, and Python's main one, in which it is handled,
        # would sleep on. It writes to the bell then.
        end = None if for_s is None else time.monotonic() + for_s
        while not self._ended.is_set():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._heard.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._heard.recv(64)
        return True

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except BaseException as error:  # noqa: BLE001  (raised again by `stop`)
            self._failure = error
        finally:
            self._listener.close()
            self._server.is_up.set()
            self._ended.set()
            with contextlib.suppress(OSError):
                # It has rung often enough, or nobody listens any more.
                self.bell.send(b"\0")


@contextlib.contextmanager
def running(app: ASGIApp, config: ServeConfig) -> Iterator[Running]:
    """Serve an app while the block lasts. SIGTERM and SIGHUP end the block as `sys.exit(0)` does.

    Raises:
        PortUnavailable: the address is taken or not ours.
    """
    server = Running(app, config)

    def end(*_: object) -> None:
        server.is_to_end = True
        if not server.is_stopping:
            sys.exit(0)

    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        if threading.current_thread() is threading.main_thread():
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(server.bell.fileno(), warn_on_full_buffer=False))
            for number in ENDS:
                # Whoever starts it with nohup wants it to outlive the terminal.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, end))
        stack.callback(server.stop)
        # Whoever has an answer may end this process already.
        server.start()
        yield server


def serve(app: ASGIApp, config: ServeConfig) -> None:
    """Serve an app that is whole until SIGTERM or Ctrl-C; print the address once it can be asked.

    Raises:
        PortUnavailable: the address is taken or not ours.
    """
    with running(app, config) as server:
        server.announce()
        server.wait()


def uvicorn_settings(
    app: ASGIApp, config: ServeConfig, *, log_level: str = "warning", grace_s: int = 3
) -> uvicorn.Config:
    """How uvicorn serves an app of ours; when it stops, it waits `grace_s` seconds for what is not answered."""
    settings = uvicorn.Config(
        app,
        http=partial(Connection, connections=Connections(config)),  # type: ignore[arg-type]
        ws="none",
        # It would take the address of a client from a header that anybody on this machine can send, and then pass it on
        # as the one that connects. `client_name` alone decides on that.
        proxy_headers=False,
        port=config.port,
        lifespan="on",
        log_level=log_level,
        timeout_graceful_shutdown=grace_s,
    )
    logging.getLogger("uvicorn.error").addFilter(FEW)
    return settings


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config, stop_s: float) -> None:
        super().__init__(settings)
        self.is_up = threading.Event()
        self._stop_s = stop_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = getattr(self.config.app, "state", None)
        traffic = getattr(state, "traffic", None)
        if traffic:
            traffic.stopping = True
        # Every open page holds a connection that Gradio ends only when told.
        end_streams = getattr(state, "end_streams", None)
        if end_streams:
            end_streams()
        if traffic:
            await self._finish(traffic)
        await super().shutdown(sockets)

    async def _finish(self, traffic: Traffic) -> None:
        # The answer to a question through Gradio is fetched by a second request, so connections are still accepted.
        last_busy, end = time.monotonic(), time.monotonic() + self._stop_s
        while last_busy + QUIET_S > (now := time.monotonic()) and now < end and not self.force_exit:
            if traffic.is_busy:
                last_busy = now
            await asyncio.sleep(0.02)
