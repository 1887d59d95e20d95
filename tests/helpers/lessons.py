"""Lessons as the teach page packs them, of drawn shapes. What the page would have learnt is learnt here."""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spotter import pipeline
from spotter.collect.lesson import LESSON, fill_from_lesson, read_lesson
from spotter.collect.takedown import Takedown
from spotter.images import encode_jpeg
from spotter.publish.adoption import plain_probabilities
from spotter.publish.candidate import Candidate, Task
from spotter.stores import open_store
from spotter.train.views import SHIFTED, plan_cropped
from tests.helpers import tiny
from tests.helpers.drawing import KINDS, draw

SIZES = ((180, 140), (140, 180), (160, 160))


def shapes(count: int = 12, kinds: Sequence[str] = KINDS) -> dict[str, list[bytes]]:
    """So many drawn pictures of each kind, as the page keeps pictures."""
    return {kind: [encode_jpeg(draw(kind, seed, SIZES[seed % 3]), 95) for seed in range(count)] for kind in kinds}


def tell(pictures: Mapping[str, Sequence[bytes]], shifts: int = 0, **more: Any) -> dict[str, Any]:
    """What `spotter-lesson.json` says of the pictures of each label; nothing was learnt yet."""
    rows = [
        {
            "sha256": digest(content),
            "original_sha256": digest(content),
            "label": label,
            "source": "folder",
            "id": f"{label}/{number:03}.jpg",
            "at": "2026-11-29T02:00:00.000Z",
        }
        for label, mine in pictures.items()
        for number, content in enumerate(mine)
    ]
    nothing: dict[str, Any] = {
        "views_kept": False,
        "views": "",
        "shifted": 0,
        "fold": {},
        "plain": {},
        "held_out": {},
        "answers": {},
    }
    return {
        "format": 1,
        "spotter": "0.1.0",
        "at": "2026-11-29T02:00:00.000Z",
        "name": "shapes",
        "title": "",
        "labels": list(pictures),
        "body": {"arch": tiny.ARCH, "size": tiny.SIZE, "resize": "crop", "revision": "", "contents": ""},
        "shifts": shifts,
        "pictures": rows,
        "edits": [],
        "taught": nothing,
    } | more


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_lesson(path: Path, told: object, contents: Sequence[bytes], more: Mapping[str, bytes] | None = None) -> Path:
    """Write the zip: what it says, the pictures, and whatever else is to be in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(LESSON, json.dumps(told))
        for content in contents:
            archive.writestr(f"pictures/{digest(content)}.jpg", content)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return path


def flat(pictures: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    return [content for mine in pictures.values() for content in mine]


def make_lesson(path: Path, pictures: Mapping[str, Sequence[bytes]], shifts: int = 0, **more: Any) -> dict[str, Any]:
    """Write a lesson of which everything was learnt, and return what it says."""
    told = tell(pictures, shifts, **more)
    write_lesson(path, told, flat(pictures))
    told["taught"] = learnt(path)
    write_lesson(path, told, flat(pictures))
    return told


def learn_lesson(path: Path, folder: Path) -> Candidate:
    """What a training learns from the pictures of a lesson, with its set in a folder. It is not judged."""
    tiny.register()
    lesson = read_lesson(path)
    dataset = fill_from_lesson(lesson, folder / "set", Takedown())
    task = Task(lesson.recipe, lesson.config, open_store(str(folder / "store")), "a test")
    pipeline.load_libraries()
    cleaned = pipeline.audit_and_clean(task, pipeline.compute_features(task, dataset))
    return Candidate(task, cleaned, pipeline.learn(task, cleaned), None)  # type: ignore[arg-type]


def learnt(path: Path) -> dict[str, Any]:
    """The same, as the page would tell it."""
    candidate = learn_lesson(path, path.with_suffix(".learnt"))
    cleaned, trained = candidate.cleaned, candidate.trained
    keys = [str(record.sha256) for record in cleaned.dataset.records]
    spectrum = trained.head.spectrum

    def rows(values: Any) -> dict[str, Any]:
        return dict(zip(keys, values.tolist(), strict=True))

    return {
        "views_kept": bool(spectrum and spectrum.is_kept),
        "views": SHIFTED.name,
        "shifted": len(trained.shifted.of) if trained.shifted else 0,
        "cropped": len(plan_cropped(cleaned.dataset, candidate.task.config)),
        "fold": rows(cleaned.folds),
        "plain": rows(plain_probabilities(candidate)),
        "held_out": rows(trained.probabilities),
        "answers": rows(trained.head.probabilities(trained.features)),
    }
