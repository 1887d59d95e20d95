"""The address to listen on, and HTTP connections that nobody can hold for nothing."""

import asyncio
import json
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from spotter.errors import PortUnavailable

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
