"""What `scripts/simulate` sends, and how it counts what was noticed. The figures themselves are in the README."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.config import RolloutConfig
from spotter.image_stats import measure_image
from spotter.images import load_picture
from spotter.monitor.baseline import Published
from spotter.monitor.drift import find_changes
from spotter.monitor.log import read_answers
from spotter.monitor.report import gather
from tests.conftest import ROOT
from tests.helpers.answers import LABELS, make_answers
from tests.helpers.drawing import draw, write_folder

sys.path.insert(0, str(ROOT / "benchmarks"))
import simulate


@pytest.fixture(scope="module")
def world() -> simulate.World:
    """90 pictures and 20 strangers, plain, at night and in grey, answered by a model that is nearly always right."""
    truth = np.repeat([*LABELS, "not grizzly"], [30, 30, 30, 20])
    answers = make_answers(330, seed=4, revision="r1")
    kind = np.repeat(["plain", "night", "grey"], 110)
    truth = np.tile(truth, 3)
    is_strange = truth == "not grizzly"
    known = np.where(is_strange, "black", truth)
    answers = replace(
        answers,
        label=np.where(np.arange(330) % 40 == 7, "teddy", known),
        familiar=~is_strange & (np.arange(330) % 30 != 3),
        familiarity=answers.familiarity - 0.4 * is_strange,
        brightness=np.where(kind == "night", 0.1, answers.brightness),
        colourfulness=np.where(kind == "plain", answers.colourfulness, 0.0),
    )
    published = Published("r1", 300, 10, {})
    return simulate.World(answers, truth, kind, LABELS, (published,))


def sent(world: simulate.World, name: str, count: int = 3000) -> simulate.Sent:
    event = next(event for title, event in simulate.EVENTS.items() if name in title)
    return event(world, np.random.default_rng(1), count)


def test_events_send_what_they_say(world: simulate.World) -> None:
    def share(values: np.ndarray) -> float:
        return float(values.mean())

    quiet = simulate.quiet(world, np.random.default_rng(0), 3000)
    assert set(world.kind[quiet.rows]) == {"plain"}
    assert set(world.truth[quiet.rows]) == set(LABELS)
    assert np.array_equal(quiet.right, world.truth[quiet.rows])
    night = sent(world, "Night").rows
    assert share(world.kind[night] == "night") == pytest.approx(0.3, abs=0.03)
    assert set(world.truth[night]) == set(LABELS)
    strange = sent(world, "new kind").rows
    assert share(world.truth[strange] == "not grizzly") == pytest.approx(0.2, abs=0.03)
    assert set(world.kind[strange]) == {"plain"}
    assert share(world.truth[sent(world, "twice its share").rows] == "black") == pytest.approx(2 / 3, abs=0.03)
    assert share(world.truth[sent(world, "sent twice as often").rows] == "black") == pytest.approx(1 / 2, abs=0.03)
    assert set(world.kind[sent(world, "black and white").rows]) == {"grey"}
    drift = sent(world, "Labels drift")
    is_black = world.truth[drift.rows] == "black"
    assert share(drift.right[is_black] == "grizzly") == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(drift.right[~is_black], world.truth[drift.rows][~is_black])


def test_each_event_is_noticed_and_by_what_it_changes(world: simulate.World) -> None:
    expected = {
        "Night": "brightness",
        "new kind": "not-sure answers",
        "twice its share": "answers",
        "black and white": "colourfulness",
        "Labels drift": "wrong answers",
    }
    for name, by in expected.items():
        event = next(event for title, event in simulate.EVENTS.items() if name in title)
        noticed, early = simulate.plant(world, event, 3, 0.5)
        assert noticed.after <= 200, name
        assert by in noticed.by
        assert early == []
    nothing, _ = simulate.plant(world, simulate.quiet, 3, 0.5)
    assert (nothing.after, nothing.by) == (float("inf"), ())
    # Nothing was noticed, so at full nothing is kept from visitors.
    assert nothing.prevented["full"] == 0
    assert nothing.prevented["gradual"] == pytest.approx(0.8 * nothing.wrong)
    assert nothing.prevented["supervised"] == nothing.wrong > 0


def test_what_each_stage_prevents() -> None:
    config = RolloutConfig(share=0.25, together=300)
    wrong = np.ones(1000, dtype=bool)
    assert simulate.prevented("full", wrong, [], config) == 0
    assert simulate.prevented("gradual", wrong, [], config) == 750
    assert simulate.prevented("supervised", wrong, [], config) == 1000
    # Everything until the alert, then a quarter.
    assert simulate.prevented("full", wrong, [100], config) == 675
    assert simulate.prevented("gradual", wrong, [100], config) == 75 + 900
    # Alerts that belong together take one stage; a later one takes another.
    assert simulate.prevented("full", wrong, [100, 120, 400], config) == 675
    assert simulate.prevented("full", wrong, [100, 120, 401], config) == 0.75 * 301 + 599
    right = np.zeros(1000, dtype=bool)
    assert simulate.prevented("full", right, [10], config) == 0


def test_a_replay_is_a_log_like_any_other(world: simulate.World, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    answers = simulate.replay(world, [simulate.quiet(world, rng, 400), sent(world, "Night", 50)], 0.5, rng)
    assert len(answers) == 450
    assert len(set(answers.id.tolist())) == 450
    seen = answers.review > 0
    assert 0.4 < seen.mean() < 0.6
    assert sorted(answers.review[seen]) == list(range(1, seen.sum() + 1))
    assert (answers.right[~seen] == "").all()
    half = simulate.half_a_year(world, 0.5)
    assert 3500 < len(half) < 6000
    assert (np.diff(half.at) >= 0).all()
    assert 170 < (half.at[-1] - half.at[0]) / 86_400 < 185
    assert abs(half.at[-1] - time.time()) < 2 * 86_400
    simulate.add_answers(tmp_path, half)
    assert np.array_equal(read_answers(tmp_path).brightness, half.brightness)
    findings = gather(tmp_path)
    assert len(findings.changes) > 10
    assert findings.changes == tuple(find_changes(half))


def test_tables_are_markdown(world: simulate.World, capsys: pytest.CaptureFixture[str]) -> None:
    simulate.print_events(world, 2, 0.5)
    simulate.print_quiet(world, 2000, 0.5)
    lines = capsys.readouterr().out.splitlines()
    assert len({line.count("|") for line in lines[:8]}) == 1
    assert "2 of 2" in lines[2]
    assert any("in 2,000 quiet pictures" in line for line in lines)


def test_half_of_each_class_is_learnt_from(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", count=6)
    visitors = simulate.split(source, tmp_path / "learning")
    learnt = {f"{path.parent.name}/{path.name}" for path in (tmp_path / "learning").glob("*/*")}
    visiting = {f"{path.parent.name}/{path.name}" for path in visitors}
    assert len(learnt) == len(visiting) == 9
    assert not learnt & visiting
    assert {name.split("/")[0] for name in learnt} == {name.split("/")[0] for name in visiting}


def test_pictures_at_night_and_in_grey_look_like_it() -> None:
    picture = draw("cross", 5, (400, 300))
    day, night, grey = (
        measure_image(each) for each in (picture, simulate.at_night(picture), simulate.in_grey(picture))
    )
    assert night.brightness < 0.5 * day.brightness
    assert night.colourfulness < 0.01
    assert grey.colourfulness == 0
    assert grey.brightness == pytest.approx(day.brightness, abs=0.01)


def test_drawn_pictures_stand_in_for_photos(tmp_path: Path) -> None:
    bears, others = simulate.draw_pictures(tmp_path, 2)
    assert sorted(path.parent.name for path in bears.glob("*/*")) == ["black"] * 2 + ["grizzly"] * 2 + ["teddy"] * 2
    assert load_picture(next(others.iterdir())).size == (400, 300)
