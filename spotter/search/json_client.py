"""A polite client for search services that answer in JSON."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2

from spotter.config import DownloadConfig
from spotter.errors import SourceThrottled, SourceUnavailable
from spotter.utils.http import FIRST_CONTACT, BackOff, retry_after

LONGEST_WAIT_S = 60.0
BACK_OFF = BackOff((1.0, 2.0), longest_s=LONGEST_WAIT_S, may_shorten=True)
RETRIES = BACK_OFF.attempts
MAX_ANSWER_BYTES = 20_000_000
THROTTLED = {202, 403, 429}


class JsonClient:
    """GETs JSON objects from one service: spaced requests, `Retry-After` obeyed, bounded retries, typed errors.

    Args:
        name: the service's name, for messages.
        per_minute: requests a minute that the service allows; they are spaced evenly.
        headers: more headers, such as a key; never shown in a message. With them, redirections are not followed.
        refusals: sentences that explain a status of this service, such as 422; such a status is not tried again.
        sleep, clock: for tests.
    """

    def __init__(
        self,
        name: str,
        per_minute: float,
        headers: Mapping[str, str] | None = None,
        *,
        refusals: Mapping[int, str] | None = None,
        timeout_s: float = 15.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._gap = 60.0 / per_minute
        self._sleep, self._clock = sleep, clock
        self._next = 0.0
        self._is_reached = False
        common = {"User-Agent": DownloadConfig().user_agent, "Accept": "application/json"}
        self._refusals = refusals or {}
        # httpx2 would hand any header but Authorization on to another host, and so a key.
        self._http = httpx2.Client(
            headers={**common, **(headers or {})}, timeout=timeout_s, follow_redirects=not headers
        )

    def get(self, url: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        """GET a JSON object.

        Raises:
            SourceThrottled: the service went on refusing (429, 403, 202) after `RETRIES` tries.
            SourceUnavailable: no connection, a time-out, another status than 200, no JSON object, or one of more
                than `MAX_ANSWER_BYTES`.
        """
        # `errors`: JSON and command lines can hold halves of characters, which cannot be sent.
        address = f"{url}?{urlencode(params, errors='replace')}" if params else url
        for attempt in range(RETRIES):
            self._wait_for_turn()
            try:
                with self._http.stream("GET", address) as response:
                    self._is_reached = True
                    if response.status_code == 200:
                        return self._parse(self._read(response))
            except httpx2.RequestError as error:
                self._is_reached |= not isinstance(error, httpx2.ConnectError)
                if not self._is_reached:
                    # Nobody was asked.
                    self._next = self._clock()
                pause = (BACK_OFF if self._is_reached else FIRST_CONTACT).pause(attempt)
                if pause is None:
                    raise SourceUnavailable(
                        f"{self.name} cannot be reached ({_reason(error)}); check the internet connection, or use "
                        "another --search."
                    ) from error
                self._sleep(pause)
                continue
            if response.status_code in self._refusals:
                raise SourceUnavailable(self._refusals[response.status_code])
            if response.status_code not in THROTTLED and response.status_code < 500:
                break
            pause = BACK_OFF.pause(attempt, retry_after(response.headers.get("Retry-After")))
            if pause is not None:
                self._sleep(pause)
        if response.status_code in THROTTLED:
            raise SourceThrottled(
                f"{self.name} refuses to answer (HTTP {response.status_code}): it was asked too often or needs a key; "
                "wait some minutes, or use another --search."
            )
        if response.status_code == 401:
            raise SourceUnavailable(f"{self.name} refuses the key, or needs one (HTTP 401).")
        raise SourceUnavailable(f"{self.name} answers with an error (HTTP {response.status_code}).")

    def _wait_for_turn(self) -> None:
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._gap

    def _read(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise SourceUnavailable(f"{self.name} answers with more than {MAX_ANSWER_BYTES // 1_000_000} MB.")
        return bytes(body)

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SourceUnavailable(f"{self.name} does not answer with JSON.") from error
        if not isinstance(content, dict):
            raise SourceUnavailable(f"{self.name} answers with JSON in an unknown format.")
        return content


def _reason(error: httpx2.RequestError) -> str:
    return "no answer in time" if isinstance(error, httpx2.TimeoutException) else "no connection"
