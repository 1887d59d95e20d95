"""A minimal site of a revision, as `spotter web` makes them, and a server for it."""

import gzip
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from spotter.inference.predictor import Predictor
from spotter.stores.base import promised_name

STATIC = Path(__file__).parents[2] / "spotter" / "web" / "static"
PACKED = ("model.onnx", "reference.safetensors")


def make_site(revision: Path, folder: Path, network: str = "model.onnx") -> Path:
    """Put the built code and the files of a revision into `folder`."""
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    (folder / "index.html").write_text("<!doctype html><title>A test</title>")
    (folder / "model").mkdir()
    names = {"model.json", "thumbnails.safetensors", "metrics.json", *(each.name for each in revision.glob("ex*.jpg"))}
    for name in names:
        if (revision / name).exists():
            shutil.copy(revision / name, folder / "model" / name)
    for name in (network, "reference.safetensors"):
        packed = gzip.compress((revision / name).read_bytes(), 6, mtime=0)
        (folder / "model" / f"{name}.gz").write_bytes(packed)
    write_site_json(folder, network)
    return folder


def write_site_json(folder: Path, network: str = "model.onnx", **more: object) -> None:
    """List the files of a site as they are now."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in {"site.json", "sw.js"}:
            data = path.read_bytes()
            entry: dict[str, object] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            if path.suffix == ".gz":
                entry["unpacked"] = len(gzip.decompress(data))
            files[path.relative_to(folder).as_posix()] = entry
    model_json = (folder / "model" / "model.json").read_bytes()
    site = {
        **{"format": 1, "spotter": "0", "revision": "made-for-tests", "contents": promised_name(model_json)},
        **{"network": network, "title": "A test", "languages": {"en": "English"}, "files": files},
    }
    (folder / "site.json").write_text(json.dumps(site | more))
