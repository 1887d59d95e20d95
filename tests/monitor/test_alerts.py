"""Alerts in words, and a webhook on this machine that gets each of them once."""

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from spotter.errors import LogUnwritable, WebhookFailed
from spotter.monitor.alerts import MEMORY, PAUSES_S, advice, send_new, sentence
from spotter.monitor.baseline import Share
from spotter.monitor.drift import BUDGET, ODDS, Change
from spotter.utils.http import TIMEOUT_S
from spotter.utils.text import short_percent
from tests.helpers.ports import deaf_port
from tests.helpers.webhook import listening

BLACK = Change("labels", "black", "r1", True, 900, 1_700_000_000, 850, 1_699_990_000, Share(300, 849), Share(33, 50))
DARK = Change("brightness", "", "", False, 950, 1_700_000_900, 940, 1_700_000_500, None, Share(6, 11))


def no_wait(seconds: float) -> None: ...


def test_an_alert_says_what_how_much_and_what_to_do() -> None:
    assert sentence(BLACK) == (
        "The answer “black” rose: 66 % of the last 50 (95 % interval 52 % to 78 %), 35 % before."
    )
    assert "“black” doubled" in sentence(replace(BLACK, after=Share(40, 50)))
    assert "“black” halved" in sentence(replace(BLACK, rose=False, after=Share(7, 50)))
    assert sentence(DARK).startswith("Pictures became darker: 55 % of the last 11 (95 % interval 28 % to 79 %)")
    assert "are darker than 19 of 20 before" in sentence(DARK)
    assert "brighter" in sentence(replace(DARK, rose=True))
    unsure = replace(BLACK, what="unfamiliar", label="", from_training=True)
    assert sentence(unsure).startswith("Not-sure answers rose: ")
    assert sentence(unsure).endswith("35 % in training.")
    assert sentence(replace(BLACK, what="errors")).startswith("Wrong answers “black” among those reviewed rose: ")
    assert sentence(replace(DARK, what="probability")).startswith("Answers became less sure: ")
    assert sentence(replace(DARK, what="pictures", rose=True)).startswith("The pictures show something else: ")
    for what in BUDGET:
        assert advice(replace(DARK, what=what))
        before = Share(1, 9) if what in ODDS else None
        assert "  " not in sentence(replace(DARK, what=what, before=before))
    # Nothing before is no division by nothing.
    assert "rose 198-fold: " in sentence(replace(BLACK, before=Share(0, 300)))
    assert "fell to a third or less: 0 % of" in sentence(replace(BLACK, rose=False, after=Share(0, 50)))


def test_percentages_neither_hide_a_little_nor_claim_all() -> None:
    shares = (0, 0.0004, 0.034, 0.0999, 0.1, 0.456, 0.999, 1)
    assert [short_percent(share) for share in shares] == [
        "0 %", "under 0.1 %", "3.4 %", "10.0 %", "10 %", "46 %", "99 %", "100 %",
    ]  # fmt: skip


def test_each_alert_is_sent_once(tmp_path: Path) -> None:
    with listening() as webhook:
        assert send_new([DARK, BLACK], webhook.url, tmp_path) == 2
        assert webhook.texts == [f"{sentence(change)} Advice: {advice(change)}." for change in (BLACK, DARK)]
        assert send_new([BLACK, DARK], webhook.url, tmp_path) == 0
        later = replace(BLACK, number=1200, at=BLACK.at + 90_000, rose=False)
        assert send_new([BLACK, DARK, later], webhook.url, tmp_path) == 1
        assert len(webhook.got) == 3
        assert webhook.got[0] == {
            "text": webhook.texts[0], "id": webhook.got[0]["id"], "what": "labels", "label": "black", "revision": "r1",
            "rose": True, "number": 900, "at": "2023-11-14T22:13:20+00:00", "since_number": 850,
            "since": "2023-11-14T19:26:40+00:00", "from_training": False,
            "before": {"count": 300, "total": 849, "share": 300 / 849, "interval": list(Share(300, 849).interval)},
            "after": {"count": 33, "total": 50, "share": 0.66, "interval": list(Share(33, 50).interval)},
        }  # fmt: skip
        assert len({each["id"] for each in webhook.got}) == 3
        with listening() as other:
            # Another webhook has heard of nothing yet.
            assert send_new([BLACK], other.url, tmp_path) == 1
    assert "secret-token" not in (tmp_path / MEMORY).read_text()


def test_a_log_that_was_begun_anew_has_news_again(tmp_path: Path) -> None:
    anew = replace(BLACK, number=210, at=BLACK.at + 500_000)
    with listening() as webhook:
        assert send_new([BLACK], webhook.url, tmp_path) == 1
        assert send_new([anew], webhook.url, tmp_path) == 1
        assert send_new([anew], webhook.url, tmp_path) == 0
        # Nor is a clock that was set back a reason to tell it twice, or not at all.
        later = replace(BLACK, number=901, at=BLACK.at - 500_000)
        assert send_new([BLACK, anew, later], webhook.url, tmp_path) == 1
        assert send_new([BLACK, anew, later], webhook.url, tmp_path) == 0


def test_what_is_old_is_no_news_later_either(tmp_path: Path) -> None:
    with listening() as webhook:
        assert send_new([BLACK, DARK], webhook.url, tmp_path, since=DARK.at) == 1
        assert send_new([BLACK, DARK], webhook.url, tmp_path) == 0
        assert [each["what"] for each in webhook.got] == ["brightness"]


def test_a_webhook_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    waits: list[float] = []
    with listening((503, {}), (429, {"Retry-After": "7"})) as webhook:
        assert send_new([BLACK], webhook.url, tmp_path, wait=waits.append) == 1
    assert waits == [PAUSES_S[0], 7]
    with listening((429, {"Retry-After": "86400"})) as webhook:
        assert send_new([BLACK], webhook.url, tmp_path, wait=waits.append) == 1
    assert waits[-1] == 30


def test_what_was_not_taken_is_sent_the_next_time(tmp_path: Path) -> None:
    with listening((204, {}), *[(500, {})] * 3) as webhook:
        with pytest.raises(WebhookFailed, match=r"127\.0\.0\.1 did not take an alert \(HTTP 500\)") as caught:
            send_new([BLACK, DARK], webhook.url, tmp_path, wait=no_wait)
        assert "secret-token" not in str(caught.value)
        assert webhook.asked == 1 + 1 + len(PAUSES_S)
        assert send_new([BLACK, DARK], webhook.url, tmp_path) == 1
        assert [each["what"] for each in webhook.got] == ["labels", "brightness"]


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(tmp_path: Path, status: int) -> None:
    with listening((status, {"Location": "/elsewhere"})) as webhook:
        with pytest.raises(WebhookFailed, match=rf"HTTP {status}\); check its address"):
            send_new([BLACK], webhook.url, tmp_path, wait=no_wait)
        assert webhook.asked == 1


def test_one_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < TIMEOUT_S <= 30
    monkeypatch.setattr("spotter.utils.http.TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(WebhookFailed, match=r"\(ReadTimeout\); run it again later"):
            send_new([BLACK], url, tmp_path, wait=no_wait)


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with deaf_port() as port, pytest.raises(WebhookFailed, match="ConnectError"):
        send_new([BLACK], f"http://127.0.0.1:{port}/", tmp_path, wait=no_wait)


@pytest.mark.parametrize(
    "url", ["", "file:///etc/passwd", "ftp://example.org", "hooks", "http://", "http://[x", "http://a:b/"]
)
def test_only_web_addresses_are_webhooks(tmp_path: Path, url: str) -> None:
    with pytest.raises(WebhookFailed, match="http:// or https://"):
        send_new([BLACK], url, tmp_path)


def test_without_a_memory_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / MEMORY).mkdir()
    with listening() as webhook:
        with pytest.raises(LogUnwritable, match="cannot be remembered"):
            send_new([BLACK], webhook.url, tmp_path)
        assert not webhook.asked


def test_a_damaged_memory_tells_twice_rather_than_never(tmp_path: Path) -> None:
    with listening() as webhook:
        send_new([BLACK], webhook.url, tmp_path)
        (tmp_path / MEMORY).write_text("{" + 2000 * "x")
        assert send_new([BLACK], webhook.url, tmp_path) == 1
        assert send_new([BLACK], webhook.url, tmp_path) == 0


def test_two_reports_at_once_send_each_alert_once(tmp_path: Path) -> None:
    changes = [replace(BLACK, number=number, at=BLACK.at + number) for number in range(1, 20)]
    with listening() as webhook:
        threads = [threading.Thread(target=send_new, args=(changes, webhook.url, tmp_path)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(each["number"] for each in webhook.got) == list(range(1, 20))
