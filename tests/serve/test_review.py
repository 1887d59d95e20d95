"""The pages for staff: an index of what can be done, and answers handed out for review, one to each person."""

import contextlib
import re
from pathlib import Path

import httpx2
import pytest

from spotter.config import ServeConfig
from spotter.errors import QueueUnwritable
from spotter.monitor.log import add_answers, read_answers
from spotter.rollout.review_queue import Outcome, Waiting, WaitingFolder
from spotter.serve.app import create_app
from spotter.serve.service import AppOptions, ModelInfo
from spotter.serve.staff.review import KEYS, LEASE_S, Desk
from tests.helpers.answers import make_answers
from tests.helpers.pictures import BLUE, GREY, LABELS, RED, encode, plain, predict_by_color, serving
from tests.helpers.proxy import below
from tests.helpers.rolling import PASSWORD, rolling


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def waiting_in(folder: Path, count: int) -> tuple[WaitingFolder, list[str]]:
    """A queue of answers to red pictures, and their tickets in the order in which they are handed out."""
    add_answers(folder, make_answers(count))
    queue = WaitingFolder(folder, "r-1")
    for number in range(1, count + 1):
        queue.add(plain(RED), predict_by_color(plain(RED)), f"{number:016x}")
    return queue, [entry.ticket for entry, _ in queue.read()]


def given(desk: Desk, name: str) -> str | None:
    entry, _ = desk.hand_out(name)
    return entry.ticket if entry else None


def test_two_people_get_two_pictures_until_the_time_is_over(tmp_path: Path) -> None:
    queue, (first, second) = waiting_in(tmp_path, 2)
    clock = Clock()
    desk = Desk(queue, LABELS, clock)
    assert [given(desk, name) for name in ("anna", "ben", "anna", "ben")] == [first, second, first, second]
    assert desk.hand_out("carl") == (None, 2)
    clock.now += LEASE_S - 1
    assert given(desk, "anna") == first
    clock.now += 2
    # Anna asked again meanwhile, and Ben did not.
    assert given(desk, "carl") == second
    assert desk.hand_out("ben") == (None, 2)
    assert desk.decide("anna", first, "grizzly")
    assert desk.hand_out("anna") == (None, 1)


def test_the_last_decision_can_be_taken_back_by_who_made_it(tmp_path: Path) -> None:
    queue, (first, second) = waiting_in(tmp_path, 2)
    desk = Desk(queue, LABELS)
    picture = queue.picture(first)
    assert given(desk, "anna") == first
    assert desk.decide("anna", first, "black")
    assert list(tmp_path.rglob("*.jpg")) == [tmp_path / "waiting" / second / "picture.jpg"]
    # Of two that came in the same second, either may be first.
    assert sorted(read_answers(tmp_path).right.tolist()) == ["", "black"]
    assert not desk.take_back("ben")
    assert desk.take_back("anna")
    assert isinstance(queue.find(first), Waiting)
    assert queue.picture(first) == picture
    assert read_answers(tmp_path).review.tolist() == [0, 0]
    assert (given(desk, "ben"), given(desk, "anna")) == (second, first)
    assert not desk.take_back("anna")
    assert desk.decide("anna", first, None)
    found = queue.find(first)
    assert isinstance(found, Outcome)
    assert found.said is None
    assert sorted(read_answers(tmp_path).right.tolist()) == ["", "none of these"]


def test_on_a_full_disk_a_decision_stands_and_can_be_taken_back_later(small_disk: Path) -> None:
    queue, (ticket,) = waiting_in(small_disk, 1)
    desk = Desk(queue, LABELS)
    picture = queue.picture(ticket)
    assert desk.decide("anna", ticket, "black")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(QueueUnwritable, match="No space left"):
        desk.take_back("anna")
    found = queue.find(ticket)
    assert isinstance(found, Outcome)
    assert found.said == "black"
    assert desk.can_take_back("anna")
    filler.unlink()
    assert desk.take_back("anna")
    assert isinstance(queue.find(ticket), Waiting)
    assert queue.picture(ticket) == picture
    assert list((small_disk / "answered").iterdir()) == []
    assert not desk.take_back("anna")


def test_after_a_while_a_decision_stands(tmp_path: Path) -> None:
    queue, (first,) = waiting_in(tmp_path, 1)
    desk = Desk(queue, LABELS)
    assert desk.decide("anna", first, "black")
    desk.forget(first)
    assert not desk.can_take_back("anna")
    assert not desk.take_back("anna")
    assert not desk.decide("anna", first, "teddy")


def buttons(page: str) -> dict[str, tuple[str, str]]:
    """The label and the key of each button that decides, by what it sends."""
    found = re.findall(r'<button name="said" value="(\w+)" data-key="(\w)"[^>]*>\s*<(?:bdi|span)>([^<]*)<', page)
    return {value: (label, key) for value, key, label in found}


def test_below_a_folder_of_a_proxy_the_staff_pages_stay_there(tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app, below("/bears", app.url) as (address, outside):
        sent = httpx2.post(f"{address}/api/classify?consent=yes", content=encode(plain(RED)))
        with httpx2.Client(auth=("", PASSWORD)) as client:
            index = client.get(f"{address}/staff").text
            assert re.findall('<a href="([^"]*)"', index) == ["/bears/staff/review", "/bears/healthz"]
            page = client.get(f"{address}/staff/review")
            assert "; Path=/bears/staff/review;" in page.headers["set-cookie"]
            assert f'src="/bears/staff/review/{sent.json()["ticket"]}.jpg"' in page.text
            assert set(re.findall('(?:href|action)="([^"]*)"', page.text)) == {"/bears/staff/", "/bears/staff/review"}
            told = client.post(f"{address}/staff/review", data={"ticket": sent.json()["ticket"], "said": "0"})
            assert (told.status_code, told.headers["location"]) == (303, "/bears/staff/review?told=1")
            assert 'name="undo"' in client.get(f"{address}/staff/review").text
    assert outside == []


def test_a_key_is_the_same_class_on_every_picture_and_two_browsers_share_nothing(tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app:
        for color in (RED, BLUE, GREY):
            sent = httpx2.post(f"{app.url}/api/classify?consent=yes", content=encode(plain(color)))
            assert sent.status_code == 202
        pages = {}
        for name in ("anna", "ben", "carl"):
            with httpx2.Client(auth=(name, PASSWORD)) as client:
                pages[name] = client.get(f"{app.url}/staff/review").text
                assert client.get(f"{app.url}/staff/review").text.count("data-key") == pages[name].count("data-key")
        tickets = [re.findall(r'name="ticket" value="(\w+)"', page)[0] for page in pages.values()]
        assert len(set(tickets)) == 3
        expected = {"0": ("grizzly", "1"), "1": ("black", "2"), "2": ("teddy", "3"), "none": ("none of these", "0")}
        assert [buttons(page) for page in pages.values()] == [expected] * 3
        # Only what the model is sure of is confirmed by Enter.
        assert sorted(page.count("data-enter>") for page in pages.values()) == [0, 1, 1]
        with httpx2.Client(auth=("anna", PASSWORD), follow_redirects=True) as client:
            told = client.post(f"{app.url}/staff/review", data={"ticket": tickets[0], "said": "2"}).text
            assert "Saved. The picture is deleted." in told
            assert 'name="undo"' in told
            assert "Others are looking at all of them" in told
            back = client.post(f"{app.url}/staff/review", data={"undo": "1"}).text
            assert "Taken back" in back
            assert tickets[0] in back
            assert "too late" in client.post(f"{app.url}/staff/review", data={"undo": "1"}).text


def test_people_who_give_no_name_are_told_apart_by_their_browsers(tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app:
        for color in (RED, BLUE):
            httpx2.post(f"{app.url}/api/classify?consent=yes", content=encode(plain(color)))
        with httpx2.Client(auth=("", PASSWORD)) as one, httpx2.Client(auth=("", PASSWORD)) as other:
            pages = [client.get(f"{app.url}/staff/review").text for client in (one, other, one, other)]
            first, second, again, too = (re.findall(r'name="ticket" value="(\w+)"', page)[0] for page in pages)
            assert (first, second) == (again, too)
            assert first != second
            one.post(f"{app.url}/staff/review", data={"ticket": first, "said": "0"})
            assert 'name="undo"' in one.get(f"{app.url}/staff/review").text
            assert 'name="undo"' not in other.get(f"{app.url}/staff/review").text


def test_many_classes_have_a_key_each_as_far_as_there_are_keys() -> None:
    assert len(set(KEYS)) == len(KEYS)
    # One is none of them, and the other takes back.
    assert not {"0", "u"} & set(KEYS)


@pytest.mark.parametrize("path", ["/staff", "/staff/"])
def test_the_index_says_what_staff_can_do_and_what_is_off(path: str, tmp_path: Path) -> None:
    with rolling(tmp_path, "supervised") as app, httpx2.Client(auth=("", PASSWORD)) as client:
        assert httpx2.get(app.url + path).status_code == 401
        page = client.get(app.url + path).text
        assert "0 answers to review" in page
        links = re.findall(r'<a href="([^"]+)"', page)
        assert links[0] == "/staff/review"
        assert "Start the app with --feedback FOLDER" in page
        assert {client.get(app.url + link).status_code for link in links if "report" not in link} == {200}


def test_an_app_without_log_and_rollout_has_an_index_too() -> None:
    info = ModelInfo('<b>"x"', LABELS, "r-1", options=AppOptions())
    with serving(create_app(predict_by_color, info, ServeConfig(), password=PASSWORD)) as url:
        page = httpx2.get(f"{url}/staff", auth=("", PASSWORD))
        assert (page.status_code, page.text.count("Off. Start the app with")) == (200, 3)
        assert "<b>" not in page.text.split("<h1>")[1].split("<main>")[0].replace("&lt;b&gt;", "")
        assert httpx2.get(f"{url}/staff/review", auth=("", PASSWORD)).status_code == 404
