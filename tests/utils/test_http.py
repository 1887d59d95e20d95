"""Reading Retry-After, and the pauses between attempts."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from spotter.utils.http import BackOff, retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("7", 7.0), (" 86400 ", 86400.0), ("9" * 5000, math.inf)],
    ids=["none", "few", "a day, with spaces", "no end"],
)
def test_seconds(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "-5", "1.5", "\xb2", "\u0663", "Fri, 99 Nov 2026 10:00:00 GMT", "1 Jan 99999999999999999999"],
)
def test_what_is_neither_seconds_nor_a_date_asks_for_nothing(value: str | None) -> None:
    assert retry_after(value) is None


@pytest.mark.parametrize(("ahead", "least", "most"), [(120, 100, 120), (-3600, 0, 0)])
@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0200"])
def test_a_date(ahead: int, least: int, most: int, zone: str) -> None:
    offset = timedelta(hours=2) if zone == "+0200" else timedelta()
    then = datetime.now(UTC) + timedelta(seconds=ahead) + offset
    text = format_datetime(then.replace(tzinfo=None)).replace("-0000", zone)
    assert least <= (retry_after(text) or 0) <= most


def test_one_attempt_more_than_pauses() -> None:
    back_off = BackOff((1.0, 4.0))
    assert back_off.attempts == 3
    assert [back_off.pause(attempt) for attempt in range(3)] == [1.0, 4.0, None]
    assert (BackOff(()).attempts, BackOff(()).pause(0, asked=5.0)) == (1, None)


def test_a_service_may_ask_for_more_but_not_for_ever() -> None:
    back_off = BackOff((1.0, 4.0), longest_s=30.0)
    assert [back_off.pause(1, asked) for asked in (None, 0.0, 2.0, 7.0, math.inf)] == [4.0, 4.0, 4.0, 7.0, 30.0]


def test_a_service_may_ask_for_less_where_that_is_allowed() -> None:
    back_off = BackOff((1.0, 4.0), longest_s=30.0, may_shorten=True)
    assert [back_off.pause(1, asked) for asked in (None, 0.0, 2.0, 7.0, math.inf)] == [4.0, 0.0, 2.0, 7.0, 30.0]
