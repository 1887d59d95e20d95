"""The model card: what the Hub reads in it, what people read in it, and that nothing from outside can break it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastai.learner import load_learner
from huggingface_hub import ModelCard as HubCard
from markdown_it import MarkdownIt
from PIL import Image

from spotter import Predictor
from spotter.bundle.format import ModelSpec
from spotter.data.dataset import Dataset, Record
from spotter.decide.cost_figures import judge_costs
from spotter.decide.costs import make_costs
from spotter.evaluate.held_out import write_evaluation
from spotter.evaluate.metrics import Evaluation, Familiarity, evaluate
from spotter.evaluate.ood import Strangers
from spotter.evaluate.sources import SourceErrors
from spotter.evaluate.stress_rows import StressRow, StressTest, Unseen
from spotter.publish.model_card import write_card
from spotter.publish.premortem import QUESTIONS
from spotter.recipe import make_recipe
from spotter.utils.text import escape_markdown
from tests.conftest import ROOT, Revision
from tests.helpers.drawing import draw, encode, turned

LABELS = ("disc", "cross")
HOSTILE = [
    "---\nlicense: mit\n---",
    "a: [b",
    "x | y | z",
    "**bold** _it_ `code` ~~no~~",
    "<script>alert(1)</script><img src=x onerror=y>",
    "[click](https://evil.example) ![p](https://evil.example/p.png) https://evil.example www.evil.example",
    "# heading\n\n- item",
    "```\nfence",
    "\"quoted\" \\ 'single' &amp; {{ 7 * 7 }} {% raw %} $$x$$",
    "\u202e\x00\x1b[31mred\u2028line\ud800",
    "🐻 Bär 熊",
]


def make_card(title: str = "Disc or cross?", labels: tuple[str, str] = LABELS, command: str = "") -> ModelSpec:
    return ModelSpec(
        name="shapes", title=title, labels=labels, arch="tf_efficientnet_lite0", size=224, resize="crop",
        temperature=1.5, threshold=0.61, neighbours=3, versions={"fastai": "2.8.12", "timm": "1.0"},
        made={"command": command or "train.py --class disc", "seed": 42, "pictures": 20, "fine_tune_epochs": 0},
    )  # fmt: skip


def make_evaluation(labels: tuple[str, str] = LABELS) -> Evaluation:
    targets = np.repeat([0, 1], 10)
    probabilities = np.where(targets[:, None] == [0, 1], 0.9, 0.1)
    probabilities[3] = [0.2, 0.8]
    return evaluate(
        probabilities, targets, labels, [f"{n}.jpg" for n in range(20)], Familiarity(0.61, 0.97, 3), "a test"
    )


def make_dataset(labels: tuple[str, str] = LABELS, source: str = "openverse") -> Dataset:
    licenses = ["CC0-1.0", "unknown"]
    records = [
        Record(labels[n // 10], source, str(n), "q", n, "kept", file=f"{n}.jpg", license_id=licenses[n % 2])
        for n in range(20)
    ]
    return Dataset(Path("x"), labels, tuple(records), ())


def written(folder: Path, card: ModelSpec, **more) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    labels = (card.labels[0], card.labels[1])
    dataset = more.pop("dataset", make_dataset(labels))
    evaluation = replace(make_evaluation(labels), stress=more.pop("stress", None), sources=more.pop("sources", None))
    evaluation = replace(evaluation, costs=more.pop("costs", None), strips=more.pop("strips", ""))
    write_card(folder, card, evaluation, dataset, **more)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_what_mistakes_cost_is_a_table_with_a_row_for_what_is_true(tmp_path: Path) -> None:
    assert "mistakes cost" not in written(tmp_path / "without", make_card())
    card = make_card()
    costs = make_costs({f"{card.labels[0]} as {card.labels[1]}": 50, "ask": 2}, card.labels)
    assert costs is not None
    shares, targets = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    figures = judge_costs(costs, shares, np.array([True, True]), targets, np.arange(2))
    text = written(tmp_path / "with", replace(card, costs=costs), costs=figures)
    rows = text.split("right answer costs nothing.")[1].strip().splitlines()[:4]
    assert rows[0].endswith("| ask |")
    assert rows[2].endswith("| 0 | 50 | 2 |")
    assert rows[3].endswith("| 1 | 0 | 2 |")
    assert "1 cross as disc" in text


def test_the_hub_reads_its_metadata(tmp_path: Path) -> None:
    data = HubCard(written(tmp_path, make_card(), license_id="mit")).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("fastai", "image-classification", "mit")
    assert {"spotter", "fastai", "image-classification"} <= set(data.tags)
    assert data.model_name == "shapes"
    results = {result.metric_type: result for result in data.eval_results}
    assert results["accuracy"].metric_value == 0.95
    assert results["accuracy"].task_type == "image-classification"
    assert set(results) == {"accuracy", "expected_calibration_error", "nll"}


def test_what_could_go_wrong_is_told_or_that_nobody_said(tmp_path: Path) -> None:
    assert "has not said yet what could go wrong" in written(tmp_path, make_card())
    card = make_card()
    text = written(tmp_path, replace(card, made={**card.made, "premortem": {"worst": "<b>Bites*"}}))
    assert f"*{QUESTIONS['worst']}* \\<b\\>Bites\\*" in text
    assert "has not said yet" not in text


def test_no_licence_is_claimed_that_nobody_gave(tmp_path: Path) -> None:
    text = written(tmp_path, make_card())
    assert HubCard(text).data.license is None
    assert "has stated no licence" in text


def test_people_read_figures_with_intervals_sources_and_how_it_was_made(tmp_path: Path) -> None:
    text = written(tmp_path, make_card())
    assert "1 of 20 wrong: error 5.0% (95 % interval 0.9% to 23.6%; a test)." in text
    assert "| disc | 10 | 100.0% | 70.1% to 100.0% | 90.0% | 59.6% to 98.2% |" in text
    assert "| cross | openverse | CC0-1.0 | 5 |" in text
    for link in ("(confusion.png)", "(top_losses.png)", "(ATTRIBUTION.csv)", "(manifest.jsonl)"):
        assert link in text
    assert re.search(r"\| `model\.onnx` \| `[0-9a-f]{64}` \|", text)
    assert "was not measured" in text
    assert "train.py --class disc" in text


def test_strangers_are_told_where_they_were_measured(tmp_path: Path) -> None:
    strangers = Strangers(40, 0.9, 30, (0.598, 0.858), 0.97, ())
    text = written(tmp_path, make_card(), strangers=strangers)
    assert "Of 40 pictures of none of the classes, it refused 30 (95 % interval 59.8% to 85.8%)." in text


def make_stress(blank: bool = False) -> StressTest:
    """All right as they are; fog costs half of the answers and one more is wrong."""
    rows = [
        StressRow("fog", 1, 20, 0, 20, 0, 0.01, unseen=Unseen(20, 10, 0, 16, 1)),
        StressRow("fog", 2, 0, 0, 0, 0, 0.0, blank=20) if blank else StressRow("fog", 2, 20, 4, 9, 1, 0.2),
        StressRow("far", 1, 20, 0, 20, 0, 0.02),
        StressRow("far", 2, 20, 1, 18, 0, 0.05),
    ]
    return StressTest(StressRow("clean", 0, 20, 0, 20, 0, 0.01), tuple(rows))


def test_what_shifts_cost_is_told_in_a_table(tmp_path: Path) -> None:
    text = written(tmp_path, make_card(), stress=make_stress())
    assert "Pictures that it did not see, 20 of them for each row, changed" in text
    assert "| as they are | 100.0 % (83.9 to 100.0) |  | 0.0 % (0.0 to 16.1) |  |" in text
    assert (
        "| fog, low contrast | 100.0 % (83.9 to 100.0) | 40.0 % (21.9 to 61.3) | 0.0 % (0.0 to 16.1) | 5.0 % (0.9 to "
        "23.6) |"
    ) in text
    assert "Under 2 shifts, right and answered on 82 % of held-out pictures on average, wrong and answered on" in text
    assert (
        "By models that had learnt from no views like the shift they were judged by, right and answered on 50 % of "
        "pictures on average, wrong and answered on 0.0 % (with such views, on the same pictures in 1 of 4 rows and by "
        "one look too: 80 % and 5.0 %)."
    ) in text
    assert "The hardest shift is “fog, low contrast, strong”: 40 % right and answered." in text
    assert "`spotter stress STORE --pictures FOLDER`." in text
    assert r"Nobody knows the error on pictures from elsewhere\: it was not measured." in text
    section = text.split("## Pictures as they will come")[1].split("\n## ")[0]
    table = [token for token in MarkdownIt("gfm-like", {"linkify": False}).parse(section) if token.type == "tr_open"]
    assert len(table) == 4
    assert "| fog, low contrast | 100.0 % (83.9 to 100.0) | - |" in written(
        tmp_path, make_card(), stress=make_stress(blank=True)
    )


def test_strips_of_one_class_alone_are_told_whether_there_was_a_stress_test_or_not(tmp_path: Path) -> None:
    told = "strips of text along the edge: 40 of 50 disc_a, but 1 of 60 cross. A model may take the strip for the class"
    for stress in (make_stress(), None):
        text = written(tmp_path, make_card(), stress=stress, strips=told)
        section = text.partition("## Pictures as they will come")[2].partition("\n## ")[0]
        assert (
            r"Of the pictures it learned from: strips of text along the edge\: 40 of 50 disc\_a, but 1 of 60" in section
        )
    assert "strips of text along" not in written(tmp_path, make_card(), stress=make_stress())


def test_without_a_stress_test_the_card_says_how_to_make_one(tmp_path: Path) -> None:
    for stress in (None, StressTest(make_stress().clean)):
        text = written(tmp_path, make_card(), stress=stress)
        assert "half hidden was not measured. To\njudge it" in text
        assert "`spotter stress STORE --pictures FOLDER`." in text


def test_the_error_on_other_sources_is_told(tmp_path: Path) -> None:
    text = written(tmp_path, make_card(), sources=SourceErrors("source", (("openverse", 30, 2), ("wikimedia", 20, 1))))
    assert r"On pictures of sources that training never saw, 3 of 50 wrong\: error 6.0 % (95 % interval" in text
    named = (("folder:<b>*mine*", 30, 2), ("folder:other", 20, 1))
    text = written(tmp_path / "b", make_card(), sources=SourceErrors("source", named))
    assert r"each of 2 sources, folder\:\<b\>\*mine\*, folder\:other, left out in turn" in text


def test_the_code_in_it_runs(prebuilt: Revision, tmp_path: Path, monkeypatch, capsys) -> None:
    text = (prebuilt.folder / "README.md").read_text()
    alone, with_fastai, client = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copy(prebuilt.folder / "example-2.jpg", tmp_path / "picture.jpg")
    shutil.copy(prebuilt.folder / "export.pkl", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert '"hf://owner/name"' in alone
    for code in (alone.replace("hf://owner/name", str(prebuilt.store)), with_fastai):
        exec(code, {})  # noqa: S102
        assert re.search(r"^\(?'?cross\b", capsys.readouterr().out.replace("\r", "\n"), re.MULTILINE)
    assert 'api_name="/predict"' in client


def test_the_fastai_call_in_it_and_in_the_docs_answers_as_the_app_does(
    prebuilt: Revision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turned, transparent, of 16 bits, with a palette: as fastai alone reads them, half get other probabilities."""
    picture = Image.open(prebuilt.folder / "example-1.jpg")
    layer = picture.convert("RGBA")
    layer.putalpha(Image.linear_gradient("L").resize(layer.size))
    palette = layer.quantize(16)
    grey = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 200)
    files = [turned(draw("cross", number), number) for number in range(1, 9)]
    files += [encode(each, "PNG") for each in (layer, palette, grey, picture.convert("LA"))]
    files.append(encode(picture, "JPEG"))
    monkeypatch.chdir(tmp_path)
    store, predictor = tmp_path / "models" / "bears" / "revisions" / "REV", Predictor.load(prebuilt.store)
    shutil.copytree(prebuilt.folder, store)
    shutil.copy(prebuilt.folder / "export.pkl", tmp_path)
    of_docs = (ROOT / "docs" / "serving.md").read_text()
    calls = [code for text in (written(tmp_path / "card", make_card()), of_docs) for code in fastai_calls(text)]
    assert len(calls) == 2
    apart = []
    for number, content in enumerate(files):
        (tmp_path / "picture.jpg").write_bytes(content)
        expected = list(predictor.predict(content).probabilities.values())
        told: list[tuple] = []
        # One reading of the pickle is enough for each call.
        for code in calls if number == 0 else calls[:1]:
            exec(code, {"print": told.append})  # noqa: S102
        for _, _, probabilities in told:
            assert np.abs(probabilities.numpy() - expected).max() < 1e-4, number
        alone = load_learner(store / "export.pkl").predict(tmp_path / "picture.jpg")[2].numpy()
        apart.append(float(np.abs(alone - expected).max()))
    # Or this test would show nothing.
    assert sum(each > 5e-4 for each in apart) > 2
    assert apart[-1] < 1e-4


def fastai_calls(text: str) -> list[str]:
    return [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "load_learner" in code]


def test_the_command_is_explained_where_it_needs_files(tmp_path: Path) -> None:
    own = written(tmp_path / "a", make_card(command="train.py --class a --class b --search folder:pictures"))
    assert "`pictures` stands for a folder of one's own pictures" in own
    assert "`manifest.jsonl` is the file from here" not in own
    listed = written(tmp_path / "b", make_card(command="train.py --search manifest:manifest.jsonl"))
    assert "`manifest.jsonl` is the file from here" in listed


def test_ones_own_pictures_are_called_so(tmp_path: Path) -> None:
    text = written(tmp_path, make_card(), dataset=make_dataset(source="folder"))
    assert "| disc | the owner's own | – | " in text
    assert "unknown" not in text


def test_a_converted_model_says_so_and_claims_no_unseen_pictures(tmp_path: Path) -> None:
    made = {"command": "scripts/convert export.pkl --trust", "seed": 42, "converted": True, "pictures": 20}
    text = written(tmp_path, replace(make_card(), arch="resnet18", made=made))
    data = HubCard(text).data
    assert "timm" not in data.tags
    assert all("pictures it may have learnt from" in result.dataset_name for result in data.eval_results)
    for words in (
        "was **converted** from a fastai export",
        "may have learnt from these very pictures",
        "the export needs",
        "was not measured, as nobody here knows what it learnt from",
        "`spotter stress STORE --pictures FOLDER`",
    ):
        assert words in text
    for words in (
        "did not see",
        "training pictures",
        "ImageNet",
        "temperature",
        "python scripts/convert",
        "20 pictures that",
    ):
        assert words not in text
    assert re.search(r"```sh\nscripts/convert export\.pkl --trust\n```", text)
    assert re.search(r"\| `model\.onnx` \| `[0-9a-f]{64}` \|", text)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "a", make_card()) == written(tmp_path / "b", make_card())


def headings(tokens: list) -> list[str]:
    return [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_breaks_neither_metadata_nor_markdown(text: str, tmp_path: Path) -> None:
    parser = MarkdownIt("gfm-like", {"linkify": False})
    plain = parser.parse(HubCard(written(tmp_path / "plain", make_card())).text)
    card = make_card(title=text, labels=(text, "cross"), command=f"train.py --class {text}")
    hostile = HubCard(written(tmp_path / "hostile", card, dataset=make_dataset((text, "cross"), source=text)))
    assert hostile.data.license is None
    assert hostile.data.library_name == "fastai"
    assert hostile.data.eval_results
    tokens = parser.parse(hostile.text)
    assert [token.type for token in tokens] == [token.type for token in plain]
    assert headings(tokens)[1:] == headings(plain)[1:]
    shown = re.sub(r"[^\x21-\x7e🐻Bär熊]+", "", text)
    children = [child for token in tokens for child in token.children or ()]
    kinds = {child.type for child in children}
    assert "html_inline" not in kinds
    links = [child.attrs["href"] for child in children if child.type == "link_open"]
    pictures = [child.attrs["src"] for child in children if child.type == "image"]
    assert set(links) == {"ATTRIBUTION.csv", "manifest.jsonl"}
    assert pictures == ["confusion.png", "top_losses.png"]
    # What GitHub and the Hub make links of without being asked.
    assert not re.search(r"https?://evil|www\.evil", hostile.text.replace(card.made["command"].replace("\n", " "), ""))
    title = next(token for i, token in enumerate(tokens) if tokens[i - 1].type == "heading_open")
    assert re.sub(r"[^\x21-\x7e🐻Bär熊]+", "", "".join(child.content for child in title.children or ())) == shown


def test_the_card_names_the_classes_that_are_numbers_in_the_plots(tmp_path: Path) -> None:
    # Of a script that is not in use, so that no font has it.
    labels = ("cross", "\U0001fbf0 \ue000 [x]")
    write_evaluation(make_evaluation(labels), None, replace(make_dataset(labels), folder=tmp_path), tmp_path)
    text = written(tmp_path, make_card(labels=labels), dataset=make_dataset(labels))
    assert "no font had: 2 is " in text
    assert "\\[x\\]" in text.partition("no font had: 2 is ")[2].partition("\n")[0]
    assert "no font had" not in written(tmp_path / "plain", make_card())


def test_words_stay_readable() -> None:
    assert escape_markdown("Grizzly, black-bear or (toy) teddy's?") == "Grizzly, black-bear or (toy) teddy's?"


def test_a_published_card_is_whole(prebuilt: Revision) -> None:
    folder = prebuilt.folder
    card = HubCard.load(folder / "README.md")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert card.data.eval_results
    accuracy = next(result for result in card.data.eval_results if result.metric_type == "accuracy")
    assert accuracy.metric_value == round(1 - metrics["error"], 4)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", card.text):
        assert (folder / target).is_file(), target
    hashes = json.loads((folder / "model.json").read_text())["sha256"]
    listed = dict(re.findall(r"\| `([\w.-]+)` \| `([0-9a-f]{64})` \|", card.text))
    assert listed == {name: digest for name, digest in hashes.items() if name != "README.md"}


def test_a_licence_must_look_like_one_of_the_hubs(tmp_path: Path) -> None:
    from spotter.errors import RecipeError
    from spotter.recipe import read_recipe

    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\nlicense = "cc-by-4.0"\n[classes]\na = "a"\nb = "b"\n')
    assert read_recipe(recipe) == replace(make_recipe({"a": "a", "b": "b"}, "r"), license="cc-by-4.0")
    recipe.write_text('name = "r"\nlicense = "My own: [x]"\n[classes]\na = "a"\nb = "b"\n')
    with pytest.raises(RecipeError, match="license must be"):
        read_recipe(recipe)
