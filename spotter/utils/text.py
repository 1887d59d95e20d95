"""Words and numbers as people read them: per cent, plurals, Markdown."""

import re
from typing import Literal

from spotter.names import is_writing

# All characters with a meaning in Markdown, HTML or the Hub's formulas.
_MARKDOWN = re.compile(r"""[\\`*_{}\[\]<>#|~&$:@^="]|(?<=www)\.""")


def percent(share: float, digits: int = 1, ends: Literal["rounded", "words", "open"] = "rounded") -> str:
    """A share in [0, 1] in per cent: "12.3 %".

    Args:
        digits: how many decimals.
        ends: what is said where rounding gives 0 or 100. "rounded": that number. "words": "under 0.1 %" and
            "over 99.9 %", unless the share is 0 or 1. "open": "< 0.1 %" and "> 99.9 %", also of 0 and 1, for what is
            never certain; this needs escaping in HTML.
    """
    number = f"{100 * share:.{digits}f}"
    is_end = float(number) in {0, 100} and (ends == "open" or 0 < share < 1)
    if ends == "rounded" or not is_end:
        return f"{number} %"
    under, over = ("under", "over") if ends == "words" else ("<", ">")
    step = 10.0**-digits
    return f"{under} {step:.{digits}f} %" if share < 0.5 else f"{over} {100 - step:.{digits}f} %"


def short_percent(share: float) -> str:
    """A share in per cent for a sentence: one decimal below 10 %, none above.

    A small share is never rounded to 0 % ("under 0.1 %"), and a share below 1 never to 100 % ("99 %").
    """
    if share <= 0 or share >= 1:
        return percent(min(max(share, 0), 1), 0)
    if share < 0.1:
        return "under 0.1 %" if share < 0.001 else percent(share)
    return percent(min(share, 0.99), 0)


def cost_figure(cost: float) -> str:
    """What something costs, from 0 to a thousand million, in two digits that mean something: "0.12", "2", "1200".

    What is less than a hundredth is "< 0.01"; this needs escaping in HTML.
    """
    return "< 0.01" if 0 < cost < 0.01 else f"{float(f'{cost:.2g}'):.10g}"


def plural(count: int, noun: str) -> str:
    """The count and the noun, with an s unless the count is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_sentence(text: str) -> str:
    """The same text with a capital at its beginning and a full stop at its end; "" stays so."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def one_line(error: Exception, which: int = 0) -> str:
    """A line of what an exception says, the first or the last (-1); its kind where it says nothing."""
    return [*str(error).strip().splitlines(), type(error).__name__][which if str(error).strip() else 0]


def writable(text: str) -> str:
    """The same text, with escapes for what no file can hold in UTF-8: halves of characters, and the bytes of a file's
    name that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def in_one_line(text: str) -> str:
    """The same text without line breaks and other control characters, runs of blanks made one."""
    return " ".join("".join(c if is_writing(c) else " " for c in text).split())


def escape_markdown(text: str) -> str:
    """The same text in one line, as words that Markdown shows as they are."""
    return _MARKDOWN.sub(r"\\\g<0>", in_one_line(text))
