"""The model card: `README.md` of a published revision, with the metadata that the Hugging Face Hub reads."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from spotter.bundle.format import METRICS, MODEL_JSON, THUMBNAILS, ModelSpec
from spotter.data.dataset import Dataset
from spotter.evaluate.comparison import Changes
from spotter.evaluate.metrics import Evaluation
from spotter.evaluate.ood import Strangers
from spotter.evaluate.shifts import SHIFTS, STRENGTHS
from spotter.evaluate.stress_rows import StressTest, share_in_words
from spotter.image_stats import REAL
from spotter.publish.premortem import QUESTIONS
from spotter.utils.licenses import origin_cells
from spotter.utils.stats import wilson_interval
from spotter.utils.templates import render_template
from spotter.utils.text import as_sentence, escape_markdown, in_one_line

CARD = "README.md"


def write_card(
    folder: Path,
    card: ModelSpec,
    evaluation: Evaluation,
    dataset: Dataset,
    *,
    license_id: str = "",
    strangers: Strangers | None = None,
    changes: Changes | None = None,
) -> None:
    """Write the model card of the files in `folder`, after all of them but `model.json`.

    The same files, figures and pictures give the same bytes, whatever store they will be pushed to. A card whose
    `made` says that the model was converted (see `convert.py`) says so, and claims no figures on unseen pictures.

    Args:
        license_id: the model's own licence as the Hub names it ("apache-2.0"); "" when its owner says nothing.
        changes: what is new since an earlier revision; None: it is the first.
    """
    text = f"---\n{_metadata(card, evaluation, license_id)}\n---\n\n"
    text += _body(folder, card, evaluation, dataset, license_id, strangers, changes)
    # A title may hold half of a surrogate pair, which is no text.
    (folder / CARD).write_bytes(text.encode("utf-8", "replace"))


def _metadata(card: ModelSpec, evaluation: Evaluation, license_id: str) -> str:
    figures = {
        "accuracy": ("Accuracy", 1 - evaluation.error),
        "expected_calibration_error": ("Expected calibration error", evaluation.calibration.expected_calibration_error),
        "nll": ("Negative log likelihood", evaluation.negative_log_likelihood),
    }
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="imagefolder",
            dataset_name=f"{in_one_line(card.title)} ({evaluation.pictures} pictures {_seen(card)})",
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(value), 4),
        )
        for kind, (name, value) in figures.items()
    ]
    return ModelCardData(
        license=license_id or None,
        library_name="fastai",
        pipeline_tag="image-classification",
        tags=["fastai", "image-classification", "onnx", "spotter", *([] if _is_converted(card) else ["timm"])],
        metrics=["accuracy"],
        model_name=card.name,
        eval_results=results,
    ).to_yaml()


def _body(
    folder: Path,
    card: ModelSpec,
    evaluation: Evaluation,
    dataset: Dataset,
    license_id: str,
    strangers: Strangers | None,
    changes: Changes | None,
) -> str:
    command = in_one_line(str(card.made["command"]))
    epochs = card.made.get("fine_tune_epochs")
    outlook = as_sentence(escape_markdown(evaluation.advice().rstrip("."))).rstrip(".")
    by_chance, stress = evaluation.calibration.sentence(), evaluation.stress
    return render_template(
        "publish",
        "card.md",
        card=card,
        is_converted=_is_converted(card),
        labels=", ".join(escape_markdown(label) for label in card.labels),
        learnt_from=card.made["pictures"],
        premortem=[(QUESTIONS[key], text) for key, text in card.made.get("premortem", {}).items()],
        sentence=evaluation.sentence(),
        classes=_class_rows(evaluation),
        numbered=_numbered(folder),
        outlook=outlook,
        calibrated=f"{evaluation.calibration.expected_calibration_error:.1%}",
        uncalibrated=f"{evaluation.uncalibrated.expected_calibration_error:.1%}",
        by_chance=as_sentence(by_chance),
        temperature=f"{card.temperature:.2f}",
        loss=f"{evaluation.negative_log_likelihood:.3f}",
        threshold=f"{card.threshold:.3f}",
        accepted=f"{evaluation.familiarity.accepted:.1%}",
        shifts=_shift_rows(stress) if stress else [],
        tried=max((row.pictures for row in stress.judged), default=0) if stress else 0,
        stress=_join([stress.sentence(), stress.unseen_sentence(), stress.advice()]) if stress else "",
        strips=escape_markdown(evaluation.strips),
        elsewhere=as_sentence(escape_markdown(evaluation.elsewhere())),
        sets=_join([evaluation.sets.sentence(), evaluation.sets.remark]) if evaluation.sets else "",
        table=list(zip(card.labels, card.costs.values, strict=True)) if card.costs else [],
        actions=card.costs.actions if card.costs else (),
        costs=_join([each.sentence(), each.remaining(), each.remark]) if (each := evaluation.costs) else "",
        strangers=strangers,
        refused_interval=_span(strangers.refused_interval) if strangers else "",
        changes=changes,
        errors=lambda wrong, pictures: f"{wrong} ({wrong / pictures:.1%}; {_span(wilson_interval(wrong, pictures))})",
        real=REAL,
        thumbnails=(folder / THUMBNAILS).exists(),
        origins=sorted(Counter((r.label, r.backend, r.license_id) for r in dataset.records).items()),
        origin_cells=origin_cells,
        license_id=license_id,
        head=f"fine-tuned for {epochs} epochs" if epochs else "frozen, under a linear head",
        command=command,
        # A fence is closed only by one at least as long.
        fence="`" * max(3, 1 + max((len(run) for run in re.findall("`+", command)), default=0)),
        hashes=[
            (file.name, hashlib.sha256(file.read_bytes()).hexdigest())
            for file in sorted(folder.iterdir())
            if file.name not in {CARD, MODEL_JSON}
        ],
    )


def _numbered(folder: Path) -> list[tuple[str, str]]:
    """The classes that are numbers in the plots beside it."""
    metrics = folder / METRICS
    told = json.loads(metrics.read_bytes()) if metrics.is_file() else {}
    return list(told.get("numbered", {}).items())


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for index, figures in enumerate(evaluation.classes):
        right = evaluation.confusion[index][index]
        called = sum(row[index] for row in evaluation.confusion)
        rows.append(
            {
                "label": figures.label,
                "pictures": figures.pictures,
                "precision": _share(right, called),
                "precision_interval": _span(wilson_interval(right, called)) if called else "-",
                "recall": _share(right, figures.pictures),
                "recall_interval": _span(wilson_interval(right, figures.pictures)) if figures.pictures else "-",
            }
        )
    return rows


def _shift_rows(stress: StressTest) -> list[tuple[str, ...]]:
    """For each shift its title, and for each strength the share right and answered, then those wrong and answered."""
    found = {(row.name, row.strength): row for row in stress.judged}
    clean = stress.clean
    rows = []
    for name in [name for name in SHIFTS if any(name == other for other, _ in found)]:
        both = [found.get((name, strength)) for strength in STRENGTHS]
        right = [share_in_words(row, row.right_answered) if row else "-" for row in both]
        wrong = [share_in_words(row, row.wrong_answered) if row else "-" for row in both]
        rows.append((SHIFTS[name].title, *right, *wrong))
    if not rows or not clean.pictures:
        return rows
    shares = [share_in_words(clean, count) for count in (clean.right_answered, clean.wrong_answered)]
    return [(clean.title, shares[0], "", shares[1], ""), *rows]


def _join(sentences: Sequence[str]) -> str:
    return " ".join(map(as_sentence, filter(None, sentences)))


def _is_converted(card: ModelSpec) -> bool:
    return bool(card.made.get("converted"))


def _seen(card: ModelSpec) -> str:
    return "it may have learnt from" if _is_converted(card) else "it did not see"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
