"""Every command tells its options on one screen, loads nothing heavy for that, and is on the page about all of them."""

import subprocess
import sys
from argparse import SUPPRESS

import pytest

import spotter
from scripts import cli_docs
from spotter.cli import COMMANDS, load_command, main, make_parser
from spotter.cli.common import SOURCES
from spotter.search import BACKENDS
from tests.conftest import ROOT

HEAVY = {
    "torch",
    "fastai",
    "sklearn",
    "scipy",
    "gradio",
    "onnxruntime",
    "PIL",
    "huggingface_hub",
    "ray",
    "tqdm",
    "httpx",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = load_command(name)
    parser = make_parser(command, f"spotter {name}")
    for one in (parser, *parser.commands.values()):
        text = one.format_help()
        assert len(text.splitlines()) <= 40, one.prog
        assert one.description
        for action in one._actions:
            assert action.help not in (None, "", SUPPRESS), (one.prog, action.dest)


def test_help_of_all_is_one_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    told = [line.split()[0] for line in lines if line.startswith("  ")]
    assert [name for name in COMMANDS if name not in told] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "did you mean 'train'?"),
        ([], "required: COMMAND"),
        (["serve", "--modle", "x"], "spotter serve: error: unrecognized arguments: --modle; did you mean '--model'?"),
        (["clean", "exprot", "models/bears"], "there is no 'exprot'; did you mean 'export'?"),
        (
            ["clean", "export", "models/bears"],
            "spotter clean export: error: the following arguments are required: file",
        ),
        (["rollback", "models/bears", "v2", "--list"], "spotter rollback: error: give a revision or --list, not both"),
        (["deploy", "hf://o/s", "--model", "hf://o/m", "--hardware", "cpu-basik"], "did you mean 'cpu-basic'?"),
    ],
)
def test_wrong_usage_exits_2_and_names_what_was_meant(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MODEL_STORE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_reading_the_options_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom spotter.cli import COMMANDS, load_command, make_parser\n"
        "for name in COMMANDS: make_parser(load_command(name), name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_sources_that_help_names_are_those_there_are() -> None:
    assert list(SOURCES) == sorted(BACKENDS)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["classify", "pictures", "--model", "models/bears", "--to", "answers.csv"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("spotter classify: This needs the package 'tqdm', which is not installed: pip install ")
    assert len(said.splitlines()) == 1


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"spotter {spotter.__version__}\n"


def test_public_names_are_there_when_asked_for() -> None:
    for name in spotter.__all__:
        assert getattr(spotter, name)
    with pytest.raises(AttributeError, match="no attribute 'Spotter'"):
        spotter.Spotter  # noqa: B018


def test_the_page_of_all_commands_is_not_stale() -> None:
    assert cli_docs.PAGE.read_text() == cli_docs.make_page(), "scripts/cli_docs writes it anew"
