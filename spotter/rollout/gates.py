"""Gates of the rollout: promotion to the next stage when they are met, demotion when there is a drift alert."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spotter.config import STAGES, GateConfig
from spotter.errors import PromotionRefused, RolloutMissing
from spotter.monitor.alerts import sentence
from spotter.monitor.baseline import Published
from spotter.monitor.drift import Change, find_changes
from spotter.monitor.log import Answers, read_answers
from spotter.rollout.fairness import fair_answers, without_each_group
from spotter.rollout.stages import DEMOTED, FULL, PROMOTED, SHADOW, Move, Rollout
from spotter.utils.stats import wilson_interval
from spotter.utils.text import short_percent

BY_HAND = "by hand: "


@dataclass(frozen=True)
class Check:
    """One condition of a gate: what was found and what is needed, in words."""

    what: str
    found: str
    needed: str
    is_met: bool

    def sentence(self) -> str:
        return f"{self.what} {self.found} ({self.needed} needed)"


def check_gate(answers: Answers, changes: Sequence[Change], last: Move, gate: GateConfig) -> list[Check]:
    """Compare what a revision answered since its last move with a gate.

    Args:
        changes: the alerts of the whole log.
    """
    mine = answers.take((answers.number > last.number) & (answers.revision == last.revision))
    # Who is told "not sure" is told nothing wrong.
    seen = mine.take((mine.review > 0) & mine.familiar)
    right, unsure = int((seen.right == seen.label).sum()), int((~mine.familiar).sum())
    low = wilson_interval(right, len(seen))[0] if len(seen) else 0.0
    share = unsure / len(mine) if len(mine) else 0.0
    recent = [change for change in changes if _is_of(change, last.revision) and _age(answers, change) < gate.quiet]
    told = f"{len(recent)}, the last: {sentence(recent[-1])}" if recent else "none"
    return [
        Check("reviewed answers", str(len(seen)), f"at least {gate.reviewed}", len(seen) >= gate.reviewed),
        Check(
            "of them right",
            f"{right} of {len(seen)}, so at least {short_percent(low)}",
            f"at least {short_percent(gate.accuracy)}",
            low >= gate.accuracy and len(seen) > 0,
        ),
        Check(
            "not sure",
            f"{unsure} of {len(mine)} ({short_percent(share)})",
            f"at most {short_percent(gate.unfamiliar)}",
            share <= gate.unfamiliar and len(mine) > 0,
        ),
        Check(f"alerts in the last {gate.quiet} answers", told, "none", not recent),
    ]


def promote(folder: Path, published: Sequence[Published] = (), revision: str | None = None) -> Move:
    """Move a revision (None: that of the newest answer) one stage on, if its gate is met.

    Raises:
        PromotionRefused: it is not, with the figures, or it is at the last stage, or others moved it just now.
        RolloutMissing, RolloutDamaged, LogUnreadable: there is nothing to go by.
    """
    answers = read_answers(folder)
    rollout = Rollout(folder, revision or newest(answers, folder))
    last = rollout.catch_up()
    if last.to == FULL:
        raise PromotionRefused("It is at the last stage already: full.")
    changes = find_changes(fair_answers(answers), published)
    checks = check_gate(answers, changes, last, getattr(rollout.config, last.to))
    if failed := [check.sentence() for check in checks if not check.is_met]:
        met = "; ".join(check.sentence() for check in checks if check.is_met) or "nothing"
        raise PromotionRefused(f"It stays at {last.to}. Not met: {'; '.join(failed)}. Met: {met}.")
    why = "; ".join(check.sentence() for check in checks)
    to = STAGES[STAGES.index(last.to) + 1]
    return _moved(rollout, last, PROMOTED, to, why, {check.what: asdict(check) for check in checks})


def step_back(folder: Path, why: str, revision: str | None = None) -> Move:
    """Move a revision one stage back, because somebody says so.

    Raises:
        As `promote`.
    """
    rollout = Rollout(folder, revision or newest(read_answers(folder), folder))
    last = rollout.last
    if last.to == SHADOW:
        raise PromotionRefused("It is at the first stage already: shadow.")
    return _moved(rollout, last, DEMOTED, STAGES[STAGES.index(last.to) - 1], f"{BY_HAND}{why}", {})


def demote_on_alert(folder: Path, revision: str, published: Sequence[Published] = ()) -> Move | None:
    """Move a revision one stage back if there was an alert since its last move; return the move, if there was one.

    Raises:
        RolloutMissing, RolloutDamaged, LogUnreadable: there is nothing to go by.
    """
    rollout = Rollout(folder, revision)
    last = rollout.catch_up()
    if last.to == SHADOW:
        return None
    answers = read_answers(folder)
    # The report tells whatever changes; only what several people met takes answers away.
    fair = fair_answers(answers)

    def find(some: Answers) -> Change | None:
        changes = (change for change in find_changes(some, published) if _is_of(change, revision))
        return find_news(changes, answers, last, rollout.config.together)

    news = find(fair)
    if news is None or not all(find(rest) for rest in without_each_group(fair)):
        return None
    to = STAGES[STAGES.index(last.to) - 1]
    figures = {"what": news.what, "label": news.label, "number": news.number, "at": news.at}
    # Of several apps on one log, one is first.
    return rollout.last if rollout.move(last, DEMOTED, to, f"alert: {sentence(news)}", figures) else None


def find_news(changes: Iterable[Change], answers: Answers, last: Move, together: int) -> Change | None:
    """The first alert that came after a move, and does not belong to the alert that the move was for."""
    was_alert = last.action == DEMOTED and not last.why.startswith(BY_HAND)
    for change in changes:
        is_after = change.number > (last.review if change.what == "errors" else last.number)
        is_another = not was_alert or _answer_of(answers, change) > last.number + together
        if is_after and is_another:
            return change
    return None


def newest(answers: Answers, folder: Path) -> str:
    """The revision of the newest answer.

    Raises:
        RolloutMissing: nothing was answered yet.
    """
    if not len(answers):
        raise RolloutMissing(
            f"The answer log in {str(folder)!r} has no answers yet, so there is nothing to compare with the gates."
        )
    return str(answers.revision[-1])


def _moved(rollout: Rollout, last: Move, action: str, to: str, why: str, figures: dict[str, object]) -> Move:
    if not rollout.move(last, action, to, why, figures):
        raise PromotionRefused("The stage was changed by somebody else just now; look again with --list.")
    return rollout.last


def _is_of(change: Change, revision: str) -> bool:
    return change.revision in {"", revision}


def _answer_of(answers: Answers, change: Change) -> int:
    """The number of the answer that an alert came with; for one of reviews, of the newest that was reviewed by then.

    Not by the time: a clock may have run ahead, or been set back.
    """
    if change.what != "errors":
        return change.number
    by_then = (answers.review > 0) & (answers.review <= change.number) & answers.familiar
    of_it = (answers.revision == change.revision) & ((answers.label == change.label) | (change.label == ""))
    return int(answers.number[by_then & of_it].max(initial=0))


def _age(answers: Answers, change: Change) -> int:
    """How many answers came after an alert."""
    return int(answers.number[-1]) - _answer_of(answers, change)
