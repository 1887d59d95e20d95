"""Ask what a model is for and what could go wrong, before people use it.

    spotter premortem recipes/bears.toml
    spotter premortem models/bears    (the same, of a store or a picture set that was trained on here)

The answers go into its model card. What mistakes cost fills the table of costs of the next training, unless the recipe
or --cost say something else. Earlier answers are shown; an empty line keeps one. What the model makes of pictures
at night, in fog and so on stands in its report, or `spotter stress` tells it.
"""

import sys
from pathlib import Path

from spotter.utils.argument_parser import Options, Parser


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", type=Path, help="its recipe, or the store or picture set of its last training")
    parser.add_argument("--data", type=Path, default=Path("data"), help="of a recipe: as for spotter train")


def run(options: Options) -> str:
    """Ask each question; say what to do next."""
    from spotter.data.training_run import find_pictures, read_run
    from spotter.errors import BadCosts
    from spotter.publish.premortem import COSTS, QUESTIONS, read_answers, read_costs, write_answers
    from spotter.recipe import read_recipe

    if options.model.is_dir():
        run_before = read_run(find_pictures(options.model))
        recipe, folder = run_before.recipe, run_before.folder.parent
    else:
        recipe = read_recipe(options.model)
        folder = options.data / recipe.name
    answers = read_answers(folder)
    for key, question in QUESTIONS.items():
        print(question)
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
