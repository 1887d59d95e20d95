"""From stage to stage: gates with their figures, alerts that take a stage back, the command, and a running app."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotter.cli import main
from spotter.config import RolloutConfig
from spotter.errors import PromotionRefused, RolloutMissing
from spotter.monitor.drift import find_changes
from spotter.monitor.log import FILE, Answers, add_answers
from spotter.rollout.gates import check_gate, demote_on_alert, find_news, promote, step_back
from spotter.rollout.stages import PLAN, Rollout, read_history
from tests.helpers.answers import joined, make_answers, reviewed


def good(count: int, wrong: int = 0, seed: int = 0) -> Answers:
    """Reviewed answers that are all sure, the first `wrong` ones wrong."""
    return reviewed(make_answers(count, seed, familiar=True), np.arange(count) < wrong)


def begun(folder: Path, stage: str, revision: str = "r1") -> Rollout:
    rollout = Rollout(folder, revision)
    rollout.start(stage)
    return rollout


def test_one_stage_at_a_time_when_all_gates_are_met(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "shadow")
    add_answers(tmp_path, good(150, 3))
    assert promote(tmp_path).to == "supervised"
    assert rollout.stage == "supervised"
    move = rollout.last
    assert (move.number, move.review) == (150, 150)
    assert move.figures["reviewed answers"] == {
        "what": "reviewed answers",
        "found": "150",
        "needed": "at least 100",
        "is_met": True,
    }
    # What was shown at one stage does not count for the next.
    with pytest.raises(PromotionRefused, match=r"reviewed answers 0 \(at least 200 needed\)"):
        promote(tmp_path)
    assert rollout.stage == "supervised"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (good(99), r"Not met: reviewed answers 99 \(at least 100 needed\)\. Met: of them right 99 of 99"),
        (good(150, 20), r"Not met: of them right 130 of 150, so at least 80 % \(at least 85 % needed\)"),
        (
            joined(good(150), make_answers(60, familiar=False)),
            r"Not met: not sure 60 of 210 \(29 %\) \(at most 20 % needed\)",
        ),
        (make_answers(150), r"reviewed answers 0 .* of them right 0 of 0"),
        (replace(good(150), revision=np.full(150, "r0")), "no rollout of r0"),
    ],
)
def test_a_gate_that_is_not_met_is_told_with_its_figures(tmp_path: Path, answers: Answers, told: str) -> None:
    rollout = begun(tmp_path, "shadow")
    add_answers(tmp_path, answers)
    with pytest.raises((PromotionRefused, RolloutMissing), match=told):
        promote(tmp_path)
    assert rollout.stage == "shadow"


def test_not_sure_answers_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "shadow")
    unsure = replace(good(20, 20, seed=1), familiar=np.zeros(20, dtype=bool))
    checks = check_gate(joined(good(100), unsure), [], rollout.last, RolloutConfig().shadow)
    assert [check.is_met for check in checks] == [True, True, True, True]
    assert checks[1].found.startswith("100 of 100")


def test_a_gate_is_not_met_by_no_answers_at_all(tmp_path: Path) -> None:
    last = begun(tmp_path, "shadow").last
    gate = replace(RolloutConfig().shadow, reviewed=0, accuracy=0.0)
    assert [check.is_met for check in check_gate(good(0), [], last, gate)] == [True, False, False, True]


def test_only_alerts_of_the_revision_and_of_all_pictures_count_and_those_near_enough(tmp_path: Path) -> None:
    rollout, answers = begun(tmp_path, "shadow"), good(400)
    dark = find_changes(night_after(400))[0]
    gate = replace(RolloutConfig().shadow, quiet=50)

    def is_quiet(answers: Answers = answers, **words: object) -> bool:
        change = replace(dark, **words)  # type: ignore[arg-type]
        return check_gate(answers, [change], rollout.last, gate)[3].is_met

    def reviewed_then(row: int) -> Answers:
        return replace(answers, review=np.where(np.arange(400) == row, 5, 0))

    assert not is_quiet(number=351)
    assert is_quiet(number=350)
    assert is_quiet(what="labels", revision="r0", number=399)
    assert not is_quiet(what="labels", revision="r1", number=399)
    # Few reviews may be about late answers.
    assert not is_quiet(reviewed_then(398), what="errors", revision="r1", number=5)
    assert is_quiet(reviewed_then(20), what="errors", revision="r1", number=5)


def test_an_alert_about_reviews_gets_old_though_a_clock_once_ran_ahead(tmp_path: Path) -> None:
    rollout, place = begun(tmp_path, "shadow"), np.arange(600)
    answers = reviewed(make_answers(600, familiar=True), (place >= 100) & (place < 200))
    answers = replace(answers, at=np.where(place < 50, answers.at + 10**8, answers.at))
    errors = [change for change in find_changes(answers) if change.what == "errors"]
    assert errors
    for quiet, is_met in ((100, True), (590, False)):
        gate = replace(RolloutConfig().shadow, quiet=quiet)
        assert check_gate(answers, errors, rollout.last, gate)[3].is_met == is_met


def test_an_alert_about_another_revision_demotes_nobody(tmp_path: Path) -> None:
    other = replace(make_answers(400, 1), label=np.full(400, "black"))
    after = replace(make_answers(200, 2), label=np.full(200, "teddy"))
    answers = joined(other, after)
    begun(tmp_path, "full")
    add_answers(tmp_path, replace(answers, revision=np.full(600, "r0")))
    assert {change.revision for change in find_changes(answers)} == {"r1"}
    assert demote_on_alert(tmp_path, "r1") is None


def night_after(quiet: int, nights: int = 80) -> Answers:
    return joined(make_answers(quiet, 1), make_answers(nights, 2, brightness=0.05))


def test_an_alert_closes_the_gate_until_it_is_quiet_again(tmp_path: Path) -> None:
    answers = joined(night_after(400), make_answers(90, 3, brightness=0.05))
    changes = find_changes(answers)
    assert changes
    last = begun(tmp_path, "shadow").last
    gate = replace(RolloutConfig().shadow, quiet=200)
    assert not check_gate(answers, changes, last, gate)[3].is_met
    assert "brightness" in changes[0].what
    told = check_gate(answers, changes, last, gate)[3].sentence()
    assert "darker" in told
    later = joined(answers, make_answers(250, 4, brightness=0.05))
    assert check_gate(later, changes, last, gate)[3].is_met


def test_an_alert_takes_one_stage_back_with_its_words(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "full")
    add_answers(tmp_path, night_after(400))
    move = demote_on_alert(tmp_path, "r1")
    assert move
    assert (move.action, move.to) == ("demoted", "gradual")
    assert move.why.startswith("alert: Pictures became darker: ")
    assert move.figures["what"] == "brightness"
    assert rollout.stage == "gradual"
    # The same alert is no news the next time.
    assert demote_on_alert(tmp_path, "r1") is None
    assert rollout.stage == "gradual"


def test_alerts_before_the_rollout_began_are_no_news(tmp_path: Path) -> None:
    add_answers(tmp_path, night_after(400))
    rollout = begun(tmp_path, "full")
    assert rollout.last.number == 480
    assert demote_on_alert(tmp_path, "r1") is None


def test_a_log_that_was_begun_anew_demotes_and_promotes_too(tmp_path: Path) -> None:
    add_answers(tmp_path, make_answers(2000))
    rollout = begun(tmp_path, "full")
    assert rollout.last.number == 2000
    (tmp_path / FILE).unlink()
    add_answers(tmp_path, night_after(400))
    move = demote_on_alert(tmp_path, "r1")
    assert move
    assert (move.action, move.to, move.number) == ("demoted", "gradual", 480)
    assert [move.why.partition(":")[0] for move in rollout.history()] == ["", "the answer log was begun anew", "alert"]
    other = tmp_path / "other"
    add_answers(other, make_answers(2000))
    begun(other, "shadow")
    (other / FILE).unlink()
    add_answers(other, good(150))
    assert promote(other).to == "supervised"


def test_quiet_answers_demote_nobody_and_shadow_is_the_end(tmp_path: Path) -> None:
    begun(tmp_path / "quiet", "full")
    add_answers(tmp_path / "quiet", make_answers(600))
    assert demote_on_alert(tmp_path / "quiet", "r1") is None
    begun(tmp_path / "shadow", "shadow")
    add_answers(tmp_path / "shadow", night_after(400))
    assert demote_on_alert(tmp_path / "shadow", "r1") is None


def test_alerts_soon_after_one_belong_to_it_and_later_ones_do_not(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "full")
    add_answers(tmp_path, night_after(400))
    demote_on_alert(tmp_path, "r1")
    last = rollout.last
    answers = joined(night_after(400), make_answers(900, 5, brightness=0.05))
    change = replace(find_changes(night_after(400))[0], number=last.number + 300)
    assert find_news([change], answers, last, 300) is None
    change = replace(change, number=last.number + 301)
    assert find_news([change], answers, last, 300) == change
    # After a promotion, or a step back by hand, the next alert counts at once.
    assert find_news([replace(change, number=last.number + 1)], answers, replace(last, action="promoted"), 300)
    assert find_news([replace(change, number=last.number + 1)], answers, replace(last, why="by hand: no"), 300)
    assert find_news([replace(change, number=last.number)], answers, replace(last, action="promoted"), 300) is None
    # Wrong answers are counted by reviews, of which there are fewer.
    errors, last = replace(change, what="errors", number=8), replace(last, action="promoted", review=7)
    assert find_news([errors], answers, last, 300) == errors
    assert find_news([replace(errors, number=7)], answers, last, 300) is None


def test_wrong_answers_are_news_by_their_review(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "gradual")
    answers = reviewed(make_answers(300, familiar=True), np.arange(300) > 220)
    add_answers(tmp_path, answers)
    move = demote_on_alert(tmp_path, "r1")
    assert move
    assert move.why.startswith("alert: Wrong answers")
    assert rollout.stage == "supervised"
    assert (move.number, move.review) == (300, 300)


def test_a_step_back_by_hand(tmp_path: Path) -> None:
    rollout = begun(tmp_path, "supervised")
    add_answers(tmp_path, make_answers(5))
    assert step_back(tmp_path, "visitors complain").why == "by hand: visitors complain"
    assert rollout.stage == "shadow"
    with pytest.raises(PromotionRefused, match="first stage"):
        step_back(tmp_path, "again")


def test_the_last_stage_is_the_last(tmp_path: Path) -> None:
    begun(tmp_path, "full")
    add_answers(tmp_path, good(500))
    with pytest.raises(PromotionRefused, match="last stage"):
        promote(tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(tmp_path)
    assert main(["promote", log]) == 1
    assert "There is no answer log" in capsys.readouterr().err
    assert main(["promote", log, "--list"]) == 1
    assert "There is no rollout" in capsys.readouterr().err
    add_answers(tmp_path, make_answers(3))
    assert main(["promote", log]) == 1
    assert "There is no rollout of r1" in capsys.readouterr().err
    begun(tmp_path, "shadow")
    assert main(["promote", log]) == 1
    assert "reviewed answers 0 (at least 100 needed)" in capsys.readouterr().err
    more = good(400, 2, seed=9)
    add_answers(tmp_path, replace(more, id=np.char.add("more", more.id)))
    assert main(["promote", log]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage supervised"
    assert main(["promote", log, "--back", "no good"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage shadow"
    assert main(["promote", log, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["started", "promoted", "demoted"]
    assert "by hand: no good" in lines[2]
    begun(tmp_path, "full", "r2")
    assert main(["promote", log, "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage full"
    assert main(["promote", log, "--list", "--revision", "r1"]) == 0
    assert capsys.readouterr().out.splitlines() == [*lines[:-1], "stage shadow"]
    with pytest.raises(SystemExit):
        main(["promote", log, "--list", "--back", "x"])


def test_a_revision_is_named_as_the_list_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, mine, other = str(tmp_path), "0123456789abcdef" * 2, "fedcba9876543210" * 2
    begun(tmp_path, "full", mine)
    begun(tmp_path, "gradual", other)
    assert main(["promote", log, "--list"]) == 0
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert shown == [mine[:12], other[:12]]
    assert main(["promote", log, "--list", "--revision", shown[0]]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage full"
    add_answers(tmp_path, make_answers(3))
    assert main(["promote", log, "--back", "no good", "--revision", shown[0]]) == 0
    assert main(["promote", log, "--list", "--revision", mine]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage gradual"
    assert main(["promote", log, "--list", "--revision", other]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stage gradual"
    # Too little to be sure, or of none.
    for wanted in (mine[:6], "9" * 12):
        assert main(["promote", log, "--back", "no good", "--revision", wanted]) == 1
        assert f"There is no rollout of {wanted}" in capsys.readouterr().err


def test_gates_are_those_of_the_file(tmp_path: Path) -> None:
    begun(tmp_path, "shadow")
    add_answers(tmp_path, good(12))
    (tmp_path / PLAN).write_text("[shadow]\nreviewed = 10\naccuracy = 0.7\n")
    assert promote(tmp_path).to == "supervised"
    assert [move.to for move in read_history(tmp_path)] == ["shadow", "supervised"]
