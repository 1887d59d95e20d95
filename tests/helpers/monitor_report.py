"""A monitoring report over made-up answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spotter.monitor.log import Answers, add_answers
from spotter.monitor.report import render
from tests.helpers.answers import joined, make_answers, reviewed

HOSTILE = "<script>alert(1)</script>{{ 7 * 7 }}\"'&"


def log_of(folder: Path, answers: Answers) -> Path:
    add_answers(folder, answers)
    return folder


def two_months(reviews: bool = True) -> Answers:
    """58 days of quiet, of which the last days are darker; some reviewed."""
    quiet, dark = make_answers(1300), make_answers(100, seed=1)
    dark = replace(dark, brightness=np.where(np.arange(100) % 2, 0.1, dark.brightness))
    answers = joined(quiet, dark)
    if not reviews:
        return answers
    rng = np.random.default_rng(3)
    is_wrong = (rng.random(1400) < 0.03) | ((answers.brightness < 0.2) & (rng.random(1400) < 0.6))
    return reviewed(answers, is_wrong)


def make_report(folder: Path) -> str:
    """A report over a log with words from strangers in it."""
    answers = two_months()
    label = np.where(answers.label == "black", HOSTILE, answers.label)
    right = np.where(answers.right == "black", HOSTILE, answers.right)
    return render(log_of(folder, replace(answers, label=label, right=right, revision=np.full(1400, HOSTILE))))
