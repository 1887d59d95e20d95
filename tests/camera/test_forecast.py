"""What to expect of a camera: false alarms and missed pictures a month."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom, nbinom

from spotter.camera.forecast import Rate, forecast
from spotter.cli import main
from spotter.errors import NothingToForecast
from tests.conftest import Revision
from tests.helpers.camera import shoot


def row(name: str, pictures: int, answered: int, wrong: int) -> dict[str, Any]:
    return {"name": name, "pictures": pictures, "answered": answered, "wrong_answered": wrong}


METRICS = {
    "stress": {
        "clean": row("clean", 400, 380, 4),
        "rows": [row("dark", 24, 12, 2), row("dark", 24, 6, 1), row("fog", 24, 20, 1), row("fog", 24, 16, 2)],
    }
}


def test_the_numbers_are_those_of_the_figures() -> None:
    clean, shifted = forecast(METRICS, 200, 3, 30, [], Rate(2, 100))
    assert clean.missed.mean == pytest.approx(90 * (20 + 4 + 0.5) / 401, rel=0.02)
    assert clean.wrong.mean == pytest.approx(90 * 4.5 / 401, rel=0.03)
    assert shifted.missed.mean == pytest.approx(90 * (42 + 6 + 0.5) / 97, rel=0.02)
    assert clean.false_alarms == shifted.false_alarms
    assert clean.false_alarms
    assert clean.false_alarms.mean == pytest.approx(6000 * 2.5 / 101, rel=0.02)
    (_, dark) = forecast(METRICS, 200, 3, 30, ["dark"], None)
    assert (dark.conditions, dark.false_alarms) == ("dark", None)
    assert dark.missed.mean == pytest.approx(90 * (30 + 3 + 0.5) / 49, rel=0.02)


def test_the_interval_holds_both_what_the_test_left_open_and_chance() -> None:
    """A share from a beta distribution and a Poisson number of it: between the two that are known in closed form."""
    clean, _ = forecast(METRICS, 0, 3, 30, [], None)
    shape, rate = 24.5, 401 / 90
    # For so small a share the beta distribution is nearly a gamma distribution, and the number negative binomial.
    low, high = nbinom(shape, rate / (1 + rate)).ppf([0.025, 0.975])
    assert (clean.missed.low, clean.missed.high) == pytest.approx((low, high), abs=1)
    fixed = betabinom(90, 24.5, 376.5).ppf([0.025, 0.975])
    assert np.diff(fixed)[0] <= clean.missed.high - clean.missed.low + 1


def test_more_pictures_of_other_things_make_the_interval_narrower() -> None:
    few, many = (forecast(METRICS, 100, 0, 30, [], Rate(n // 50, n))[0].false_alarms for n in (50, 5000))
    assert few
    assert many
    assert few.high - few.low > 3 * (many.high - many.low)


def test_a_camera_that_sees_nothing_misses_nothing() -> None:
    for each in forecast(METRICS, 0, 0, 30, [], Rate(1, 10)):
        assert each.missed.high == each.wrong.high == 0
        assert each.false_alarms
        assert each.false_alarms.high == 0


@pytest.mark.parametrize(
    ("metrics", "shifts", "sentence"),
    [
        ({}, [], "no stress test"),
        (METRICS, ["drak"], "did you mean 'dark'"),
        ({"stress": {"clean": row("clean", 0, 0, 0), "rows": []}}, [], "judged no pictures"),
    ],
)
def test_what_cannot_be_known_is_told(metrics: dict[str, Any], shifts: list[str], sentence: str) -> None:
    with pytest.raises(NothingToForecast, match=sentence):
        forecast(metrics, 1, 1, 30, shifts, None)


def test_the_command_tries_the_model_on_ones_own_empty_pictures(
    trained: Any, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["forecast", str(trained.store), "--empty", "200", "--subjects", "3"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "In 30 days with 3 pictures of" in out
    assert "all shifts of the stress test:" in out
    assert out.splitlines()[-1].startswith("Nobody knows how many false alarms")
    for number in range(4):
        shoot(tmp_path / f"{number}.jpg", "empty", 0, number)
    assert main([*command, "--pictures", str(tmp_path), "--shifts", "dark,infrared"]) == 0
    out = capsys.readouterr().out
    assert "dark, infrared:" in out
    assert out.splitlines()[-1].startswith("False alarms rest on 4 pictures of other things")
    assert json.loads((trained.folder / "metrics.json").read_text())["stress"]
    # The small revision of the tests has no stress test.
    assert main(["forecast", str(prebuilt.store), "--empty", "1", "--subjects", "1"]) == 1
