"""On real bears: what three rules cost, and how often sets of labels hold the truth."""

import json

import pytest

from tests.conftest import Published


@pytest.mark.slow
def test_on_bears_deciding_is_priced_and_sets_hold_the_truth_as_often_as_wanted(real_bears: Published) -> None:
    metrics = json.loads((real_bears.folder / "metrics.json").read_text())
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
