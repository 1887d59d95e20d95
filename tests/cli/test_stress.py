"""`spotter stress`: a published model, judged on labelled pictures as they are and under shifts."""

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
from spotter.evaluate.stress_folder import judge_folder
from spotter.inference.predictor import Predictor
from spotter.publish.writing import write_model_json, write_reference
from spotter.search.folder import Folder
from tests.conftest import Revision
from tests.helpers.drawing import draw, write_folder

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


def test_pictures_that_it_learnt_from_are_told(prebuilt: Revision, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, prebuilt, prebuilt.pictures, "--shifts", "none")
    told = re.search(r"(\d+) of 36 pictures are copies of pictures that the model learnt from; this flatters", out)
    # All but some that became others when they were stored, small as they are.
    assert told, out
    assert int(told[1]) >= 30


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
    assert "left out, as they cannot be read: 1 corrupt, 1 not-a-picture" in out
    assert "5 pictures, none of cross, stripes" in out
    found = rows(out)
    assert found["as they are"].startswith("3 ")
    assert found["grey, strong"].startswith("2, 1 blank ")


def test_where_nothing_is_left_of_any_picture_there_is_no_advice(
    prebuilt: Revision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disc").mkdir()
    Image.new("RGB", (40, 40), "tan").save(tmp_path / "disc" / "plain.png")
    status, out, _ = run(capsys, prebuilt, tmp_path, "--shifts", "grey")
    assert status == 0
    assert rows(out)["grey, strong"].split() == ["0,", "1", "blank", "-", "-", "-", "-"]
    assert out.splitlines()[-1] == "Under shifts, nothing was left to judge."


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
