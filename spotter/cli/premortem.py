"""Ask what could go wrong before people use a model.

    spotter premortem recipes/bears.toml

The answers go into its model card. Earlier answers are shown; an empty line keeps one. What the model makes of pictures
at night, in fog and so on stands in its report, or `spotter stress` tells it.
"""

import sys
from pathlib import Path

from spotter.utils.argument_parser import Options, Parser


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("recipe", type=Path, help="the recipe of the model")
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for train.py (default: data)")


def run(options: Options) -> str:
    """Ask each question; say what to do next."""
    from spotter.publish.premortem import QUESTIONS, read_answers, write_answers
    from spotter.recipe import read_recipe

    folder = options.data / read_recipe(options.recipe).name
    answers = read_answers(folder)
    for key, question in QUESTIONS.items():
        print(question)
        if key in answers:
            print(f"  so far: {answers[key]}")
        print("> ", end="", flush=True)
        answer = sys.stdin.readline().strip()
        answers |= {key: answer} if answer else {}
        # Saved at once, so that a person who stops here loses no answer.
        path = write_answers(folder, answers)
    open_ = len(QUESTIONS) - len(answers)
    return f"{path}: {f'{open_} unanswered; ' if open_ else ''}the next training puts them into the model card"
