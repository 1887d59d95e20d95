"""HTTP retries: Retry-After, and a back-off where the service names no time."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(value: str | None) -> float | None:
    """Read a Retry-After header.

    Returns:
        The seconds that it asks for, at least 0 and perhaps infinite; None where there is no header, or where it is
        neither a number nor a date.
    """
    told = (value or "").strip()
    # Not str.isdecimal() and the like: they take digits of other scripts, some of which are no numbers.
    if re.fullmatch(r"[0-9]+", told):
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True)
class BackOff:
    """How often to ask a service, and how long to wait in between.

    Args:
        pauses_s: the seconds before each further attempt, so there is one attempt more than pauses.
        longest_s: the longest pause, whatever the service asks for.
        may_shorten: wait only as long as the service asks for even where that is shorter than our own pause.
    """

    pauses_s: Sequence[float]
    longest_s: float = math.inf
    may_shorten: bool = False

    @property
    def attempts(self) -> int:
        """How often to ask at most."""
        return len(self.pauses_s) + 1

    def pause(self, attempt: int, asked: float | None = None) -> float | None:
        """The seconds to wait after a failed attempt; None after the last one.

        Args:
            attempt: counted from 0.
            asked: what `retry_after` read.
        """
        if attempt >= len(self.pauses_s):
            return None
        pause = self.pauses_s[attempt]
        if asked is not None:
            pause = asked if self.may_shorten else max(asked, pause)
        return min(pause, self.longest_s)
