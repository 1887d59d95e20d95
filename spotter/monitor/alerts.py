"""Drift alerts in words, and their way to a webhook: each once, also when it could not be reached for a while."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spotter.errors import LogUnwritable, WebhookFailed
from spotter.monitor.baseline import Share
from spotter.monitor.drift import Change
from spotter.utils.http import BackOff, Webhook
from spotter.utils.locks import LockedFile, write_all
from spotter.utils.text import short_percent

MEMORY = "alerts-told.json"
# Seconds to wait before each further attempt, and the longest that a server may ask for instead.
PAUSES_S = (1.0, 4.0)
LONGEST_PAUSE_S = 30.0
BACK_OFF = BackOff(PAUSES_S, longest_s=LONGEST_PAUSE_S)

# What became of the pictures: when a figure rose, and when it fell.
_BECAME = {
    "brightness": ("brighter", "darker"),
    "contrast": ("richer in contrast", "flatter"),
    "colourfulness": ("more colourful", "less colourful"),
    "sharpness": ("sharper", "more blurred"),
    "familiarity": ("more like those learnt from", "less like those learnt from"),
    "probability": ("surer", "less sure"),
}
_ADVICE = {
    "errors": "read the latest reviews, and go back with spotter rollback if it began with this revision",
    "unfamiliar": "look at the pictures that arrive; if the model should know them, collect such pictures and "
    "train again",
    "colourfulness": "check the camera, or whatever sends the pictures",
    "brightness": "check the camera and the light; if it stays like this, collect such pictures and train again",
    "contrast": "check the camera, or whatever sends the pictures",
    "sharpness": "check the camera's lens and how the pictures are scaled before they are sent",
    "labels": "have some of these answers reviewed, to see whether the world has changed or the model is wrong",
    "familiarity": "have some of the latest answers reviewed; if they are wrong, collect such pictures and train again",
    "probability": "have some of the latest answers reviewed",
    "pictures": "look at the pictures that arrive, and have some of the latest answers reviewed",
}
# The first of several alerts to act on.
URGENCY = tuple(_ADVICE)


def sentence(change: Change) -> str:
    """What changed, by how much, and compared with what."""
    then = "in training" if change.from_training else "before"
    after = f"{short_percent(change.after.value)} of the last {change.after.total}"
    low, high = change.after.interval
    interval = f"95 % interval {short_percent(low)} to {short_percent(high)}"
    if change.before is None:
        more, less = _BECAME.get(change.what, ("", ""))
        word = more if change.rose else less
        if change.what == "pictures":
            return f"The pictures show something else: {after} ({interval}) lie where 1 of 20 lay {then}."
        subject = "Answers" if change.what == "probability" else "Pictures"
        return f"{subject} became {word}: {after} ({interval}) are {word} than 19 of 20 {then}."
    change_of = (
        f"{_moved(change.before, change.after)}: {after} ({interval}), {short_percent(change.before.value)} {then}."
    )
    if change.what == "labels":
        return f"The answer “{change.label}” {change_of}"
    if change.what == "errors":
        of = f" “{change.label}”" if change.label else ""
        return f"Wrong answers{of} among those reviewed {change_of}"
    return f"Not-sure answers {change_of}"


def advice(change: Change) -> str:
    """What to do about it, as a part of a sentence."""
    return _ADVICE[change.what]


def send_new(
    changes: Sequence[Change], url: str, folder: Path, since: int = 0, wait: Callable[[float], None] = time.sleep
) -> int:
    """Post the alerts that this webhook was not told yet, oldest first, and remember them beside the log in `folder`.

    Args:
        since: what was noticed before this time (seconds since 1970) is no news.

    Returns:
        How many were sent.

    Raises:
        WebhookFailed: the address is none, or it does not take them; those left are sent the next time.
        LogUnwritable: what was sent cannot be remembered.
    """
    # The address may hold a secret.
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    sent = 0
    with closing(Webhook(url)) as webhook, closing(_Memory(folder)) as memory:
        told = memory.known.setdefault(name, {})
        # Tried before anything is sent: what cannot be remembered would be sent again each time.
        memory.save()
        for change in sorted(changes, key=lambda change: change.at):
            test = f"{change.what} {change.label} {change.revision}".rstrip()
            number, at = told.get(test, (0, 0))
            # By the clock too: a log that was begun anew counts from 1 again.
            if change.number > number or change.at > at:
                if change.at >= since:
                    _post(webhook, as_json(change), wait)
                    sent += 1
                told[test] = (max(number, change.number), max(at, change.at))
                memory.save()
    return sent


def as_json(change: Change) -> dict[str, Any]:
    """An alert as a webhook gets it; `text` is what Slack and its like show."""
    told = asdict(change)
    for name in ("before", "after"):
        share = getattr(change, name)
        told[name] = _share_json(share) if share else None
    for name in ("at", "since"):
        told[name] = datetime.fromtimestamp(told[name], UTC).isoformat()
    key = f"{change.what} {change.label} {change.revision} {change.number}"
    about = {
        "text": f"{sentence(change)} Advice: {advice(change)}.",
        "id": hashlib.sha256(key.encode()).hexdigest()[:16],
    }
    return about | told


def _moved(before: Share, after: Share) -> str:
    # Of something that was never seen before, one is not many times as much.
    times = after.value / max(before.value, 1 / max(before.total, 1))
    if 0.5 < times < 2:
        return "rose" if times >= 1 else "fell"
    if 1 / 3 < times < 3:
        return "doubled" if times > 1 else "halved"
    return f"rose {times:.0f}-fold" if times > 1 else "fell to a third or less"


def _share_json(share: Share) -> dict[str, Any]:
    return {"count": share.count, "total": share.total, "share": share.value, "interval": share.interval}


def _post(webhook: Webhook, content: dict[str, Any], wait: Callable[[float], None]) -> None:
    reason, advised = "", "run it again later"
    for attempt in range(BACK_OFF.attempts):
        refusal = webhook.post(content)
        if refusal is None:
            return
        reason = refusal.reason
        if refusal.is_final:
            advised = "check its address"
            break
        pause = BACK_OFF.pause(attempt, refusal.asked_s)
        if pause is not None:
            wait(pause)
    raise WebhookFailed(f"The webhook at {webhook.host} did not take an alert ({reason}); {advised}.")


def _pairs(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Of each webhook and test the highest number and the latest time of what was told."""
    return {name: {test: (int(number), int(at)) for test, (number, at) in told.items()} for name, told in known.items()}


class _Memory:
    """Which alerts were told to whom, in a file that one process at a time may use."""

    def __init__(self, folder: Path) -> None:
        try:
            self._locked = LockedFile(folder / MEMORY, permissions=0o644)
            content = self._locked.file.readall()
        except OSError as error:
            raise LogUnwritable(f"The alerts that were sent cannot be remembered: {error.strerror}.") from error
        try:
            self.known: dict[str, dict[str, tuple[int, int]]] = _pairs(json.loads(content)) if content else {}
        except (ValueError, TypeError, AttributeError):
            # Cut short by a full disk or a power failure: an alert told twice is better than one never told.
            self.known = {}

    def save(self) -> None:
        content = json.dumps(self.known).encode()
        try:
            self._locked.file.seek(0)
            write_all(self._locked.file, content)
            self._locked.file.truncate()
            os.fsync(self._locked.file.fileno())
        except OSError as error:
            raise LogUnwritable(f"The alerts that were sent cannot be remembered: {error.strerror}.") from error

    def close(self) -> None:
        self._locked.close()
