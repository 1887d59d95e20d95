"""Ask what a model is for and what could go wrong, before people use it.

    spotter premortem recipes/bears.toml

The answers go into its model card. What mistakes cost fills the table of costs of the next training, unless the recipe
or --cost say something else. Earlier answers are shown; an empty line keeps one. What the model makes of pictures
at night, in fog and so on stands in its report, or `spotter stress` tells it.
"""

import sys
from pathlib import Path

from spotter.utils.argument_parser import Options, Parser


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("recipe", type=Path, help="the recipe of the model")
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for spotter train (default: data)")


def run(options: Options) -> str:
    """Ask each question; say what to do next."""
    from spotter.errors import BadCosts
    from spotter.publish.premortem import COSTS, QUESTIONS, read_answers, read_costs, write_answers
    from spotter.recipe import read_recipe

    recipe = read_recipe(options.recipe)
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
