"""The card's command: it runs as it is printed, and names nothing of the machine that it ran on."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from spotter.cli import make_parser
from spotter.cli import train as command
from spotter.decide.costs import read_cost_options
from spotter.publish.candidate import PICTURES, train_command
from spotter.recipe import choose_recipe
from spotter.search import get_backends
from tests.conftest import ROOT

OWN = 'name = "mine"\nper_class = 7\n[classes]\n"it\'s a" = "a, b = c"\nb = "b"\n'


PRIOR = ("--prior", "b:0.25,c:0.75")
COSTS = ("--cost", "black as teddy=0.1", "--cost", "ask=2")


@pytest.mark.parametrize("recipe", ["shipped", "own", "classes"])
@pytest.mark.parametrize(
    ("search", "shown"),
    [
        ("openverse,wikimedia", "openverse,wikimedia"),
        ("folder:{here}/private", f"folder:{PICTURES}"),
        ("hf:owner/things", "hf:owner/things"),
        ("table:{here}/private,with comma.csv", f"folder:{PICTURES}"),
        ("urls:{here}/list.txt,openverse", "manifest:manifest.jsonl,openverse"),
        ("urls:{here}/list.txt,manifest:{here}/m.jsonl", "manifest:manifest.jsonl"),
        ("folder:{here}/private,feedback:{here}/visitors", f"folder:{PICTURES}"),
    ],
)
def test_the_cards_command_runs_as_it_is_printed(
    recipe: str, search: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    chosen = {
        "shipped": [str(ROOT / "recipes" / "bears.toml")],
        "own": [str(tmp_path / "mine.toml")],
        "classes": ["--class", "a=b c", "--class", "d"],
    }[recipe]
    monkeypatch.chdir(tmp_path)
    more = ["--more", f"{ {'shipped': 'black', 'own': 'b', 'classes': 'd'}[recipe] }=at night"]
    words = [*chosen, "--search", search.format(here=tmp_path), *(more if "openverse" in search else [])]
    options = make_parser(command, "train.py").parse_args(
        [*words, "--fine-tune", "2", "--size", "96", "--int8", "--coverage", "0.9", *COSTS, *PRIOR]
    )
    known = replace(choose_recipe(options.recipe, options.classes), title="Whose’s this?", region="de-CH")
    known = replace(known, costs=read_cost_options(options.cost), prior={"b": 0.25, "c": 0.75})
    printed = train_command(options, known)
    assert str(tmp_path) not in printed
    # What a reader has: a checkout, pictures of their own, and the files of the revision.
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / PICTURES).mkdir()
    (tmp_path / "manifest.jsonl").write_text("")
    program, *arguments = shlex.split(printed)
    assert program == "train.py"
    again = make_parser(command, program).parse_args(arguments)
    assert again.search == shown
    assert choose_recipe(again.recipe, again.classes).classes == known.classes
    assert [source.name for source in get_backends(again.search)]
    assert (again.title, again.region) == (known.title, known.region)
    assert (again.fine_tune, again.size, again.int8, again.more) == (2, 96, True, options.more)
    assert (again.coverage, again.prior) == (0.9, "b:0.25,c:0.75")
    assert read_cost_options(again.cost) == known.costs
    assert train_command(again, known) == printed or recipe == "own"
