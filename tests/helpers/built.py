"""The built files of the browser edition, and revisions that differ in one thing."""

import gzip
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from safetensors.numpy import load, save

from spotter.bundle.format import hash_of
from spotter.bundle.reading import read_bundle
from spotter.errors import SiteNotBuilt
from spotter.inference.predictor import Predictor
from spotter.stores.base import content_name
from spotter.web.site import built_files, site_files


def icon() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (192, 192)).save(buffer, "PNG")
    return buffer.getvalue()


# Names alone, for what is about the files that are made beside them.
BUILT = {
    "spotter.js": b"export {}",
    "worker.js": b"",
    "page.js": b"",
    "page.css": b"",
    "early.js": b"",
    "teach.js": b"",
    "teach_worker.js": b"",
    "teach.css": b"",
    "sw.js": b"",
    "icon-192.png": icon(),
    "icon.svg": b"<svg/>",
    "ort/network.wasm.gz": gzip.compress(b"\0asm", mtime=0),
}


def built_or_skip() -> dict[str, bytes]:
    try:
        return built_files()
    except SiteNotBuilt as error:
        pytest.skip(str(error))


def altered(revision: Path, folder: Path, alter: Callable[[Path], None]) -> Path:
    """A copy of a revision in which `alter` changed something; its hashes are right."""
    copy = Path(shutil.copytree(revision, folder))
    alter(copy)
    model = json.loads((copy / "model.json").read_text())
    model["sha256"] = {name: hash_of((copy / name).read_bytes()) for name in model["sha256"]}
    (copy / "model.json").write_text(json.dumps(model))
    return copy


def site_of(revision: Path, built: dict[str, bytes], int8: bool = False) -> dict[str, bytes]:
    """The files of the site of a revision that lies in a folder."""
    predictor = Predictor(read_bundle(revision, int8), content_name(revision), content_name(revision))
    return site_files(revision, predictor, built)


def other_resize(revision: Path) -> None:
    model = json.loads((revision / "model.json").read_text())
    (revision / "model.json").write_text(json.dumps(model | {"resize": "squish"}))


def other_reference(revision: Path) -> None:
    path = revision / "reference.safetensors"
    embeddings = load(path.read_bytes())["embeddings"]
    path.write_bytes(save({"embeddings": np.ascontiguousarray(np.roll(embeddings, 1, axis=1))}))


def other_network(revision: Path) -> None:
    """One weight of the head is a little larger."""
    path = revision / "model.onnx"
    network = onnx.load(str(path))
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 2:
            changed = numpy_helper.from_array((values * 1.01).astype(values.dtype), tensor.name)
            tensor.CopyFrom(changed)
    onnx.save(network, str(path))


ALTERED = {"resize": other_resize, "reference": other_reference, "network": other_network}
