"""The command line, with errors that name the nearest valid word."""

import argparse
import re
from typing import NoReturn

from spotter.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """argparse's parser; after a mistake it proposes what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        words = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        guesses = []
        if message.startswith("unrecognized arguments"):
            guesses = [did_you_mean(word, self._option_string_actions) for word in words]
        elif wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message):
            guesses = [did_you_mean(wrong[1], [choice.strip("'") for choice in wrong[2].split(", ")])]
        super().error(message + "".join(guesses))
