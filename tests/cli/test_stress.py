"""`spotter stress`: a published model, judged on labelled pictures as they are and under shifts."""

import hashlib
import html
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.bundle.format import REFERENCE
from spotter.bundle.reading import read_bundle
from spotter.cli import main
from spotter.cli.stress import NAMES
from spotter.evaluate.shifts import SHIFTS
from spotter.evaluate.stress_folder import judge_folder, write_stress_page
from spotter.images import load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.publish.writing import write_model_json, write_reference
from spotter.search.folder import Folder
from spotter.utils.stats import wilson_interval
from tests.conftest import Revision
from tests.helpers.bundles import advising
from tests.helpers.drawing import KINDS, distant, draw, write_folder

Run = tuple[int, str, str]


def test_the_shifts_that_help_names_are_those_there_are() -> None:
    assert list(NAMES) == list(SHIFTS)


def run(capsys: pytest.CaptureFixture[str], prebuilt: Revision, pictures: Path, *options: str) -> Run:
    status = main(["stress", str(prebuilt.store), "--pictures", str(pictures), *options])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that the model did not learn from: other ones of the same kinds."""
    root = tmp_path_factory.mktemp("unseen")
    for kind in ("disc", "cross", "stripes"):
        (root / kind).mkdir()
        for seed in range(100, 105):
            draw(kind, seed).reduce(3).save(root / kind / f"{seed}.jpg", quality=92)
    return root


def rows(out: str) -> dict[str, str]:
    """The rows of the table by their names."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("pictures are"))
    width = lines[start].index("number")
    return {
        line[:width].strip(): line[width:] for line in lines[start + 1 :] if re.match(r"\d", line[width : width + 1])
    }


def test_every_shift_is_judged_at_both_strengths_beside_the_pictures_as_they_are(
    prebuilt: Revision, unseen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, prebuilt, unseen)
    assert status == 0, err
    found = rows(out)
    assert len(found) == 1 + 2 * len(SHIFTS)
    predictor = Predictor.load(prebuilt.store)
    said = [(path.parent.name, predictor.predict(path)) for path in sorted(unseen.rglob("*.jpg"))]
    right = sum(answer.label == label for label, answer in said)
    wrong = sum(answer.familiar and answer.closest != label for label, answer in said)
    assert found["as they are"].startswith(f"15      {100 * right / 15:.1f} % (")
    assert f" {100 * wrong / 15:.1f} % (" in found["as they are"]
    # All shares with their intervals, in the order of the heads.
    assert re.search("^pictures are +number +right and answered +wrong and answered +answered +wrong +cal", out, re.M)
    counts = (right, wrong, sum(answer.familiar for _, answer in said), sum(a.closest != label for label, a in said))
    shares = [(count / 15, *wilson_interval(count, 15)) for count in counts]
    wanted = [f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})" for share, low, high in shares]
    assert re.findall(r"[\d.]+ % \([\d.]+ to [\d.]+\)", found["as they are"]) == wanted
    assert "under 14 shifts" in out.lower()
    assert "(as they are: " in out
    assert out.splitlines()[-1].startswith(("The hardest shift is ", "No shift costs much."))
    # The bar is not among the answers.
    assert "pictures: 100%" in err
    assert "100%|" not in out


def test_the_same_pictures_give_the_same_figures(
    prebuilt: Revision, unseen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (run(capsys, prebuilt, unseen, "--shifts", "dark, tilted, dark")[1] for _ in range(2))
    assert rows(first) == rows(second)
    assert list(rows(first)) == [
        "as they are", "dark and noisy, moderate", "dark and noisy, strong",
        "tilted, upside down, moderate", "tilted, upside down, strong",
    ]  # fmt: skip


def test_pictures_that_are_shifted_already_are_judged_as_they_are(
    prebuilt: Revision, unseen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, prebuilt, unseen, "--shifts", "none", "--revision", prebuilt.revision)
    assert status == 0
    assert list(rows(out)) == ["as they are"]
    assert re.search(r"^Right and answered: \d+ of 15 pictures, .* \(95 % interval .*\)\. Wrong", out.splitlines()[-1])


@pytest.mark.parametrize("side", [60, 300])
def test_pictures_as_they_are_are_judged_as_the_app_judges_them(side: int, prebuilt: Revision, tmp_path: Path) -> None:
    """With fewer pixels than the network sees and with more, and where the first look is not sure."""
    twice = {"second_look": {"window": 0.4, "margin": 0.001}, "threshold": 0.99}
    predictor = Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "files", **twice)))
    assert predictor.card.size == 64
    pictures, looked_twice = [], 0
    drawn = [(kind, draw(kind, seed)) for kind in KINDS for seed in range(100, 105)]
    for number, (kind, picture) in enumerate([*zip(KINDS * 2, distant(), strict=True), *drawn]):
        path = tmp_path / f"{number}.png"
        times = side / min(picture.size)
        picture.resize((round(picture.width * times), round(picture.height * times))).save(path)
        pictures.append((kind, path))
        answer, found = predictor.predict(path), judge_folder(predictor, pictures[-1:], []).test.clean
        assert (found.answered, found.wrong) == (answer.familiar, answer.closest != kind), path
        looked_twice += answer.looked_at is not None
    assert (looked_twice > 0) == (side > predictor.card.size)
    said = [predictor.predict(path).familiar for _, path in pictures]
    assert judge_folder(predictor, pictures, []).test.clean.answered == sum(said) < len(said)


def test_the_page_says_what_the_terminal_says_and_shows_a_picture_of_each_row(
    prebuilt: Revision, unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "stress.html"
    status, out, err = run(capsys, prebuilt, unseen, "--report", str(page))
    assert status == 0, err
    assert f"the figures as a page, with pictures: {page}" in out
    written = html.unescape(page.read_text().replace("\u00a0", " "))
    *_, sentence, advice = out.splitlines()
    assert sentence in written
    assert advice in written
    assert "<script" not in written
    assert re.findall(r'src="(.{10})', written) == ["data:image"] * (1 + 2 * len(SHIFTS))
    for shift in SHIFTS.values():
        assert f"<strong>{shift.title}</strong>" in written
    for name, row in rows(out).items():
        first = re.search(r"[\d.]+ %", row)
        assert first, name
        assert f"<td><span>{first[0]}</span>" in written, name


def test_the_picture_shown_is_one_that_is_wrong_and_answered_if_there_is_one_and_else_one_that_is_refused(
    prebuilt: Revision, unseen: Path
) -> None:
    predictor = Predictor.load(prebuilt.store)
    pictures = [(path.parent.name, path) for path in sorted(unseen.rglob("*.jpg"))]
    test = judge_folder(predictor, pictures, list(SHIFTS)).test
    kinds = set()
    for name in SHIFTS:
        both = [row for row in test.rows if row.name == name]
        shown = [row.example for row in both if row.example]
        assert len({example.file for example in shown}) == 1
        for row, example in zip(both, shown, strict=True):
            content = Path(example.file).read_bytes()
            square = to_square(load_picture(content), predictor.card.size, predictor.card.resize)
            seen = SHIFTS[name].show(square, row.strength, hashlib.sha256(content).hexdigest())
            assert seen is not None
            answer = predictor.predict(Image.fromarray(seen))
            assert example.label == Path(example.file).parent.name
            assert (example.called, example.familiar) == (answer.closest, answer.familiar)
            assert example.probability == pytest.approx(answer.probabilities[answer.closest])
        if any(row.wrong_answered for row in both):
            kinds.add("wrong")
            assert any(example.familiar and example.called != example.label for example in shown)
        elif any(row.answered < row.pictures for row in both):
            kinds.add("refused")
            assert not all(example.familiar for example in shown)
    assert "refused" in kinds


def test_a_picture_that_is_gone_before_the_page_is_written_is_not_shown(
    prebuilt: Revision, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "pictures", kinds=("disc",), count=1, shrink=3)
    (file,) = (folder / "disc").iterdir()
    predictor = Predictor.load(prebuilt.store)
    found = judge_folder(predictor, [("disc", file)], ["grey"])
    file.unlink()
    write_stress_page(tmp_path / "stress.html", found, predictor, folder, ["One is damaged."])
    written = (tmp_path / "stress.html").read_text()
    assert "<img" not in written
    assert "One is damaged." in written
    assert f"{file} cannot be shown any more" in caplog.text


@pytest.mark.parametrize("place", ["nowhere/stress.html", "."])
def test_a_page_that_cannot_be_written_there_is_told_before_anything_is_judged(
    place: str, prebuilt: Revision, unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(capsys, prebuilt, unseen, "--report", str(tmp_path / place))
    assert stopped.value.code == 2
    assert "--report: " in capsys.readouterr().err


def test_pictures_that_it_learnt_from_are_told(prebuilt: Revision, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, prebuilt, prebuilt.pictures, "--shifts", "none")
    told = re.search(r"(\d+) of 36 pictures are copies of pictures that the model learnt from; this flatters", out)
    # All but some that became others when they were stored, small as they are.
    assert told, out
    assert int(told[1]) >= 30


def test_one_copy_is_told_as_one(prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disc").mkdir()
    shutil.copy(prebuilt.pictures / "disc" / "000.jpg", tmp_path / "disc")
    _, out, _ = run(capsys, prebuilt, tmp_path, "--shifts", "none")
    assert "  1 of 1 picture is a copy of a picture that the model learnt from; this flatters" in out


def test_copies_are_found_beside_views_of_them(prebuilt: Revision, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prebuilt.folder, tmp_path / "files"))
    bundle = read_bundle(folder)
    # As many views as pictures, none of them near to anything.
    write_reference(folder / REFERENCE, np.concatenate([bundle.reference, -bundle.reference[1:]]))
    write_model_json(folder, replace(bundle.card, views=len(bundle.reference) - 1))
    pictures = [("disc", path) for path in sorted((prebuilt.pictures / "disc").iterdir())]
    before, after = (judge_folder(Predictor(each), pictures, []).learnt for each in (bundle, read_bundle(folder)))
    assert before == after >= 10


def test_what_cannot_be_read_is_left_out_and_what_nothing_is_left_of_is_counted(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "pictures", kinds=("disc",), count=2, shrink=3)
    Image.new("RGB", (40, 40), "tan").save(folder / "disc" / "plain.png")
    (folder / "disc" / "cut.jpg").write_bytes((folder / "disc" / "000.jpg").read_bytes()[:-300])
    (folder / "disc" / "notes.txt").write_text("none")
    (folder / "disc" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (folder / ".Trash-1000").mkdir()
    status, out, err = run(capsys, prebuilt, folder, "--shifts", "grey")
    assert status == 0, err
    assert "left out, as they cannot be read: 1 corrupt, 1 not-a-picture\n  Only JPEG, PNG, " in out
    assert "5 pictures, none of cross, stripes" in out
    found = rows(out)
    assert found["as they are"].startswith("2, 1 blank ")
    assert found["grey, strong"].startswith("2, 1 blank ")


def test_noise_and_text_on_a_picture_that_shows_nothing_are_not_judged(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "pictures", kinds=("disc",), count=1, shrink=3)
    Image.new("RGB", (40, 40)).save(folder / "disc" / "black.png")
    # So dark already that with less light, or behind fog, nothing is left.
    dim = np.asarray(draw("disc", 3)) * 0.04
    Image.fromarray(dim.astype(np.uint8)).save(folder / "disc" / "dim.png")
    status, out, err = run(capsys, prebuilt, folder)
    assert status == 0, err
    found = rows(out)
    assert len(found) == 1 + 2 * len(SHIFTS)
    assert found["as they are"].startswith("2, 1 blank ")
    assert all(re.match(r"[12], [12] blank ", row) for row in found.values())
    assert all(found[f"{name}, strong"].startswith("1, 2 blank ") for name in ("dark and noisy", "fog, low contrast"))
    # So few do not tell which shift hurts most.
    assert out.splitlines()[-1].startswith(("Fewer than 8 pictures do not tell", "Even as they are, hardly any"))


def test_where_nothing_is_left_of_any_picture_there_is_no_advice(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disc").mkdir()
    # Only in its colours is something to be seen.
    halves = Image.new("RGB", (40, 40), (5, 0, 0))
    halves.paste((0, 3, 0), (0, 0, 20, 40))
    halves.save(tmp_path / "disc" / "halves.png")
    status, out, _ = run(capsys, prebuilt, tmp_path, "--shifts", "grey")
    assert status == 0
    assert rows(out)["as they are"].startswith("1 ")
    assert rows(out)["grey, strong"].split() == ["0,", "1", "blank", "-", "-", "-", "-", "-"]
    assert out.splitlines()[-1] == "Under shifts, nothing was left to judge."


def test_where_there_is_nothing_to_see_as_they_are_it_ends_in_a_sentence(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disc").mkdir()
    Image.new("RGB", (40, 40), "tan").save(tmp_path / "disc" / "plain.png")
    status, _, err = run(capsys, prebuilt, tmp_path)
    assert status == 1
    assert re.search("^spotter stress: None of the pictures in .* shows anything: ", err, re.MULTILINE), err
    assert "Traceback" not in err


def test_of_a_split_only_the_held_out_pictures_are_judged(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "train", count=2, shrink=3)
    shutil.copytree(tmp_path / "train" / "cross", tmp_path / "valid" / "cross")
    _, out, _ = run(capsys, prebuilt, tmp_path, "--shifts", "none")
    assert "only the pictures that are kept for judging are judged" in out
    assert rows(out)["as they are"].startswith("2 ")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ({"disk": 1, "moth": 1}, r"The model has no class 'disk', 'moth'; it has 'cross', 'disc', 'stripes'\. Rename"),
        ({}, "has no sub-folder with pictures; sort them into a folder for each class: 'cross', 'disc', 'stripes'"),
        ({"disc": 0}, "None of the pictures in .* can be read"),
    ],
)
def test_what_cannot_be_judged_ends_in_a_sentence(
    folders: dict[str, int], said: str, prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, is_picture in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"no picture")
        if is_picture:
            draw("disc", 1).save(tmp_path / name / "1.jpg")
    # Beside the folders of the classes, none is of any.
    draw("disc", 2).save(tmp_path / "loose.jpg")
    status, _, err = run(capsys, prebuilt, tmp_path)
    assert status == 1
    assert re.search(f"^spotter stress: .*{said}", err, re.MULTILINE), err
    assert "Traceback" not in err


def test_folders_are_found_as_everywhere(prebuilt: Revision, tmp_path: Path) -> None:
    from spotter.cli.stress import find_pictures

    for name in ("R2-D2", "A_B", "café"):
        (tmp_path / name).mkdir()
        draw("disc", 1).save(tmp_path / name / "1.jpg")
    found = find_pictures(Folder(str(tmp_path)), ("r2 d2", "A/B", "café", "other"))
    assert [(label, path.parent.name) for label, path in found] == [
        ("r2 d2", "R2-D2"), ("A/B", "A_B"), ("café", "café"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        ("gray", "there is no shift 'gray', only grey, dark, .*did you mean 'grey'"),
        ("", "there is no shift ''"),
        ("none,grey", "there is no shift 'none', only .* or none alone"),
    ],
)
def test_unknown_shifts_are_wrong_usage(
    shifts: str, said: str, prebuilt: Revision, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stress", str(prebuilt.store), "--pictures", str(prebuilt.pictures), "--shifts", shifts])
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_folder_that_is_not_there_is_wrong_usage(prebuilt: Revision, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stress", str(prebuilt.store), "--pictures", "nowhere"])
    assert "--pictures: there is no folder 'nowhere'" in capsys.readouterr().err
