"""The command line parser, with errors that name the nearest valid word, and the variables that stand for options."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from spotter.errors import did_you_mean

Options = argparse.Namespace

# What people write into a variable that is to turn nothing on.
OFF = {"0", "false", "no", "off"}


class Parser(argparse.ArgumentParser):
    """argparse's parser, which suggests the nearest valid word after a mistake.

    A command can have sub-commands, which stand in place of its first argument, and checks of its options.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands: dict[str, Parser] = {}
        self._checks: list[Callable[[Options], None]] = []
        self._given: Sequence[str] = ()

    def add_command(self, name: str, description: str) -> "Parser":
        """Add a sub-command; return its parser."""
        self.commands[name] = Parser(prog=f"{self.prog} {name}", description=description)
        return self.commands[name]

    def add_check(self, check: Callable[[Options], None]) -> None:
        """Run `check` on the options after they are read; it calls `error` when they are not valid."""
        self._checks.append(check)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse, with the sub-commands and the checks."""
        words = list(sys.argv[1:] if args is None else args)
        if words and words[0] in self.commands:
            return self.commands[words[0]].parse_args(words[1:], namespace)
        if len(words) > 1 and not words[1].startswith("-") and (meant := did_you_mean(words[0], self.commands)):
            self.error(f"there is no {words[0]!r}{meant}")
        options = super().parse_args(words, namespace)
        for check in self._checks:
            check(options)
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        if message.startswith("the following arguments are required") and (unknown := self._unknown()):
            # The unknown word is most likely a wrong spelling of the missing one.
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


def from_environment(name: str) -> str | None:
    """The value of a variable, without the blanks and line ends around it; None where there is none or it is empty."""
    return os.environ.get(name, "").strip() or None


def is_on(name: str) -> bool:
    """Whether a variable turns something on: it is set, and not to 0, false, no or off."""
    value = from_environment(name)
    return value is not None and value.lower() not in OFF
