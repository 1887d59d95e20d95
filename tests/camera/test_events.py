"""Frames become events by time and likeness, and an event has one answer."""

import math
from pathlib import Path

import numpy as np
import pytest

from spotter.bundle.reading import read_bundle
from spotter.camera.events import Event, EventBuilder, make_event
from spotter.camera.frames import Frame
from spotter.config import EventConfig
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.names import NOT_SURE
from tests.conftest import Revision
from tests.helpers.bundles import advising

LABELS = ("disc", "cross", "stripes")


def said(*shares: float, familiarity: float = 0.99, direction: int = 0) -> Prediction:
    probabilities = dict(zip(LABELS, shares, strict=True))
    embedding = np.zeros(4, np.float32)
    embedding[direction] = 1
    closest = max(probabilities, key=lambda label: probabilities[label])
    return Prediction(closest, probabilities, familiarity, familiarity > 0.9, 0.9, embedding)


def frame(at: float, answer: Prediction | None = None, camera: str = "") -> Frame:
    return Frame(f"{camera}{at:g}.jpg", camera, at, answer or said(0.8, 0.1, 0.1))


def build(predictor: Predictor, *frames: Frame) -> list[Event]:
    builder = EventBuilder(predictor, EventConfig())
    return [*(event for each in frames for event in builder.add(each)), *builder.close()]


def times(events: list[Event]) -> list[list[float]]:
    return [[each.at for each in event.frames] for event in events]


def test_pictures_soon_after_each_other_are_one_event(predictor: Predictor) -> None:
    other = said(0.1, 0.8, 0.1, direction=1)
    assert times(build(predictor, frame(0), frame(2), frame(62, other), frame(123, said(0.2, 0.2, 0.6)))) == [
        [0, 2, 62],
        [123],
    ]


def test_pictures_a_while_after_each_other_are_one_event_when_they_are_alike(predictor: Predictor) -> None:
    other = said(0.1, 0.8, 0.1, direction=1)
    assert times(build(predictor, frame(0), frame(250))) == [[0, 250]]
    assert times(build(predictor, frame(0), frame(250, other))) == [[0], [250]]
    assert times(build(predictor, frame(0), frame(301))) == [[0], [301]]


def test_a_camera_that_shoots_all_day_makes_more_than_one_event(predictor: Predictor) -> None:
    events = build(predictor, *(frame(second) for second in range(0, 3600, 30)))
    assert len(events) == 4
    assert all(event.end - event.start <= EventConfig().longest_s for event in events)


def test_a_clock_that_stands_still_fills_no_memory(predictor: Predictor) -> None:
    events = build(predictor, *(frame(0) for _ in range(2500)))
    assert [len(event.frames) for event in events] == [1000, 1000, 500]
    kept = [each.answer.embedding is not None for event in events for each in event.frames if each.answer]
    assert sum(kept) == 3


def test_each_camera_has_its_own_events(predictor: Predictor) -> None:
    events = build(predictor, frame(0, camera="a"), frame(1, camera="b"), frame(2, camera="a"))
    assert sorted(times(events)) == [[0, 2], [1]]


@pytest.mark.parametrize("jump", [-86_400, -301, 301, 86_400, 20 * 365 * 86_400])
def test_a_clock_that_jumps_begins_a_new_event(jump: float, predictor: Predictor) -> None:
    assert times(build(predictor, frame(0), frame(jump), frame(jump + 1))) == [[0], [jump, jump + 1]]


def test_files_that_come_in_another_order_are_put_in_order(predictor: Predictor) -> None:
    (event,) = build(predictor, frame(2), frame(0), frame(1))
    assert [each.at for each in event.frames] == [0, 1, 2]


def test_the_answer_is_pooled_over_the_frames_that_show_something(predictor: Predictor) -> None:
    empty = said(0.01, 0.01, 0.98, familiarity=0.2)
    event = make_event([frame(0, empty), frame(1, said(0.9, 0.05, 0.05)), frame(2, said(0.6, 0.3, 0.1))], predictor)
    roots = [math.sqrt(0.9 * 0.6), math.sqrt(0.05 * 0.3), math.sqrt(0.05 * 0.1)]
    assert event.answer
    assert event.shown == 2
    assert event.answer.label == "disc"
    assert [event.answer.probabilities[label] for label in LABELS] == pytest.approx([r / sum(roots) for r in roots])
    assert event.best.at == 1


def test_a_prior_counts_once_and_not_once_a_frame(prebuilt: Revision, tmp_path: Path) -> None:
    shares, prior = [0.25, 0.25, 0.5], [0.6, 0.3, 0.1]
    predictor = Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "prior", shares=shares, prior=prior)))
    answer = predictor.answer_from(np.array([0.5, 0.3, 0.2], np.float32), 0.99)
    event = make_event([frame(n, answer) for n in range(3)], predictor)
    assert event.answer
    assert answer.unweighted
    assert event.answer.probabilities == pytest.approx(answer.probabilities)
    assert event.answer.unweighted == pytest.approx(answer.unweighted)


def test_many_frames_of_the_same_are_no_surer_than_one(predictor: Predictor) -> None:
    one, many = (make_event([frame(n, said(0.7, 0.2, 0.1)) for n in range(count)], predictor) for count in (1, 20))
    assert one.answer
    assert many.answer
    assert many.answer.probabilities == pytest.approx(one.answer.probabilities)


def test_where_nothing_is_shown_the_event_is_not_sure(predictor: Predictor) -> None:
    event = make_event([frame(n, said(0.9, 0.05, 0.05, familiarity=0.3)) for n in range(3)], predictor)
    assert event.answer
    assert (event.answer.label, event.shown) == (NOT_SURE, 0)
    unreadable = make_event([Frame("a.jpg", "", 0)], predictor)
    assert (unreadable.answer, unreadable.shown) == (None, 0)


def test_the_same_frames_are_the_same_event(predictor: Predictor) -> None:
    names = [make_event([frame(at) for at in some], predictor).id for some in ((0, 1), (0, 1), (0, 2))]
    assert names[0] == names[1] != names[2]
