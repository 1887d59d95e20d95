"""On real bears: what three rules cost, and how often sets of labels hold the truth."""

import contextlib
import io
import json
from pathlib import Path

import pytest


@pytest.mark.slow
def test_on_bears_deciding_is_priced_and_sets_hold_the_truth_as_often_as_wanted(
    bear_photos: Path, tmp_path: Path
) -> None:
    import train

    words = [word for label in ("grizzly", "black", "teddy") for word in ("--class", label)]
    words += ["--search", f"folder:{bear_photos}", "--to", str(tmp_path / "store"), "--data", str(tmp_path / "data")]
    words += ["--cost", "grizzly as teddy=50", "--cost", "black as teddy=50", "--cost", "ask=2", "--no-shifts"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert train.main(words) == 0
    revision = said.getvalue().splitlines()[-1].removeprefix("revision ")
    metrics = json.loads((tmp_path / "store" / "revisions" / revision / "metrics.json").read_text())
    costs, counts = metrics["costs"], metrics["sets"]["counts"]
    assert costs["ask"]["cost"] == 2
    # Asking now and then is far cheaper than asking always, and never much dearer than not at all.
    assert costs["decision"]["cost"] < 0.25 * costs["ask"]["cost"]
    assert costs["decision"]["interval"][0] <= costs["decision"]["cost"] <= costs["decision"]["interval"][1]
    dear = [each for each in costs["mistakes"] if each["done"] == "teddy"]
    assert sum(each["pictures"] for each in dear) <= 1
    assert metrics["sets"]["by_class"]
    assert 0.94 <= counts["coverage"] <= 0.99
    assert 0.95 <= counts["size"] <= 1.2
