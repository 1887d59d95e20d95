"""The teacher of a site in a browser, and the same lesson learnt in Python."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from PIL import Image
from playwright.sync_api import Page

from spotter.bundle.reading import read_bundle
from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.dataset import Dataset, Record
from spotter.data.duplicates import Twins, confirm_duplicates, group_duplicates, perceptual_hash
from spotter.data.splits import deal_folds
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import choose_familiarity
from spotter.image_files import read_file
from spotter.images import encode_jpeg, fit_within, load_picture, to_square
from spotter.names import folder_name
from spotter.train.features import embed
from spotter.train.head import Fit, Judged, choose_head
from spotter.train.views import CROPPED, SHIFTED, ViewKind, Views, plan_cropped, plan_shifted
from tests.helpers.site import TRAVEL, SiteServer, value_of

SIDE = 1024
OPEN = """([code, folder]) => travel.told(async () => {
    const { openTeacher } = await import(code);
    window.teacher = await openTeacher(new URL(folder));
    window.lesson = { labels: [], pictures: [], edits: [] };
    return teacher.body;
})"""
# Fetches, prepares and measures pictures: [[path, label], ...].
MEASURE = """([labels, paths, views]) => travel.told(async () => {
    lesson.labels = labels;
    lesson.pictures = [];
    for (const [path, label] of paths) {
        const kept = await teacher.prepare(await (await fetch(path)).blob());
        const origin = { source: "folder", id: path, query: "", rank: 0, at: "2026-01-01T00:00:00Z" };
        lesson.pictures.push({ ...kept, added: label, label, origin });
    }
    const keep = (sha256, features) => {
        for (const each of lesson.pictures) if (each.sha256 === sha256) each.features = features;
    };
    const started = performance.now();
    await teacher.measure(lesson.pictures, { keep, views });
    return (performance.now() - started) / 1000;
})"""
LEARN = """views => travel.told(async () => {
    const plain = features => ({ ...features, shifted: new Float32Array(0), shows: [] });
    const pictures = lesson.pictures.map(each => views ? each : { ...each, features: plain(each.features) });
    return teacher.learn({ ...lesson, pictures });
})"""


class TeacherPage:
    """The teacher of a site that is served, in a page of a browser."""

    def __init__(self, page: Page, server: SiteServer, *, site: str = "") -> None:
        self.page, self._server = page, server
        page.goto(server.url("blank.html"))
        page.evaluate(f"window.travel = (() => {{ {TRAVEL} return {{ pack, unpack, told }}; }})()")
        self.body = self.ask(OPEN, [server.url(f"{site}teacher.js"), server.url(site)])

    def ask(self, script: str, given: Any = None) -> Any:
        """What a script gives, of which bytes are bytes again.

        Raises:
            ToldError: with the class and the reason of what was thrown.
        """
        return value_of(self.page.evaluate(script, given))

    def measure(self, pictures: Mapping[str, Sequence[bytes]], *, views: bool = True) -> float:
        """Give it pictures by their labels, and measure them, and views of them if wanted. Returns the seconds that
        this took."""
        paths = []
        for label, contents in pictures.items():
            for content in contents:
                path = f"given/{hashlib.sha256(content).hexdigest()}"
                self._server.replies[path] = content
                paths.append([self._server.url(path), label])
        return float(self.ask(MEASURE, [list(pictures), paths, views]))

    def prepare(self, content: bytes) -> dict[str, Any]:
        """A picture as it would be kept."""
        path = f"given/{hashlib.sha256(content).hexdigest()}"
        self._server.replies[path] = content
        script = "url => travel.told(async () => teacher.prepare(await (await fetch(url)).blob()))"
        return dict(self.ask(script, self._server.url(path)))

    def learn(self, *, views: bool = True) -> dict[str, Any]:
        """Learn from what was measured, without shifted views if these are not wanted."""
        return dict(self.ask(LEARN, views))

    def features(self, kind: str = "plain") -> dict[str, np.ndarray]:
        """SHA-256 -> pooled features, float32 (width,), or those of the "shifted" views, one after the other."""
        told = self.ask(
            "kind => travel.told(() => lesson.pictures.map(each => [each.sha256, each.features[kind]]))", kind
        )
        return {name: np.frombuffer(values, dtype=np.float32) for name, values in told}


def kept_picture(picture: Image.Image) -> bytes:
    """A picture as picture sets keep it: a bare JPEG."""
    return read_file(encode_jpeg(fit_within(picture, SIDE), 95)).data


@dataclass(frozen=True)
class Lesson:
    """What Python makes of a lesson."""

    dataset: Dataset
    features: np.ndarray
    shifted: Views | None
    folds: np.ndarray
    twins: Sequence[Twins]
    fit: Fit
    familiarity: Familiarity

    @property
    def names(self) -> list[str]:
        """The SHA-256 of the pictures."""
        return [str(record.sha256) for record in self.dataset.records]

    @property
    def wrong(self) -> int:
        return int((self.fit.probabilities.argmax(axis=1) != self.dataset.targets).sum())


def learn_in_python(
    revision: Path, pictures: Mapping[str, Sequence[bytes]], few: int = TrainConfig.few, shifts: int = 0
) -> Lesson:
    """Learn from bare JPEGs by their labels, with the body of a revision; of at most `few` with cropped views, and from
    so many shifted views of each."""
    body = _Body(revision)
    contents = {hashlib.sha256(content).hexdigest(): content for each in pictures.values() for content in each}
    found = group_duplicates([_record(content, label) for label, each in pictures.items() for content in each])
    records = [record for record in found if record.kept]
    squares = {name: load_picture(content) for name, content in contents.items()}
    features = np.stack([body.run(squares[str(record.sha256)]) for record in records])
    plain = Dataset(Path(), tuple(pictures), tuple(records), ())
    dataset, twins = confirm_duplicates(plain, embed(features))
    config = TrainConfig(size=body.size, resize=body.resize, shifts=shifts, few=few)
    folds = deal_folds(dataset, dataset, config)

    def views(kind: ViewKind, plan: Sequence[tuple[int, int]]) -> Views | None:
        keys = [str(records[row].sha256) for row, _ in plan]
        made = [
            body.run_square(kind.make(squares[key], body.square, number, key))
            for key, (_, number) in zip(keys, plan, strict=True)
        ]
        names = [kind.shows(number, key) for key, (_, number) in zip(keys, plan, strict=True)]
        return Views(np.stack(made), np.array([row for row, _ in plan]), np.array(names)) if plan else None

    cropped, shifted = views(CROPPED, plan_cropped(dataset, config)), views(SHIFTED, plan_shifted(dataset, config))
    fit = choose_head(features, dataset.targets, folds, config, cropped, shifted)
    everything = np.ones(len(folds), dtype=bool)
    judged = Judged(features, everything, everything, fit.probabilities, shifted, fit.shifted if shifted else None)
    known = choose_familiarity(judged, dataset.targets, folds, FamiliarityConfig())
    return Lesson(dataset, features, shifted, folds, twins, fit, known)


class _Body:
    def __init__(self, revision: Path) -> None:
        bundle = read_bundle(revision)
        self.size, self.resize = bundle.card.size, bundle.card.resize
        network = onnx.load(revision / "model.onnx")
        [gemm] = [node for node in network.graph.node if node.op_type == "Gemm"]
        self._pooled = gemm.input[0]
        network.graph.output.append(onnx.helper.make_empty_tensor_value_info(self._pooled))
        self._session = onnxruntime.InferenceSession(network.SerializeToString())

    def square(self, picture: Image.Image) -> np.ndarray:
        return to_square(picture, self.size, self.resize)

    def run(self, picture: Image.Image) -> np.ndarray:
        return self.run_square(self.square(picture))

    def run_square(self, square: np.ndarray | None) -> np.ndarray:
        assert square is not None
        return np.asarray(self._session.run([self._pooled], {"pixels": square[None]})[0][0])


def _record(content: bytes, label: str) -> Record:
    name = hashlib.sha256(content).hexdigest()
    with Image.open(io.BytesIO(content)) as picture:
        hashed = perceptual_hash(picture.convert("RGB"))
    file = f"{folder_name(label)}/{name[:32]}.jpg"
    return Record(label, "folder", name, "", 0, "kept", file=file, sha256=name, phash=f"{hashed:016x}")
