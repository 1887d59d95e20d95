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
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from gradio.routes import App
from starlette.routing import Mount
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from spotter.config import ServeConfig
from spotter.errors import PortUnavailable
from spotter.serve.limits import Traffic

_log = logging.getLogger(__name__)

PATIENCE_S = 15.0


class Connection(H11Protocol):
    """Ends when the headers of a request do not arrive, or when its body goes on long after it was answered.

    uvicorn waits for both without end. Its faster parser also takes headers without end, so this builds on the other.
    """

    patience_s = PATIENCE_S
    _seen: RequestResponseCycle | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say what uvicorn says, in JSON as all else."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": "This is no HTTP request."}).encode()
            length = (b"content-length", str(len(body)).encode())
            headers = [(b"content-type", b"application/json"), length, (b"connection", b"close")]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        # Else it was answered before it went wrong.
        self.transport.close()

    def _look(self) -> None:
        is_answered = self.cycle is None or self.cycle.response_complete
        is_unfinished = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if is_answered and is_unfinished and self.cycle is self._seen:
            # Nothing new since the last look.
            self.transport.close()
            return
        self._seen = self.cycle
        self._timer = self.loop.call_later(self.patience_s, self._look)


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


# Below the 1,024 files that a process may usually have open.
MOST_CONNECTIONS = 800
# A client asks first and fetches the answer with another request.
QUIET_S = 0.3


def serve(app: FastAPI, config: ServeConfig, for_s: float | None = None, notice: str = "") -> bool:
    """Serve until SIGTERM or Ctrl-C; print the address once, when the first request can be answered.

    Args:
        for_s: stop after so many seconds.
        notice: a line for whoever runs the app, logged once it runs.

    Returns:
        Whether it stopped because they were over.

    Raises:
        PortUnavailable: the address is taken or not ours.
    """
    listener = listen(config.host, config.port)
    settings = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=3,
        limit_concurrency=MOST_CONNECTIONS,
        lifespan="on",
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it is done: without this the process would end as if killed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = _Server(settings, listener.getsockname(), config.stop_s, for_s, notice)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return server.is_over


class _Server(uvicorn.Server):
    def __init__(
        self, settings: uvicorn.Config, address: tuple[Any, ...], stop_s: float, for_s: float | None, notice: str
    ) -> None:
        super().__init__(settings)
        self.is_over = False
        self._address, self._stop_s, self._for_s, self._notice = address, stop_s, for_s, notice

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self._address[:2]
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
            print(f"http://{shown}:{port}", flush=True)
            if self._notice:
                _log.warning("%s", self._notice)
            if self._for_s is not None:
                asyncio.get_running_loop().call_later(self._for_s, self._end)

    def _end(self) -> None:
        if not self.should_exit:
            self.is_over = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Every open page holds a connection that Gradio ends only when told.
        for inner in gradio_apps_in(self.config.app):
            inner.stop_event.set()
        traffic = getattr(getattr(self.config.app, "state", None), "traffic", None)
        if traffic:
            await self._finish(traffic)
        await super().shutdown(sockets)

    async def _finish(self, traffic: Traffic) -> None:
        # The answer to a question through Gradio is fetched by a second request, so connections are still accepted.
        traffic.stopping = True
        last_busy, end = time.monotonic(), time.monotonic() + self._stop_s
        while last_busy + QUIET_S > (now := time.monotonic()) and now < end and not self.force_exit:
            if traffic.is_busy:
                last_busy = now
            await asyncio.sleep(0.02)


def gradio_apps_in(app: Any) -> list[App]:
    routes = [route for route in getattr(app, "routes", []) if isinstance(route, Mount)]
    return [route.app for route in routes if isinstance(route.app, App)]
