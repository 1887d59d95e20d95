"""A plain page of transformers.js with the same network, to stand beside a site: made here, and served like it."""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from playwright.sync_api import Page

from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.train.features import PIXELS
from spotter.train.graph import PROBABILITIES

# A release with everything in one file, whose model is a folder beside it.
PEER, VERSION, RUNTIME = "@huggingface/transformers", "4.3.2", "onnxruntime-web"
# What its wasm device loads of the runtime.
CODE = "ort-wasm-simd-threaded.asyncify"
# The names that it expects of a network.
ITS_PIXELS, ITS_LOGITS = "pixel_values", "logits"
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>A classifier</title>
<input type="file" id="file" accept="image/*">
<ol id="answers"></ol>
<script type="module">
import { pipeline, env } from "./transformers.min.js";
env.allowRemoteModels = false;
env.allowLocalModels = true;
// A whole address would do for some of its files only.
env.localModelPath = "models/";
env.backends.onnx.wasm.wasmPaths = new URL("ort/", document.baseURI).href;
const ready = pipeline("image-classification", "model", { device: "wasm", dtype: "fp32" });
globalThis.classify = async (file) => {
  const address = URL.createObjectURL(file);
  try {
    return await (await ready)(address, { top_k: COUNT });
  } finally {
    URL.revokeObjectURL(address);
  }
};
document.querySelector("#file").addEventListener("change", async ({ target }) => {
  const answers = await classify(target.files[0]);
  document.querySelector("#answers").replaceChildren(...answers.map(({ label, score }) => {
    const item = document.createElement("li");
    item.textContent = `${label} ${score.toFixed(3)}`;
    return item;
  }));
});
document.documentElement.dataset.ready = "";
</script>
"""
# Of a picture that its browser or its library does not take, there is no answer.
ASK = """async (pictures) => {
  const answers = [];
  for (const picture of pictures) {
    try {
      answers.push(Object.fromEntries((await classify(new Blob([Uint8Array.from(picture)])))
        .map(({ label, score }) => [label, score])));
    } catch (error) {
      answers.push(null);
    }
  }
  return answers;
}"""
TIME_ANSWERS = """async ([picture, count]) => {
  const file = new Blob([Uint8Array.from(picture)]);
  const spans = [];
  for (let number = 0; number < count + 3; number++) {
    const started = performance.now();
    await classify(file);
    if (number >= 3) spans.push(performance.now() - started);
  }
  return spans;
}"""


def make_peer(folder: Path, predictor: Predictor, revision: Path) -> str:
    """Write the page and its model into a new folder; return why that is not possible, or ""."""
    if not shutil.which("npm"):
        return "there is no npm here"
    folder.mkdir()
    problem = _fetch(folder, f"{PEER}@{VERSION}", "transformers", {"dist/transformers.min.js": "transformers.min.js"})
    if problem:
        return problem
    needs = json.loads((folder / "transformers.json").read_text())["dependencies"]
    code = {f"dist/{CODE}.{kind}": f"ort/{CODE}.{kind}" for kind in ("mjs", "wasm")}
    if problem := _fetch(folder, f"{RUNTIME}@{needs[RUNTIME]}", "runtime", code):
        return problem
    (folder / "index.html").write_text(PAGE.replace("COUNT", str(len(predictor.labels))))
    _write_model(folder / "models" / "model", predictor, (revision / predictor.network).read_bytes())
    return ""


def difference(page: Page, predictor: Predictor, pictures: Sequence[bytes]) -> str:
    """How near its answers to pictures are to those of the model here, in words."""
    answers: list[dict[str, float] | None] = page.evaluate(ASK, [list(picture) for picture in pictures])
    expected = predictor.probabilities([load_picture(picture) for picture in pictures])
    same, apart = 0, []
    for answer, row in zip(answers, expected, strict=True):
        if answer is None:
            continue
        found = np.array([answer[label] for label in predictor.labels])
        apart.append(float(np.abs(found - row).max()))
        same += int(found.argmax() == row.argmax())
    return (
        f"{same} of {len(apart)} pictures get the same most probable label ({len(pictures) - len(apart)} get none); "
        f"probabilities differ by {max(apart):.2g} at most, by {np.mean(apart):.2g} on average"
    )


def _fetch(folder: Path, package: str, name: str, wanted: dict[str, str]) -> str:
    """Put some files of an npm package into a folder, and its description as NAME.json."""
    asked = ["npm", "pack", package, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        return f"npm does not give {package} ({done.stderr.strip()[-200:]})"
    archive = folder / done.stdout.split()[-1]
    with tarfile.open(archive) as packed:
        for path, place in ({"package.json": f"{name}.json"} | wanted).items():
            content = packed.extractfile(f"package/{path}")
            if not content:
                return f"{package} has no {path}"
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_bytes(content.read())
    archive.unlink()
    return ""


def _write_model(folder: Path, predictor: Predictor, network: bytes) -> None:
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(_as_expected(onnx.load_from_string(network)).SerializeToString())
    names = dict(enumerate(predictor.labels))
    config: dict[str, Any] = {
        "model_type": "efficientnet",
        "architectures": ["EfficientNetForImageClassification"],
        "id2label": names,
        "label2id": {label: number for number, label in names.items()},
    }
    size = predictor.card.size
    steps = predictor.card.preprocessing
    processor: dict[str, Any] = {
        "image_processor_type": "ViTFeatureExtractor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        # Bilinear, as the model learnt.
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": steps["mean"],
        "image_std": steps["std"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def _as_expected(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network of ours that takes normalised pixels, channels first, and gives logits: what comes before and after is
    the library's to do."""
    graph = model.graph
    prepared = PIXELS
    while node := next((node for node in graph.node if prepared in node.input and _prepares(node)), None):
        prepared = node.output[0]
        graph.node.remove(node)
    softmax = next(node for node in graph.node if PROBABILITIES in node.output)
    logits = softmax.input[0]
    graph.node.remove(softmax)
    for node in graph.node:
        node.input[:] = [ITS_PIXELS if name == prepared else name for name in node.input]
        node.output[:] = [ITS_LOGITS if name == logits else name for name in node.output]
    shape = [dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim]
    taken = onnx.helper.make_tensor_value_info(ITS_PIXELS, onnx.TensorProto.FLOAT, ["n", shape[3], shape[1], shape[2]])
    given = onnx.helper.make_tensor_value_info(ITS_LOGITS, onnx.TensorProto.FLOAT, ["n", None])
    del graph.input[:], graph.output[:]
    graph.input.append(taken)
    graph.output.append(given)
    return model


def _prepares(node: onnx.NodeProto) -> bool:
    return node.op_type in ("Transpose", "Cast", "Mul", "Sub", "Div")
