"""Mistakes on the command line, and what was probably meant; variables of the environment that stand for options."""

import pytest

from spotter.cli import make_parser, serve
from spotter.errors import RecipeError, UnknownSource, did_you_mean
from spotter.recipe import read_recipe
from spotter.search import get_backend
from spotter.utils.argument_parser import Parser, from_environment, is_on
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


@pytest.mark.parametrize(("value", "found"), [("a b", "a b"), (" v2 \n", "v2"), ("", None), (" \t", None)])
def test_blanks_around_a_value_are_not_part_of_it(
    value: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REVISION", value)
    assert from_environment("MODEL_REVISION") == found


@pytest.mark.parametrize("value", ["", " ", "0", "false", "False", "no", "OFF", " 0\n"])
def test_words_that_mean_no_turn_nothing_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS", value)
    assert not is_on("METRICS")


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", " 1 "])
def test_all_else_turns_it_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS", value)
    assert is_on("METRICS")


def test_the_app_reads_its_variables_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL_STORE", "MODEL_REVISION", "FEEDBACK", "ANSWER_LOG", "ROLLOUT", "CHALLENGER"):
        monkeypatch.setenv(name, " \n")
    monkeypatch.setenv("MODEL_STORE", "models/bears\n")
    monkeypatch.setenv("METRICS", "false")
    monkeypatch.setenv("MODEL_INT8", "no")
    options = make_parser(serve, "app.py").parse_args([])
    assert options.model == "models/bears"
    assert (options.metrics, options.int8) == (False, False)
    assert {options.revision, options.feedback, options.log, options.rollout, options.challenger} == {None}
