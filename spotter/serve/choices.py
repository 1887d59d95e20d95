"""What a person chooses from who says what a picture is, in a form or by a program."""

from collections.abc import Sequence

YES, NO = "yes", "no"
# What stands for none of the labels; a label's place stands for it, as a label may be any text.
NONE = "none"


def is_choice(said: object, labels: Sequence[str]) -> bool:
    """Whether a form or a program sent what can be chosen."""
    return isinstance(said, str) and said in {NONE, *map(str, range(len(labels)))}


def chosen_label(said: str, labels: Sequence[str]) -> str | None:
    """The label that was chosen; None: none of them."""
    return None if said == NONE else labels[int(said)]
