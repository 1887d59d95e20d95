"""What robots.txt and X-Robots-Tag say, without a network; test_download.py has them obeyed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from spotter.collect.robots import MAX_BYTES, MAX_ORIGINS, MAX_TEXT, RobotsCache, Rules, forbids, parse_rules


@pytest.mark.parametrize(
    "tag",
    [
        "noai",
        "noimageai",
        "noindex",
        "NoImageIndex",
        "none",
        "nofollow , NOAI",
        "spotter: noai",
        "Spotter:noai",
        "SPOTTER : nofollow, noai",
        "*: noai",
        "otherbot: noindex, spotter: noai",
        "otherbot: noindex, *: nofollow, none",
        "max-snippet: 10, noai",
        "max-image-preview: none, noindex",
        "max-video-preview: 0,none",
        "spotter: max-image-preview: large, noai",
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
        "unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai",
        "spotter: unavailable_after: 2010-06-25T15:00:00Z, noimageai",
    ],
)
def test_tags_that_forbid(tag: str) -> None:
    assert forbids([tag], "Spotter")
    assert forbids(["nofollow", tag], "Spotter")
    # The scope of a prefix ends with its line.
    assert forbids(["otherbot: nofollow", tag], "Spotter")


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "all",
        ",,:",
        "nofollow, noarchive",
        "noaid, unnoai",
        "otherbot: noai",
        "otherbot: nofollow, noai, none",
        "otherbot: noai, thirdbot: noindex",
        "spotter: nofollow, otherbot: noai",
        "spotterbot: noai",
        "otherbot: max-snippet: 10, noai",
        "max-image-preview: none",
        "max-image-preview:none",
        "max-snippet: 10",
        "max-video-preview: 0",
        "Max-Image-Preview: None",
        "spotter: max-image-preview: none",
        "unavailable_after: 25 Jun 2010 15:00:00 PST",
    ],
)
def test_tags_that_do_not_forbid(tag: str) -> None:
    assert not forbids([tag, tag], "Spotter")


def test_no_tags_forbid_nothing() -> None:
    assert not forbids([], "Spotter")


@pytest.mark.parametrize(
    ("text", "target", "allowed"),
    [
        ("", "/a", True),
        ("<html><body>Disallow: /</body></html>", "/a", True),
        ("\x00\xff\x80", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/a", False),
        ("user-agent:*\r\ndisallow:/a", "/abc?d", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /\nAllow: /pictures/", "/pictures/a.jpg", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.jpg$", "/b/a.jpg", False),
        ("User-agent: *\nDisallow: /*.jpg$", "/b/a.jpg?x", True),
        ("User-agent: *\nDisallow: /*?size=", "/a?size=3", False),
        ("User-agent: *\nDisallow: /b%C3%A4r", "/b%c3%a4r.jpg", False),
        ("User-agent: *\nDisallow: //a", "//a/b", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Spotter\nDisallow: /b", "/a", True),
        ("User-agent: *\nDisallow: /b\n\nUser-agent: SPOTTER\nDisallow: /a", "/a", False),
        ("User-agent: spotter # us\nDisallow: /a", "/a", False),
        ("User-agent: Spotter/0.1\nDisallow: /a", "/a", False),
        ("User-agent: one\nUser-agent: spotter\nUser-agent: two\nDisallow: /a", "/a", False),
        (
            "User-agent: spotter\nDisallow: /a\nUser-agent: one\nDisallow: /b\nUser-agent: spotter\nDisallow: /c",
            "/c",
            0,
        ),
        ("User-agent: one\nDisallow: /", "/a", True),
        ("User-agent: spot\nDisallow: /", "/a", True),
        ("User-agent: spotterbot\nDisallow: /", "/a", True),
        ("User-agent: spot\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a", False),
        ("#User-agent: *\nDisallow: /", "/a", True),
        ("User-agent: *\nCrawl-delay: 3600", "/a", True),
    ],
)
def test_rules(text: str, target: str, allowed: bool) -> None:
    assert parse_rules(text.encode("utf-8", "surrogateescape"), "Spotter").allows(target, "Spotter") is bool(allowed)


def test_only_the_first_part_counts_and_no_half_line() -> None:
    start = b"User-agent: *\nDisallow: /early\n#"
    filler = b"x" * (MAX_BYTES - len(start) - len(b"\nDisallow: /"))
    rules = parse_rules(start + filler + b"\nDisallow: /late\nDisallow: /later\n", "Spotter")
    assert not rules.allows("/early", "Spotter")
    assert rules.allows("/late", "Spotter")
    assert rules.allows("/other", "Spotter")


def test_many_agents_with_many_rules_are_read_quickly() -> None:
    agents = "".join(f"User-agent: bot{n}\n" for n in range(12_000))
    text = agents + "".join(f"Disallow: /{n}\n" for n in range(12_000)) + "User-agent: *\nDisallow: /a\n"
    # That of this thread: others may have the machine meanwhile.
    started = time.thread_time()
    rules = parse_rules(text.encode(), "Spotter")
    assert not rules.allows("/a", "Spotter")
    assert rules.allows("/1", "Spotter")
    assert time.thread_time() - started < 15


def test_rules_are_fetched_once_even_when_all_ask_at_once() -> None:
    asked: list[str] = []
    go = threading.Event()

    def fetch(address: str) -> Rules:
        asked.append(address)
        assert go.wait(240)
        return Rules(error=address)

    cache = RobotsCache(fetch)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(cache.get, address) for address in "abab" * 2]
        while len(asked) < 2:
            time.sleep(0.01)
        go.set()
        assert [future.result().result().error for future in futures] == list("abab" * 2)
    assert sorted(asked) == ["a", "b"]


def test_the_longest_unused_rules_are_forgotten() -> None:
    asked: list[str] = []

    def fetch(address: str) -> Rules:
        asked.append(address)
        return Rules()

    cache = RobotsCache(fetch)
    for number in range(MAX_ORIGINS):
        cache.get(str(number))
    cache.get("0")
    cache.get("one more")
    assert len(asked) == MAX_ORIGINS + 1
    cache.get("0")
    assert len(asked) == MAX_ORIGINS + 1
    cache.get("1")
    assert asked[-1] == "1"


def test_long_rules_are_forgotten_sooner() -> None:
    asked: list[str] = []

    def fetch(address: str) -> Rules:
        asked.append(address)
        return Rules(size=MAX_TEXT // 4)

    cache = RobotsCache(fetch)
    for address in "abcd" * 2 + "ea":
        cache.get(address)
    assert "".join(asked) == "abcdea"
