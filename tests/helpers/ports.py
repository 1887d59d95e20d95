"""Ports that nothing else on this machine takes before a test does."""

import contextlib
import os
import secrets
import socket
from collections import deque
from collections.abc import Iterator

# Below those that systems give to whoever asks for any port, and to each connection that leaves: one of these could be
# somebody's a moment later. Each of the processes that run tests takes every sixteenth, so that no two choose the same.
LOWEST, HIGHEST, SHARE = 20_000, 32_000, 16
# What was given out may not be listened on yet.
_given: deque[int] = deque(maxlen=100)


def free_port(*hosts: str) -> int:
    """A port that nothing listens on at these addresses; at 127.0.0.1, if none are named."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARE
    left = [port for port in range(LOWEST + worker, HIGHEST, SHARE) if port not in _given]
    while left:
        port = left.pop(secrets.randbelow(len(left)))
        if _is_free(port, hosts or ("127.0.0.1",)):
            _given.append(port)
            return port
    raise RuntimeError(f"There is no free port at {hosts}.")


def _is_free(port: int, hosts: tuple[str, ...]) -> bool:
    with contextlib.ExitStack() as stack:
        for host in hosts:
            probe = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which every connection is refused: it is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
