"""Revisions as far as a store looks at them."""

import hashlib
import json
import shutil
from pathlib import Path

from spotter.bundle.format import SERVING_FILES


def make_bundle(folder: Path, text: str, **more: str) -> Path:
    """The files of a revision, as far as a store looks at them."""
    folder.mkdir(parents=True)
    for name in ("model.onnx", "reference.safetensors", "export.pkl", "metrics.json", "example-1.jpg"):
        (folder / name).write_bytes(f"{name} of {text}".encode() * 100)
    (folder / "README.md").write_text(f"---\ntags:\n- spotter\n---\n# {text}\n")
    for name, content in more.items():
        (folder / name).write_text(content)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    model = {"format": 1, "examples": {"one": "example-1.jpg"}, "sha256": hashes}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def advising(revision: Path, folder: Path, **more: object) -> Path:
    """A copy of a published revision, in `folder`, whose `model.json` says more."""
    copy = Path(shutil.copytree(revision, folder))
    model = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(model | more))
    return copy


def same_files(pulled: Path, pushed: Path) -> bool:
    return all(
        (pulled / name).read_bytes() == (pushed / name).read_bytes() for name in (*SERVING_FILES, "example-1.jpg")
    )
