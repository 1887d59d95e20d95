"""Ask what could go wrong before people use a model; the answers go into its model card.

    scripts/premortem recipes/bears.toml

Earlier answers are shown; an empty line keeps one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command
from spotter.config import read_recipe
from spotter.parser import Parser
from spotter.premortem import QUESTIONS, read_answers, write_answers


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, write the answers down, and return the exit status."""
    parser = Parser(prog="scripts/premortem", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="the recipe of the model")
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for train.py (default: data)")
    options = parser.parse_args(argv)
    return run_command("scripts/premortem", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Ask each question; say what to do next."""
    folder = options.data / read_recipe(options.recipe).name
    answers = read_answers(folder)
    for key, question in QUESTIONS.items():
        print(question)
        if key in answers:
            print(f"  so far: {answers[key]}")
        print("> ", end="", flush=True)
        answer = sys.stdin.readline().strip()
        answers |= {key: answer} if answer else {}
        # At once: whoever stops here has not lost what was said.
        path = write_answers(folder, answers)
    open_ = len(QUESTIONS) - len(answers)
    return f"{path}: {f'{open_} unanswered; ' if open_ else ''}the next training puts them into the model card"


if __name__ == "__main__":
    sys.exit(main())
