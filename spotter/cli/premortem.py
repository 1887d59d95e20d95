"""Ask what a model is for and what could go wrong, before people use it.

    spotter premortem recipes/bears.toml
    spotter premortem models/bears    (the same, of a store or a picture set that was trained on here)

The answers go into its model card. What mistakes cost fills the table of costs of the next training, unless the recipe
or --cost say something else. Earlier answers are shown; an empty line keeps one. Before the question which pictures
will come, it tells what the model that was trained last made of the hardest ones in its stress test. Its report has
all of them, and `spotter stress` judges it on pictures of yours. Strips of text that one class alone has are told too.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spotter.utils.argument_parser import Options, Parser

if TYPE_CHECKING:
    from spotter.data.training_run import Run

# Of so many kinds of pictures, the hardest ones, it is told what the model made of them.
WORST = 3
# By the name of each shift of the stress test, which needs packages that asking does not.
KINDS = {
    "grey": "grey", "dark": "dark and noisy", "infrared": "infra-red", "fog": "fog", "defocus": "out of focus",
    "motion": "motion", "low-resolution": "low resolution", "jpeg": "heavy JPEG", "hidden": "partly hidden",
    "far": "small and far", "tilted": "tilted", "drawn": "drawn or printed", "text": "strip with text",
    "cast": "colour cast",
}  # fmt: skip
# After the questions, by their keys: what could be answered.
HELP = {"pictures": ", ".join(KINDS.values())}


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", type=Path, help="its recipe, or the store or picture set of its last training")
    parser.add_argument("--data", type=Path, default=Path("data"), help="of a recipe: as for spotter train")


def run(options: Options) -> str:
    """Ask each question; say what to do next."""
    from spotter.data.training_run import find_newest, find_pictures, read_run
    from spotter.errors import BadCosts
    from spotter.publish.premortem import COSTS, QUESTIONS, read_answers, read_costs, write_answers
    from spotter.recipe import read_recipe

    last: Run | None
    if options.model.is_dir():
        known = read_run(find_pictures(options.model))
        recipe, folder, last = known.recipe, known.folder.parent, known
    else:
        recipe = read_recipe(options.model)
        folder = options.data / recipe.name
        last = find_newest(folder)
    answers = read_answers(folder)
    for key, question in QUESTIONS.items():
        if key == "pictures" and last:
            metrics = read_metrics(last)
            if worst := tell_worst(metrics):
                print("\n".join(["What the last training found hardest:", *(f"  {line}" for line in worst)]))
            if isinstance(strips := metrics.get("strips"), str) and strips:
                print(f"What it found in its pictures:\n  {strips}")
        print(question)
        if key in HELP:
            print(f"  such as: {HELP[key]}")
        if key in answers:
            print(f"  so far: {answers[key]}")
        print("> ", end="", flush=True)
        answer = sys.stdin.readline().strip()
        if key == COSTS:
            try:
                read_costs({COSTS: answer}, recipe.labels)
            except BadCosts as error:
                # The other answers are worth keeping.
                print(f"  not kept: {error}")
                answer = ""
        answers |= {key: answer} if answer else {}
        # Saved at once, so that a person who stops here loses no answer.
        path = write_answers(folder, answers)
    open_ = len(QUESTIONS) - len(answers)
    return f"{path}: {f'{open_} unanswered; ' if open_ else ''}the next training puts them into the model card"


def read_metrics(run: "Run") -> dict[str, Any]:
    """`metrics.json` of what a training run published; {} where it is not on this machine any more, or damaged."""
    from spotter.bundle.format import METRICS
    from spotter.config import HUB
    from spotter.errors import SpotterError
    from spotter.stores import open_store

    if run.store.startswith(HUB):
        # Nobody who answers questions wants to wait for a model to arrive.
        return {}
    try:
        folder, _ = open_store(run.store).pull(run.revision)
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (SpotterError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tell_worst(metrics: Mapping[str, Any]) -> list[str]:
    """The rows of a stress test of which the smallest shares were right and answered, in words; [] without one."""
    from spotter.evaluate.stress_rows import StressRow

    columns = ("name", "strength", "pictures", "wrong", "answered", "wrong_answered", "calibration")
    try:
        rows = [StressRow(*(row[column] for column in columns)) for row in metrics["stress"]["rows"]]
        judged = sorted((row for row in rows if row.pictures), key=lambda row: row.share(row.right_answered))
        return [
            f"{row.title}: {row.right_answered} of {row.pictures} right and answered, {row.wrong_answered} wrong and "
            "answered"
            for row in judged[:WORST]
        ]
    except (KeyError, TypeError):
        # None was made, or an older version made it.
        return []
