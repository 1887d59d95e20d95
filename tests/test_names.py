"""Labels in any script, the folders that stand for them, and what is never a picture of anybody's."""

import random
import unicodedata

import pytest

from spotter.errors import RecipeError
from spotter.names import alike, clean_label, find_name, folder_name, is_system_path, same_name, slug, why_no_label
from spotter.recipe import make_recipe, recipe_from_options
from tests.helpers.labels import WORDS, random_labels


@pytest.mark.parametrize("label", WORDS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_label_of_any_script_is_kept_as_it_was_written(label: str, form: str) -> None:
    written = unicodedata.normalize(form, label)
    recipe = recipe_from_options([f"{written}=words", "something else"])
    assert recipe.labels[0] == unicodedata.normalize("NFC", label)
    assert recipe.classes[0].query == "words"
    assert make_recipe({written: "x", "other": "y"}, "r").labels[0] == recipe.labels[0]


def test_generated_labels_have_folders_of_their_own_or_are_refused() -> None:
    labels = random_labels(seed=5, count=2000)
    accepted = [label for label in map(clean_label, labels) if why_no_label(label) is None]
    assert len(accepted) > 1500
    for label in accepted:
        name = folder_name(label)
        assert folder_name(name) == name or name.endswith("_")
        assert 0 < len(name.encode()) <= 255
        assert not set('/\\:*?"<>|\0') & set(name)
        assert not name.startswith(".")
        assert name[-1] not in ". "
        assert not is_system_path(name)
        assert find_name(label, ["zzz", name]) == name
        assert find_name(label, ["zzz", unicodedata.normalize("NFD", name)]) is not None
    rng = random.Random(5)
    for _ in range(300):
        classes = rng.sample(accepted, 4)
        if alike(classes):
            with pytest.raises(RecipeError, match="differ only in case or punctuation"):
                make_recipe(dict.fromkeys(classes, "x"), "r")
        else:
            labels = make_recipe(dict.fromkeys(classes, "x"), "r").labels
            assert len({folder_name(label).casefold() for label in labels}) == 4


def test_what_was_a_label_and_its_folder_before_still_is() -> None:
    for label in ("black bear", "Ours brun (été)", "a_b-c", "R&B, live", "rock 'n' roll", "v1.5 (b)", "木"):
        assert why_no_label(label) is None
        assert folder_name(label) == clean_label(label) == label


def test_marks_and_symbols_tell_labels_apart_and_spelling_does_not() -> None:
    assert alike(["हिन्दी", "हन्द", "C", "C++", "C#", "R&B", "RB", "1.5", "15"]) is None
    for pair in (("Cat", "cat"), ("A/B", "A:B"), ("café", "cafe\u0301"), ("Steller's jay", "Steller’s jay")):
        assert alike(pair) == pair
    assert slug("हिन्दी") != slug("हन्द")
    assert slug("مَرْيَم") != slug("مريم")
    assert same_name("cafe\u0301", "CAFÉ")


@pytest.mark.parametrize(
    "label",
    [
        "not sure",
        "Not Sure",
        "NOT-SURE",
        "not  sure?",
        "ｎｏｔ ｓｕｒｅ",
        "no\u034ft sure",
        "not\u00a0sure",
        "None of these",
    ],
)
def test_the_words_for_unfamiliar_pictures_are_no_label_in_any_form(label: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a label: this is what Spotter itself says"):
        make_recipe({label: "x", "other": "y"}, "r")


@pytest.mark.parametrize("label", ["a\u202eb", "a\u200bb", "a\ufeffb", "a\x7fb", "a\u2028b", "\ud800a", "a|b", "a=b"])
def test_characters_that_nobody_sees_or_that_mean_something_are_named(label: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a label: it holds"):
        make_recipe({label: "x", "other": "y"}, "r")


@pytest.mark.parametrize(
    "path",
    [
        ".Trash-1000/files/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".ipynb_checkpoints/a.png", "__MACOSX/._a.jpg",
        "x/$RECYCLE.BIN/a.jpg", "x\\$Recycle.Bin\\a.jpg", "System Volume Information/a.jpg", "#recycle/a.jpg",
        "a/Thumbs.db", "lost+found/a.jpg", "@Recycle/a.jpg", ".DS_Store", "a/Desktop.ini", ".git/a.jpg", "a/._b.jpg",
        "__pycache__/a.jpg", "LOST.DIR/1.jpg", "a.jpg@SynoEAStream",
    ],
)  # fmt: skip
def test_hidden_and_system_paths_are_known(path: str) -> None:
    assert is_system_path(path)


@pytest.mark.parametrize(
    "path", ["a.jpg", "./a.jpg", "../a/b.jpg", "#1/a.jpg", "recycling/a.jpg", "@home/a.jpg", "a$/b"]
)
def test_other_paths_are_peoples_own(path: str) -> None:
    assert not is_system_path(path)
