"""The small revision in tests/assets is what train.py makes of drawn shapes."""

import json
from pathlib import Path

import numpy as np
import pytest

from spotter import Predictor
from tests.conftest import ASSETS, Revision
from tests.helpers.drawing import KINDS, draw


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in (ASSETS / "shapes").rglob("*") if path.is_file()) < 300_000


@pytest.mark.slow
def test_made_anew_it_holds_and_answers_the_same(prebuilt: Revision, tmp_path: Path) -> None:
    from tests.assets.make import make_revision

    folder = tmp_path / "shapes" / "revisions" / make_revision(tmp_path / "shapes")
    assert {path.name for path in folder.iterdir()} == {path.name for path in prebuilt.folder.iterdir()}
    old, new = (json.loads((place / "model.json").read_text()) for place in (prebuilt.folder, folder))
    # The asset is from before these. Without shifted views the first two say nothing; nobody gave costs or a prior.
    assert new.keys() - old.keys() == {"certainty", "views", "costs", "prior", "sets", "shares", "second_look"}
    assert (new["certainty"], new["views"], new["costs"], new["prior"]) == (0, 0, None, [])
    assert new["second_look"] is None
    assert old.keys() <= new.keys()
    before, now = Predictor.load(prebuilt.store), Predictor.load(tmp_path / "shapes")
    assert now.card.threshold == pytest.approx(before.card.threshold, abs=1e-3)
    for picture in (draw(kind, seed) for kind in KINDS for seed in range(100, 110)):
        one, other = before.predict(picture), now.predict(picture)
        assert other.label == one.label
        assert other.familiarity == pytest.approx(one.familiarity, abs=1e-3)
        assert np.allclose(
            [other.probabilities[kind] for kind in KINDS], [one.probabilities[kind] for kind in KINDS], atol=1e-3
        )
