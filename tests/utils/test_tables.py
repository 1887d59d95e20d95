"""Tables as CSV files, as different spreadsheets read them."""

import csv
import io
import random
import unicodedata

import pytest

from spotter.utils.tables import plain_cell, read_rows, write_rows

# What has no place in a name, and does not keep a spreadsheet from running what comes after it.
UNSEEN = [
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\u00a0",
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u202e",
    "\u3164",
    "\u0301",
    '"',
]
SIGNS = [*"=+-@", *"＝＋－＠", "﹦", "﹢", "﹣", "﹫"]


def first_seen(cell: str) -> str:
    """The first character that anybody sees, as an input method would have typed it."""
    text = cell.lstrip('" \u200c\u200d\u00a0\u3000\u3164\u115f\u1160\u2800\uffa0')
    seen = [c for c in text if unicodedata.category(c) not in {"Mn", "Me"}]
    return unicodedata.normalize("NFKC", seen[0]) if seen else ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("bear", "bear"),
        ("=1+1", "'=1+1"),
        ("-bear", "'-bear"),
        ("@x", "'@x"),
        ("a\nb\x1b", "a b "),
        ("＝1", "'＝1"),
        ("\u200b=1", "' =1"),
        ("a;=1", "a;'=1"),
        ("a; b-c", "a; b-c"),
        ("क्‍ष", "क्‍ष"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_cell_is_shown_and_not_run(value: str | None, cell: str) -> None:
    assert plain_cell(value) == cell


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_separates_them(separator: str) -> None:
    random_ = random.Random(separator)
    pieces = [*UNSEEN, *SIGNS, *"ab;,|'1", "熊", "न"]
    rows = [
        [
            "".join(random_.choice(UNSEEN) for _ in range(random_.randrange(3)))
            + random_.choice(SIGNS)
            + "".join(random_.choice(pieces) for _ in range(random_.randrange(12)))
            for _ in range(3)
        ]
        for _ in range(2_000)
    ]
    file = io.StringIO(newline="")
    write_rows(file, rows)
    for line in file.getvalue().split("\r\n"):
        for cell in next(csv.reader([line], delimiter=separator), []):
            assert first_seen(cell) not in set("=+-@"), repr(line)


def test_what_is_read_back_is_written_as_it_was() -> None:
    file = io.StringIO(newline="")
    write_rows(file, [[1, "=a;+b", -0.5, None, True], [2, "'", 1e-17, "é", False]])
    again = io.StringIO(newline="")
    write_rows(again, read_rows(io.StringIO(file.getvalue(), newline="")))
    assert again.getvalue() == file.getvalue()
    assert file.getvalue().splitlines() == ["1,'=a;'+b,-0.5,,True", "2,',1e-17,é,False"]
