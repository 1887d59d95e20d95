"""Alerts of events, posted to a webhook: each until it is taken, also after the program was stopped in between."""

import logging
import threading
from collections import deque
from contextlib import closing
from types import TracebackType
from typing import Any, Self

from spotter.camera.event_log import EventLog, Told
from spotter.utils.http import TIMEOUT_S, BackOff, Refusal, Webhook
from spotter.utils.text import short_percent

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 300.0
# Seconds to wait after each further failure, and from then on after each.
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, LONGEST_PAUSE_S)
BACK_OFF = BackOff(PAUSES_S, longest_s=LONGEST_PAUSE_S)


class AlertSender:
    """Posts alerts in a thread of its own, in their order, so that a webhook that hangs holds nothing up.

    After a failure it waits 1, 2, 4 ... seconds, up to 5 minutes, or as long as the webhook asks for. What was not
    taken when it ends is sent the next time. Only if the program is killed between the answer of the webhook and the
    note of it, an alert is sent a second time, with the same `Idempotency-Key`.
    """

    def __init__(self, url: str, log: EventLog) -> None:
        self.url = url
        self._log, self._waiting = log, deque(log.waiting)
        self._changed, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self.sent = 0

    def put(self, told: Told) -> None:
        """Add an alert."""
        with self._changed:
            self._waiting.append(told)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many were not taken yet."""
        return len(self._waiting)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give what waits one more chance, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(TIMEOUT_S + 1)

    def _work(self) -> None:
        failures = 0
        with closing(Webhook(self.url)) as webhook:
            while told := self._next():
                refusal = webhook.post(as_json(told), told.id)
                if refusal is None:
                    failures = 0
                    self._note(told)
                    continue
                failures += 1
                if failures == 1:
                    _log.warning("the webhook at %s did not take an alert (%s)", webhook.host, refusal.reason)
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, pause_after(failures, refusal))

    def _next(self) -> Told | None:
        """Wait for an alert; None when all are sent and it shall end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            return self._waiting[0] if self._waiting else None

    def _note(self, told: Told) -> None:
        try:
            self._log.sent(told)
        except OSError as error:
            # It was taken; after a restart it is sent again rather than never.
            _log.warning("that an alert was sent cannot be written down: %s", error.strerror)
        with self._changed:
            self._waiting.popleft()
            self.sent += 1


def pause_after(failures: int, refusal: Refusal) -> float | None:
    """The seconds to wait after so many failures in a row."""
    last = len(PAUSES_S) - 1
    return BACK_OFF.pause(last if refusal.is_final else min(failures - 1, last), refusal.asked_s)


def as_json(told: Told) -> dict[str, Any]:
    """An alert as a webhook gets it; `text` is what Slack and its like show."""
    row = {name: value for name, value in told.row.items() if name != "answer"}
    return {"text": sentence(told.row), **row, **(told.row["answer"] or {})}


def sentence(row: dict[str, Any]) -> str:
    """An event in words."""
    answer = row["answer"]
    where = f" at {row['camera']}" if row["camera"] else ""
    if not answer:
        return f"{row['start']}{where}: nothing that can be read."
    sure = f", {short_percent(answer['probabilities'][answer['closest']])}" if answer["familiar"] else ""
    decided = f"; decision: {answer['decision']}" if "decision" in answer else ""
    pictures = f"{row['shown']} of {row['pictures']} pictures" if row["pictures"] > 1 else "1 picture"
    return f"{row['start']}{where}: {answer['label']}{sure} ({pictures}; best: {row['best']}){decided}."
