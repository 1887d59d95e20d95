"""The command line, with errors that name the nearest valid word."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from spotter.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """argparse's parser; after a mistake it proposes what was probably meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        if message.startswith("the following arguments are required") and (unknown := self._unknown()):
            # What is missing was most likely meant by what is not understood.
            message = f"unrecognized arguments: {' '.join(unknown)}"
        words = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        guesses = []
        if message.startswith("unrecognized arguments"):
            guesses = [did_you_mean(word, self._option_string_actions) for word in words]
        elif wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message):
            guesses = [did_you_mean(wrong[1], [choice.strip("'") for choice in wrong[2].split(", ")])]
        super().error(message + "".join(guesses))

    def _unknown(self) -> list[str]:
        names = [word.partition("=")[0] for word in self._given if word.startswith("--") and word != "--"]
        return [name for name in names if not any(known.startswith(name) for known in self._option_string_actions)]
