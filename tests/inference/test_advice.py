"""What a model advises beside its answers: the same everywhere, and nothing where it was not published with costs."""

import base64
import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from gradio_client import Client, handle_file

from spotter.bundle.reading import read_bundle
from spotter.config import ServeConfig
from spotter.decide.costs import make_costs
from spotter.errors import BadPrior, BrokenModel
from spotter.images import load_picture
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.rollout.review_queue import Outcome, Waiting, WaitingFolder
from spotter.scale.answers import AnswerFile
from spotter.scale.classify import ClassifyJob, Model, classify_all
from spotter.scale.listing import list_pictures
from spotter.serve.app import create_app
from spotter.serve.page import html
from spotter.serve.page.translations import LANGUAGES, translate
from spotter.serve.service import Answer, ModelInfo, withheld
from spotter.stores import FolderStore
from tests.conftest import Revision
from tests.helpers.bundles import advising
from tests.helpers.drawing import draw
from tests.helpers.pictures import encode, serving

LABELS = ("disc", "cross", "stripes")
SETS = {"coverage": 0.95, "least": [0.001, 0.5, 0.001], "by_class": True}


def costs(**changes: object) -> dict[str, Any]:
    made = make_costs({"ask": 0.5, "cross as disc": 40, "cross as stripes": 40}, LABELS)
    assert made is not None
    return asdict(made) | changes


@pytest.fixture
def predictor(prebuilt: Revision, tmp_path: Path) -> Predictor:
    store = FolderStore(tmp_path / "store")
    store.push(advising(prebuilt.folder, tmp_path / "advising", costs=costs(), sets=SETS))
    return Predictor.load(store.root)


@pytest.fixture
def pictures(prebuilt: Revision, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "known.jpg").write_bytes((prebuilt.folder / "example-2.jpg").read_bytes())
    (folder / "stranger.png").write_bytes(encode(draw("disc", 1).convert("1").resize((900, 60)), "PNG"))
    return [folder / "known.jpg", folder / "stranger.png"]


def test_decisions_are_the_same_everywhere(
    predictor: Predictor, prebuilt: Revision, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    answers = [predictor.predict(path) for path in pictures]
    table = predictor.card.costs
    assert table is not None
    for told in answers:
        expected = [
            sum(told.probabilities[truth] * table.price(truth, done) for truth in LABELS)  # type: ignore[operator]
            for done in LABELS
        ]
        best = min(range(3), key=expected.__getitem__)
        ask = not told.familiar or expected[best] > 0.5
        assert told.decision == ("ask" if ask else LABELS[best])
        assert told.expected_cost == pytest.approx(0.5 if ask else expected[best], abs=1e-6)
    assert answers[1].decision == "ask"
    ranked = [sorted(told.probabilities, key=told.probabilities.__getitem__, reverse=True) for told in answers]
    least = dict(zip(LABELS, SETS["least"], strict=True))  # type: ignore[arg-type]
    assert answers[0].set == [label for label in ranked[0] if answers[0].probabilities[label] >= least[label]]
    # It may be anything.
    assert answers[1].set == ranked[1]
    wanted = [(told.decision, told.expected_cost, told.set) for told in answers]
    # The answers themselves are those of the model without costs.
    plain = Predictor.load(prebuilt.store)
    assert [plain.predict(path).record() for path in pictures] == [told.answer() for told in answers]

    info = ModelInfo("Shapes", predictor.labels, predictor.revision, predictor.threshold, advice=predictor.card.advice)
    with serving(create_app(predictor.predict, info, ServeConfig())) as url:
        one_by_one = [httpx2.post(f"{url}/api/classify", content=path.read_bytes()).json() for path in pictures]
        assert "decision, expected_cost, set" in httpx2.get(f"{url}/api").text
        client = Client(url, verbose=False, analytics_enabled=False)
        files = [handle_file(str(path)) for path in pictures]
        gradio = [client.predict(file, api_name="/classify") for file in files]
        assert all(set(client.predict(file, api_name="/predict")) == {"label", "confidences"} for file in files)
        many, saved = client.predict(files, api_name="/classify_batch")
    for found in (one_by_one, gradio, many["results"]):
        assert [(each["decision"], each["expected_cost"], each["set"]) for each in found] == wanted
    assert read_decisions(Path(saved).read_bytes().decode("utf-8-sig")) == wanted

    job = ClassifyJob(
        Model(str(tmp_path / "store")),
        AnswerFile(tmp_path / "answers.csv", predictor.labels, str(predictor.revision), predictor.card.advice),
    )
    classify_all(job, list_pictures(pictures[0].parent))
    assert read_decisions((tmp_path / "answers.csv").read_text()) == wanted
    parquet = pytest.importorskip("pyarrow.parquet")
    to = tmp_path / "answers.parquet"
    table_file = AnswerFile(to, predictor.labels, str(predictor.revision), predictor.card.advice)
    classify_all(ClassifyJob(Model(str(tmp_path / "store")), table_file), list_pictures(pictures[0].parent))
    assert [(row["decision"], row["expected_cost"], row["set"]) for row in parquet.read_table(to).to_pylist()] == wanted


def read_decisions(text: str) -> list[tuple[str, float, list[str]]]:
    rows = csv.DictReader(io.StringIO(text))
    return [(row["decision"], float(row["expected_cost"]), row["set"].split("|")) for row in rows]


def test_without_costs_nothing_is_added(prebuilt: Revision, pictures: list[Path], tmp_path: Path) -> None:
    predictor = Predictor.load(prebuilt.store)
    told = predictor.predict(pictures[0])
    assert (told.decision, told.expected_cost, told.set, predictor.card.advice) == (None, None, None, ())
    assert told.record() == told.answer()
    assert "cost" not in html.answer(told, "en")
    same = advising(prebuilt.folder, tmp_path / "null", costs=None, sets=None)
    assert read_bundle(same).card == predictor.card


def test_the_page_says_what_to_do(predictor: Predictor, pictures: list[Path]) -> None:
    known, stranger = (predictor.predict(path) for path in pictures)
    assert f"take it for {known.decision} (expected cost" in html.answer(known, "en")
    assert "ask a person (expected cost 0.5)" in html.answer(stranger, "en")
    assert "My best guess".casefold() in html.answer(stranger, "en").casefold()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_a_set_in_words(language: str) -> None:
    known = Prediction("disc", {"disc": 0.6, "cross": 0.3, "stripes": 0.1}, 0.9, True, 0.5)
    alone = html.answer(known, language)
    assert html.answer(replace(known, set=["disc"]), language) == alone
    two = html.answer(replace(known, set=["disc", "cross"]), language)
    assert f"Disc{translate('or', language)}cross" in two
    assert translate("set_told", language).replace("'", "&#39;") in two
    for unsure in ([], ["disc", "cross", "stripes"]):
        told = html.answer(replace(known, set=unsure), language)
        assert translate("unsure_set", language).replace("'", "&#39;") in told
        assert "disc" in told


SHARES = [0.5, 0.25, 0.25]
PRIOR = {"disc": 0.1, "cross": 0.9, "stripes": 0.0}


def weighed(plain: dict[str, float], prior: dict[str, float]) -> dict[str, float]:
    """Bayes, one label after the other."""
    parts = {label: plain[label] * prior[label] / share for label, share in zip(LABELS, SHARES, strict=True)}
    return {label: part / sum(parts.values()) for label, part in parts.items()}


def test_a_prior_of_a_request_is_told_with_both_probabilities(
    prebuilt: Revision, pictures: list[Path], tmp_path: Path
) -> None:
    folder = advising(prebuilt.folder, tmp_path / "shares", shares=SHARES, sets=SETS, costs=costs())
    predictor = Predictor(read_bundle(folder), "r")
    plain = predictor.predict(pictures[0])
    assert (plain.prior, plain.unweighted) == (None, None)
    info = ModelInfo(
        "Shapes", LABELS, "r", predictor.threshold, advice=predictor.card.advice, reweigh=predictor.reweigh
    )
    content = pictures[0].read_bytes()
    with serving(create_app(predictor.predict, info, ServeConfig())) as url:
        asked = f"{url}/api/classify?prior=disc:0.1,cross:0.9"
        told = httpx2.post(asked, content=content).json()
        data = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
        (together,) = httpx2.post(f"{url}/api/classify/batch?prior=disc:0.1,cross:0.9", json=[data]).json()["results"]
        without = httpx2.post(f"{url}/api/classify", content=content).json()
        refused = [
            httpx2.post(f"{url}/api/classify{path}", params={"prior": prior}, content=content)
            for prior in ("disk:1", "disc:0.5", "disc:2,cross:-1", "disc:1,disc:0", "", "disc")
            for path in ("", "/batch")
        ]
        twice = httpx2.post(f"{asked}&prior=disc:1", content=content)
        parameters = httpx2.get(f"{url}/openapi.json").json()["paths"]["/api/classify"]["post"]["parameters"]
    assert told["unweighted"] == plain.probabilities == without["probabilities"]
    assert told["prior"] == PRIOR
    assert told["probabilities"] == pytest.approx(weighed(plain.probabilities, PRIOR))
    assert told["closest"] == max(told["probabilities"], key=told["probabilities"].__getitem__)
    assert told["label"] == told["closest"]
    assert (told["familiarity"], told["familiar"]) == (plain.familiarity, plain.familiar)
    assert set(told["set"]) == set(plain.set or ()) - {"stripes"}
    expected = {
        done: sum(told["probabilities"][truth] * predictor.card.costs.price(truth, done) for truth in LABELS)  # type: ignore
        for done in (*LABELS, "ask")
    }
    assert told["expected_cost"] == pytest.approx(min(expected.values()))
    assert told["decision"] == min(expected, key=expected.__getitem__)
    assert {name: together[name] for name in together if name != "timings_ms"} == {
        name: told[name] for name in told if name != "timings_ms"
    }
    assert "prior" not in without
    for response in (*refused, twice):
        assert response.status_code == 400
        assert "prior" in response.json()["error"].casefold()
    assert [parameter["name"] for parameter in parameters] == ["prior"]


def test_a_label_that_does_not_occur_is_in_no_set(prebuilt: Revision, tmp_path: Path) -> None:
    every = SETS | {"least": [0.0, 0.0, 0.0]}
    folder = advising(prebuilt.folder, tmp_path / "all", shares=SHARES, sets=every, prior=list(PRIOR.values()))
    answer = Predictor(read_bundle(folder)).answer_from(np.array([0.4, 0.3, 0.3], np.float32), 1.0)
    assert 0 in PRIOR.values()
    assert sorted(answer.set or ()) == sorted(label for label, share in PRIOR.items() if share)


def test_a_revision_that_is_too_old_takes_no_prior(prebuilt: Revision, pictures: list[Path]) -> None:
    predictor = Predictor.load(prebuilt.store)
    with pytest.raises(BadPrior, match="publish it again"):
        predictor.reweigh(predictor.predict(pictures[0]), {"disc": 1})
    info = ModelInfo("Shapes", LABELS, "r", predictor.threshold)
    with serving(create_app(predictor.predict, info, ServeConfig())) as url:
        refused = httpx2.post(f"{url}/api/classify?prior=disc:1", content=pictures[0].read_bytes())
    assert (refused.status_code, "takes no prior" in refused.text) == (400, True)


def test_a_prior_of_the_model_is_in_every_answer(prebuilt: Revision, pictures: list[Path], tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.push(advising(prebuilt.folder, tmp_path / "prior", shares=SHARES, prior=list(PRIOR.values())))
    predictor, plain = Predictor.load(store.root), Predictor.load(prebuilt.store).predict(pictures[0])
    told = predictor.predict(pictures[0])
    assert (told.prior, told.unweighted) == (PRIOR, plain.probabilities)
    assert told.probabilities == pytest.approx(weighed(plain.probabilities, PRIOR))
    assert told.label == told.closest == max(told.probabilities, key=told.probabilities.__getitem__)
    assert "How often each of them occurs here" in html.answer(told, "en")
    # Another one takes its place.
    other = predictor.reweigh(told, {"stripes": 0.5, "disc": 0.5})
    half = {"disc": 0.5, "cross": 0.0, "stripes": 0.5}
    assert (other.prior, other.unweighted) == (half, plain.probabilities)
    assert other.probabilities == pytest.approx(weighed(plain.probabilities, half))
    for suffix in ("csv", "parquet"):
        if suffix == "parquet":
            parquet = pytest.importorskip("pyarrow.parquet")
        to = tmp_path / f"answers.{suffix}"
        answers = AnswerFile(to, predictor.labels, str(predictor.revision), predictor.card.advice)
        classify_all(ClassifyJob(Model(str(store.root)), answers), list_pictures(pictures[0].parent))
        if suffix == "csv":
            row = next(csv.DictReader(io.StringIO(to.read_text())))
            assert (json.loads(row["prior"]), json.loads(row["unweighted"])) == (PRIOR, plain.probabilities)
        else:
            first = parquet.read_table(to).to_pylist()[0]
            assert (first["prior"], first["unweighted"]) == (PRIOR, plain.probabilities)


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": [0.5, 0.5]},
        {"shares": [0.5, 0.5, 0.5]},
        {"shares": [0.5, 0.3, 0.19]},
        {"shares": [1.0, 0.0, 0.0]},
        {"shares": "abc"},
        {"prior": [0.5, 0.25, 0.25]},
        {"shares": SHARES, "prior": [1.5, -0.5, 0.0]},
        {"shares": SHARES, "prior": [True, False, False]},
    ],
)
def test_damaged_shares_are_refused_in_a_sentence(
    prebuilt: Revision, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = advising(prebuilt.folder, tmp_path / "damaged", **changes)
    with pytest.raises(BrokenModel, match=r"model\.json"):
        read_bundle(folder)


def test_an_answer_that_waits_tells_no_decision(predictor: Predictor, pictures: list[Path]) -> None:
    told = predictor.predict(pictures[0])
    record = withheld(Answer(told, {}, stage="supervised", picture=load_picture(pictures[0]))).prediction.record()
    assert {"decision", "expected_cost", "set"} & set(record) == set()
    assert record["label"] == "not sure"


def test_a_review_prices_its_errors_by_the_same_table(
    predictor: Predictor, pictures: list[Path], tmp_path: Path
) -> None:
    queue = WaitingFolder(tmp_path / "log", "r1", costs=predictor.card.costs)
    told = predictor.predict(pictures[0])
    tickets = [queue.add(load_picture(pictures[0]), told, "a") for _ in range(4)]
    entry = queue.find(tickets[0])
    assert isinstance(entry, Waiting)
    assert (entry.decision, entry.expected_cost) == (told.decision, told.expected_cost)
    for ticket, said in zip(tickets, ("cross", "disc", None, "stripes"), strict=True):
        queue.decide(ticket, said)
    outcomes = [queue.find(ticket) for ticket in tickets]
    assert predictor.card.costs is not None
    wanted = [predictor.card.costs.price(said, str(told.decision)) for said in ("cross", "disc", None, "stripes")]
    assert [outcome.cost for outcome in outcomes if isinstance(outcome, Outcome)] == wanted
    assert sorted(queue.priced()) == sorted(cost for cost in wanted if cost is not None)
    # Those of another revision are priced by that one.
    assert WaitingFolder(tmp_path / "log", "r2", costs=predictor.card.costs).priced() == []


def test_outcomes_of_before_are_read(tmp_path: Path, predictor: Predictor, pictures: list[Path]) -> None:
    queue = WaitingFolder(tmp_path / "log", "r1")
    ticket = queue.add(load_picture(pictures[0]), predictor.predict(pictures[0]), "a")
    queue.decide(ticket, "disc")
    place = tmp_path / "log" / "answered" / f"{ticket}.json"
    facts = json.loads(place.read_text())
    assert facts.pop("cost") is None
    place.write_text(json.dumps(facts))
    assert isinstance(queue.find(ticket), Outcome)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": [[0.0, 1.0, 1.0, 1.0]]},
        {"values": [[0.0, 1.0, 1.0]] * 3},
        {"values": [[1.0, 1.0, 1.0, 1.0]] * 3},
        {"labels": ["a", "b", "c"]},
        {"values": [[0.0, -1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]]},
        {"values": [[0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0]]},
        {"values": "no table"},
        {"more": 1},
    ],
)
def test_a_damaged_table_is_refused_in_a_sentence(
    prebuilt: Revision, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = advising(prebuilt.folder, tmp_path / "damaged", costs=costs(**changes))
    with pytest.raises(BrokenModel, match=r"model\.json"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "changes", [{"least": [0.1, 0.2]}, {"least": [0.1, 0.2, 2.0]}, {"coverage": 1.0}, {"by_class": 1}, {"more": 1}]
)
def test_damaged_sets_are_refused_in_a_sentence(prebuilt: Revision, tmp_path: Path, changes: dict[str, object]) -> None:
    folder = advising(prebuilt.folder, tmp_path / "damaged", sets=SETS | changes)
    with pytest.raises(BrokenModel, match=r"model\.json"):
        read_bundle(folder)
