"""How a model holds under distribution shifts, on bears it never saw, beside one that learnt from no shifted views.

The ten shifts here are made of whole pictures, in another way and at other strengths than those of the stress test, and
than the views that a model learns from: a check on both.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score

from spotter.bundle.reading import read_bundle
from spotter.images import load_picture
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Predictor
from spotter.train.views import Change, as_picture, pixel_values, recompress
from spotter.utils.files import walk_files

# Held out of the training: two of five pictures.
EVERY, HELD_OUT = 5, (1, 3)


@dataclass(frozen=True)
class Judged:
    """What a model said: of held-out pictures as they are, of each shift of them, of strangers by folder, and of each
    shift of all strangers."""

    targets: Sequence[str]
    plain: Sequence[Prediction]
    shifted: dict[str, Sequence[Prediction]]
    strangers: dict[str, Sequence[Prediction]]
    strange: dict[str, Sequence[Prediction]]


def print_shifts(pictures: Path, strangers: Path, camera: Path | None, others: Path | None) -> None:
    """Train on pictures in class folders, with shifted views and without, and judge others.

    Args:
        others: pictures in class folders to judge by; None: three fifths of `pictures` train, and the others judge.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        held_out = _deal(pictures, folder / "pictures", HELD_OUT if others is None else ())
        if others:
            held_out = [(path, own.name) for own in sorted(others.iterdir()) for path in sorted(walk_files(own))]
        models = {"without": ["--no-shifts"], "with": []}
        predictors = {name: _train(folder, name, words) for name, words in models.items()}
        bundle = read_bundle(next((folder / "with" / "revisions").iterdir()))
        predictors["once"] = Predictor(replace(bundle, card=replace(bundle.card, second_look=None)))
        order = ("without", "once", "with")
        judged = {name: _judge(predictors[name], held_out, strangers) for name in order}
        told = {name: dict(_figures(each)) for name, each in judged.items()}
        print(f"{predictors['with'].card.second_look}\n{_cost(predictors['once'], predictors['with'], held_out)}\n")
    print(
        f"| {len(held_out)} held-out pictures | without shifted views | with | and a second look |\n|---|---|---|---|"
    )
    for words in told["without"]:
        print(f"| {words} | {' | '.join(told[name][words] for name in order)} |")
    if camera:
        print("\n| Camera picture | without | with | and a second look |\n|---|---|---|---|")
        for path in sorted(path for path in walk_files(camera) if path.suffix == ".jpg"):
            said = [_words(predictors[name].predict(path)) for name in order]
            print(f"| {path.relative_to(camera)} | {' | '.join(said)} |")


def _deal(pictures: Path, folder: Path, out: Sequence[int]) -> list[tuple[Path, str]]:
    held_out = []
    for own in sorted(path for path in pictures.iterdir() if path.is_dir()):
        (folder / own.name).mkdir(parents=True)
        for number, path in enumerate(sorted(walk_files(own))):
            if number % EVERY in out:
                held_out.append((path, own.name))
            else:
                (folder / own.name / path.name).symlink_to(path.absolute())
    return held_out


def _train(folder: Path, name: str, words: Sequence[str]) -> Predictor:
    command = [sys.executable, "train.py", "--search", f"folder:{folder / 'pictures'}", "--data", str(folder / "data")]
    classes = [word for path in sorted((folder / "pictures").iterdir()) for word in ("--class", path.name)]
    store = folder / name
    subprocess.run([*command, *classes, "--to", str(store), *words], check=True, capture_output=True)
    return Predictor.load(store)


def _judge(predictor: Predictor, held_out: Sequence[tuple[Path, str]], strangers: Path) -> Judged:
    def answers(paths: Sequence[Path], change: Change | None = None) -> list[Prediction]:
        def answer(number: int) -> Prediction:
            picture = load_picture(paths[number])
            return predictor.predict(change(picture, np.random.default_rng(number)) if change else picture)

        with ThreadPoolExecutor() as pool:
            return list(pool.map(answer, range(len(paths))))

    paths = [path for path, _ in held_out]
    others = {own.name: sorted(walk_files(own)) for own in sorted(strangers.iterdir()) if own.is_dir()}
    return Judged(
        [label for _, label in held_out],
        answers(paths),
        {name: answers(paths, change) for name, change in (SHIFTS | ASIDE).items()},
        {name: answers(found) for name, found in others.items()},
        {
            name: answers([path for found in others.values() for path in found], change)
            for name, change in SHIFTS.items()
        },
    )


def _figures(judged: Judged) -> list[tuple[str, str]]:
    def counts(said: Sequence[Prediction]) -> tuple[float, float, float]:
        wrong = np.array([answer.closest != label for answer, label in zip(said, judged.targets, strict=True)])
        answered = np.array([answer.familiar for answer in said])
        return float(wrong.mean()), float((answered & ~wrong).mean()), float((answered & wrong).mean())

    wrong, right, wrongly = counts(judged.plain)
    rows = [("as they are: wrong; right and answered; wrong and answered", f"{wrong:.3f}; {right:.3f}; {wrongly:.3f}")]
    each = {name: counts(said) for name, said in judged.shifted.items()}
    for name, (wrong, right, wrongly) in each.items():
        figures = f"{wrong:.3f}; {right:.3f}; {wrongly:.3f}"
        rows.append((f"{name}: wrong; right and answered; wrong and answered", figures))
    means = np.mean([each[name] for name in SHIFTS], axis=0)
    rows.append(("mean of the shifts: right and answered", f"{means[1]:.3f}"))
    rows.append(("mean of the shifts: wrong and answered", f"{means[2]:.3f}"))
    shifted = [judged.shifted[name] for name in SHIFTS]
    known = [answer.familiarity for said in (judged.plain, *shifted) for answer in said]
    for name, said in judged.strangers.items():
        scores = [answer.familiarity for answer in said]
        area = roc_auc_score([1] * len(known) + [0] * len(scores), known + scores)
        refused = sum(not answer.familiar for answer in said)
        rows.append((f"{name}: full-spectrum AUROC; refused", f"{area:.3f}; {refused} of {len(said)}"))
    kept = {name: sum(answer.familiar for answer in said) for name, said in judged.strange.items()}
    worst = max(kept, key=lambda name: kept[name])
    all_of = sum(len(said) for said in judged.strange.values())
    told = f"{sum(kept.values())} of {all_of}; {worst}: {kept[worst]} of {len(judged.strange[worst])}"
    rows.append(("strangers under the shifts: answered; most of them", told))
    return rows


def _cost(once: Predictor, twice: Predictor, held_out: Sequence[tuple[Path, str]]) -> str:
    """What a second look costs, in CPU time, of pictures that are looked at twice."""
    pictures = [_far(load_picture(path), np.random.default_rng(0)) for path, _ in held_out[::3]]
    unsure = [picture for picture in pictures if not once.predict(picture).familiar]
    seconds = []
    for predictor in (once, twice):
        begun = time.process_time()
        for picture in unsure:
            predictor.predict(picture)
        seconds.append(time.process_time() - begun)
    milliseconds = [f"{1000 * each / max(1, len(unsure)):.1f}" for each in seconds]
    return f"CPU milliseconds for one of {len(unsure)} decoded pictures that are not sure: {' and '.join(milliseconds)}"


def _words(answer: Prediction) -> str:
    return f"{answer.label} ({answer.closest} {answer.probabilities[answer.closest]:.2f}, {answer.familiarity:.2f})"


def _grey(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.convert("L").convert("RGB")


def _dark(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = pixel_values(picture) ** 1.5 * 0.25
    return as_picture(values + 0.06 * rng.standard_normal(values.shape, dtype=np.float32))


def _infrared(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = pixel_values(picture.convert("L"))[..., 0]
    rows, columns = np.ogrid[0 : 1 : values.shape[0] * 1j, 0 : 1 : values.shape[1] * 1j]
    far = ((rows - 0.5) ** 2 + (columns - 0.5) ** 2) / 0.5
    lit = values * (1.2 - 1.1 * far) + 0.08 * rng.standard_normal(values.shape, dtype=np.float32)
    return as_picture(lit[..., None])


def _small(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = 48 / min(picture.size)
    size = (max(2, round(picture.width * scale)), max(2, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(min(picture.size) * 0.02))


def _half_hidden(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    hidden = picture.copy()
    hidden.paste((90, 100, 60), (0, picture.height // 2, picture.width, picture.height))
    return hidden


def _far(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    small = picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)), Image.Resampling.BOX)
    ground = Image.new("RGB", picture.size, (110, 125, 90))
    ground.paste(small, ((picture.width - small.width) // 2, (picture.height - small.height) // 2))
    return ground


def _off_centre(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    small = picture.resize((max(1, picture.width // 3), max(1, picture.height // 3)), Image.Resampling.BOX)
    ground = Image.new("RGB", picture.size, (110, 125, 90))
    left, top = (int(rng.integers(room + 1)) for room in np.subtract(picture.size, small.size))
    ground.paste(small, (left, top))
    return ground


def _jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return recompress(picture, "JPEG", 5)


def _fog(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return as_picture(pixel_values(picture) * 0.35 + 0.65 * 0.8)


def _upside_down(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.rotate(180)


SHIFTS: dict[str, Change] = {
    "grey": _grey,
    "dark and noisy": _dark,
    "infra-red flash": _infrared,
    "48 pixels": _small,
    "out of focus": _blurred,
    "lower half hidden": _half_hidden,
    "four times as far": _far,
    "JPEG quality 5": _jpeg,
    "fog": _fog,
    "upside down": _upside_down,
}
# Told beside them, and not in their mean.
ASIDE: dict[str, Change] = {"a third of the size, off centre": _off_centre}
