"""The premortem: what a model is for, what is done with it, and what could go wrong once it meets people, asked before.

The first questions follow the Drivetrain approach (Howard, Zwemer and Loukides, Designing Great Data Products, 2012):
an objective, then the levers, then the data, and only then the model. The others are those of Howard and Gugger, Deep
Learning for Coders (2020), chapter 2, "How to avoid disaster", and one about the pictures that will come, which the
same chapter calls a large part of the problem.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from spotter.decide.costs import make_costs, read_cost_options
from spotter.errors import DatasetUnwritable
from spotter.utils.files import write_atomically

PREMORTEM = "premortem.json"
# Its answer is the table of costs, and not words.
COSTS = "costs"
QUESTIONS = {
    "objective": "What is the objective: what is to become better, and how would you measure that?",
    "levers": "Which levers are there: what will be done with an answer, and by whom?",
    "affected": "Who is affected by its answers without having chosen to use it?",
    COSTS: "What does each mistake cost, and asking a person? Such as: grizzly as teddy=50; other=1; ask=2",
    "success": "What if it went really, really well: who would use it, for what, and what would change?",
    "worst": "What is the worst that a wrong answer could lead to?",
    "pictures": "Which pictures will it meet: at night, in fog, far away, half hidden, blurred, drawn? What then?",
    "notice": "How would you notice that it goes wrong?",
    "stop": "Who can stop it, and how?",
}


def read_answers(folder: Path) -> dict[str, str]:
    """The answers in a folder, by the key of their question; those that are missing or no text are left out."""
    try:
        found = json.loads((folder / PREMORTEM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: found[key] for key in QUESTIONS if isinstance(found.get(key), str) and found[key].strip()}


def read_costs(answers: Mapping[str, str], labels: Sequence[str]) -> dict[str, float]:
    """What the answers say that mistakes cost, {} where they do not say it.

    Raises:
        BadCosts: it is no table of costs of these labels.
    """
    parts = [part.strip() for part in answers.get(COSTS, "").split(";")]
    costs = read_cost_options([part for part in parts if part])
    make_costs(costs, labels)
    return costs


def write_answers(folder: Path, answers: Mapping[str, str]) -> Path:
    """Write the answers into a folder; return the file.

    Raises:
        DatasetUnwritable: the folder cannot be written.
    """
    path = folder / PREMORTEM
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(dict(answers), ensure_ascii=False, indent=1) + "\n").encode())
    except OSError as error:
        raise DatasetUnwritable(f"The answers cannot be written to {str(path)!r}: {error.strerror}.") from error
    return path
