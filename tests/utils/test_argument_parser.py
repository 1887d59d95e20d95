"""Mistakes on the command line, and what was probably meant."""

import pytest

from spotter.errors import RecipeError, UnknownSource, did_you_mean
from spotter.recipe import read_recipe
from spotter.search import get_backend
from spotter.utils.argument_parser import Parser
from tests.conftest import ROOT


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="it")
    parser.add_argument("--search")
    parser.add_argument("--license", choices=["any", "open", "commercial"])
    return parser


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (["--serach", "x"], "did you mean '--search'?"),
        (["--serach=x"], "did you mean '--search'?"),
        (["--license", "comercial"], "did you mean 'commercial'?"),
        (["--license", "qqq"], None),
        (["--unheard-of"], None),
    ],
)
def test_the_nearest_word_is_proposed(
    parser: Parser, words: list[str], guess: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert (guess in said) if guess else ("did you mean" not in said)


def test_nearest_source_and_recipe() -> None:
    with pytest.raises(UnknownSource, match=r"choose one of: brave.*; did you mean 'openverse'"):
        get_backend("openvers")
    with pytest.raises(RecipeError, match=r"did you mean '.*recipes/bears\.toml'\?$"):
        read_recipe(ROOT / "recipes" / "bear.toml")
    assert did_you_mean("zebra", ["openverse"]) == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--modle", "x"], "unrecognized arguments: --modle; did you mean '--model'?"),
        (["--modle=x"], "unrecognized arguments: --modle; did you mean '--model'?"),
        ([], "the following arguments are required: --model"),
        (["--other", "--modle"], "unrecognized arguments: --modle; did you mean '--model'?"),
        (["--oth", "x"], "the following arguments are required: --model"),
    ],
)
def test_what_is_missing_may_be_mistyped(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="it")
    parser.add_argument("--model", required=True)
    parser.add_argument("--other", nargs="?")
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert capsys.readouterr().err.splitlines()[-1] == f"it: error: {said}"
