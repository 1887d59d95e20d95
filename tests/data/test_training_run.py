"""What a training leaves beside its pictures, and how a store tells where these are."""

import os
from pathlib import Path

import numpy as np
import pytest

from spotter.cli import main
from spotter.collect.picture_set import picture_folder
from spotter.config import TrainConfig
from spotter.data.training_run import PICTURES, Run, find_pictures, read_run, write_run
from spotter.errors import NoTrainingRun
from spotter.recipe import make_recipe


def test_folders_whose_names_are_not_utf_8_are_found_again(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4ren"))
    folder, store = odd / "set", odd / "store"
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("This disk takes UTF-8 alone.")
    recipe = make_recipe({"disc": "x", "cross": "y"}, "shapes")
    run = Run(
        folder=folder, recipe=recipe, config=TrainConfig(), command="train", store=str(store), revision="r",
        threshold=0.5, features="f", width=4, keys=("a",), given=("disc",), probabilities=np.full((1, 2), 0.5),
        familiarity=np.array([0.7]), folds=np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    write_run(run)
    assert find_pictures(store) == folder
    assert read_run(folder).store == str(store)
    places = {picture_folder(odd, recipe, f"folder:{each}") for each in (odd, tmp_path)}
    assert len(places) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a" * 5000, b"a\0b", b"", None])
def test_a_store_that_names_no_place_is_told(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / PICTURES).write_bytes(content)
    with pytest.raises(NoTrainingRun, match="There is no training run in"):
        find_pictures(tmp_path)
    assert main(["clean", "apply", str(tmp_path)]) == 1
    assert "give a store or a picture set" in capsys.readouterr().err
