"""The published files: writing them, reading them with every check, and the parity gate between the two sides."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from spotter.config import RESIZES, ParityConfig, Recipe, TrainConfig
from spotter.errors import BrokenModel, NoInt8, ParityError
from spotter.files import read_bounded
from spotter.images import load_picture
from spotter.licenses import may_be_shown
from spotter.network import check_network
from spotter.thumbnails import Thumbnail, choose_thumbnails, decode_thumbnails, write_thumbnails
from spotter.utils.text import plain_cell

if TYPE_CHECKING:
    # For the types alone: serving imports this module, and has neither fastai nor scikit-learn.
    from spotter.dataset import Dataset
    from spotter.evaluate import Evaluation
    from spotter.learner import Trained

FORMAT = 1
MODEL_JSON, ONNX, REFERENCE, PICKLE = "model.json", "model.onnx", "reference.safetensors", "export.pkl"
INT8_ONNX = "model-int8.onnx"
NETWORKS = (ONNX, INT8_ONNX)
METRICS, THUMBNAILS = "metrics.json", "thumbnails.safetensors"
ATTRIBUTION_COLUMNS = (
    "file",
    "backend",
    "title",
    "creator",
    "creator_url",
    "page_url",
    "image_url",
    "license_id",
    "license_url",
    "attribution",
)
# Pixels; a larger square would fill the memory before anything is known about the network.
MAX_SIZE = 2048
SERVING_FILES = (MODEL_JSON, ONNX, REFERENCE)
# Bytes. What is larger is not read, so that no file fills the memory; a protobuf of 2 GiB is none.
MOST_BYTES = {MODEL_JSON: 4 << 20, METRICS: 64 << 20, THUMBNAILS: 64 << 20, REFERENCE: 1 << 30}
MOST_ONNX, MOST_EXAMPLE = (2 << 30) - 1, 64 << 20
# What the page shows besides answers. Older revisions, and what an older version pulled, do without.
PAGE_FILES = frozenset({METRICS, THUMBNAILS})


@dataclass(frozen=True)
class ParityReport:
    """How close two sides were over `pictures` pictures.

    The largest and the mean difference of any probability, and how many pictures got another label.
    """

    pictures: int
    largest_difference: float
    mean_difference: float
    other_labels: int

    def complaint(self, config: ParityConfig) -> str:
        """What is not close enough, in words; "" when all is."""
        # Written so that NaN on either side fails too.
        if not self.largest_difference < config.tolerance:
            return f"probabilities differ by up to {self.largest_difference:.2g}, allowed is {config.tolerance:g}"
        if not self.mean_difference < config.mean_tolerance:
            return (
                f"probabilities differ by {self.mean_difference:.2g} on average, allowed is {config.mean_tolerance:g}"
            )
        if self.other_labels > (1 - config.same_labels) * self.pictures:
            return f"{self.other_labels} of {self.pictures} pictures get other labels"
        return ""


@dataclass(frozen=True)
class Int8:
    """How the int8 network compares with the float one.

    `points_lost` is the rise of the error in percentage points (below 0: a fall) on `pictures` held-out pictures, of
    which the float network has `wrong` and the int8 one `wrong_int8`; `accepted` and `accepted_int8` are the shares of
    them that are familiar at the published threshold, in [0, 1]; `speed_ratio` is how many times as fast it answers
    for one picture on `processor`.
    """

    points_lost: float
    pictures: int
    wrong: int
    wrong_int8: int
    accepted: float
    accepted_int8: float
    parity: ParityReport
    speed_ratio: float
    processor: str


@dataclass(frozen=True)
class ModelCard:
    """The contents of `model.json`, but for the hashes of the files.

    `size` is the side of the square that the network sees, in pixels, and `resize` how a picture becomes one ("crop",
    "squish" or "pad"); `temperature` is already inside the
    network; `threshold` is the least familiarity of a familiar picture, over `neighbours` neighbours; `summary`
    says the error in words; `examples` maps labels to files of example pictures beside `model.json`; `preprocessing`
    says what happens to a picture, for readers: the constants are inside the network. `int8` is None where there is
    no int8 network.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    arch: str
    size: int
    resize: str
    temperature: float
    threshold: float
    neighbours: int
    summary: str = ""
    examples: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    int8: Int8 | None = None


@dataclass(frozen=True)
class Bundle:
    """What serving needs, checked: the card, the ONNX bytes, reference embeddings (n, d), float32, length 1, and label
    -> path of its example picture. `file` is the name of the file that the ONNX bytes are from. `metrics` are the
    contents of `metrics.json`, `thumbnails` small pictures of rows of the reference; {} where there are none.
    """

    card: ModelCard
    onnx: bytes
    reference: np.ndarray
    examples: dict[str, Path] = field(default_factory=dict)
    file: str = ONNX
    metrics: dict[str, Any] = field(default_factory=dict)
    thumbnails: dict[int, Thumbnail] = field(default_factory=dict)


class Judged(Protocol):
    """What is needed of a judged model: `judged`, bool (n,), and `probabilities` (judged.sum(), classes)."""

    @property
    def judged(self) -> np.ndarray: ...
    @property
    def probabilities(self) -> np.ndarray: ...


def write_examples(folder: Path, dataset: "Dataset", trained: Judged) -> dict[str, str]:
    """Copy one example picture a class: the surest right answer among those that may be shown.

    That is: your own pictures (from a folder) and those under an open licence, never those of unknown licence.

    Returns:
        Label -> name of the file in `folder`.
    """
    given = trained.probabilities[np.arange(trained.judged.sum()), dataset.targets[trained.judged]]
    sureness = dict(zip(np.flatnonzero(trained.judged), given, strict=True))
    examples, paths = {}, dataset.paths
    for number, label in enumerate(dataset.labels, 1):
        mine = [index for index in sureness if dataset.records[index].label == label]
        shown = [i for i in mine if may_be_shown(dataset.records[i].backend, dataset.records[i].license_id)]
        if shown:
            examples[label] = f"example-{number}.jpg"
            best = max(shown, key=sureness.__getitem__)
            (folder / examples[label]).write_bytes(paths[best].read_bytes())
    return examples


def make_card(
    recipe: Recipe,
    config: TrainConfig,
    trained: "Trained",
    evaluation: "Evaluation",
    examples: dict[str, str],
    command: str,
    stats: tuple[Sequence[float], Sequence[float]],
    origins: list[dict[str, Any]],
) -> ModelCard:
    """Gather what `model.json` says about a trained model; `stats` are the mean and spread of its normalisation,
    `origins` what `count_origins` gave.
    """
    mean, std = stats
    return ModelCard(
        name=recipe.name,
        title=recipe.title,
        labels=recipe.labels,
        arch=config.arch,
        size=config.size,
        resize=config.resize,
        temperature=trained.temperature,
        threshold=evaluation.familiarity.threshold,
        neighbours=evaluation.familiarity.neighbours,
        summary=evaluation.brief(),
        examples=examples,
        versions=installed_versions(),
        made={
            "command": command,
            "seed": config.seed,
            "strength": trained.strength,
            "balanced": trained.balanced,
            "fine_tune_epochs": trained.fine_tune_epochs,
            "tried": list(trained.tried),
            "pictures": int(trained.learnt_from.sum()),
            "origins": origins,
        },
        preprocessing=describe_preprocessing(config.size, config.resize, mean, std),
    )


def describe_preprocessing(
    size: int, resize: str, mean: Sequence[float], std: Sequence[float], inside: str = ""
) -> dict[str, Any]:
    """What `model.json` says about the way from a picture to the network.

    Args:
        mean, std: of pixels in [0, 1], by channel. inside: what the graph does after normalising, in words.
    """
    steps = "(pixels * scale - mean) / std, by channel"
    return {
        "upright": "EXIF orientation applied",
        "mode": "RGB, alpha on white",
        "resize": f"{resize}, as fastai's Resize does at inference; padding is black",
        "interpolation": "Pillow bilinear",
        "size": size,
        "input": f"uint8 NHWC; the graph does the rest: {steps}{f', then {inside}' if inside else ''}",
        "scale": 1 / 255,
        "mean": list(mean),
        "std": list(std),
    }


def installed_versions() -> dict[str, str]:
    """The versions of what a model depends on."""
    return {name: version(name) for name in ("fastai", "timm", "torch", "onnxruntime", "pillow", "numpy")}


def write_reference(path: Path, embeddings: np.ndarray) -> None:
    """Write the training pictures' embeddings, shape (n, d), for familiarity."""
    path.write_bytes(save_tensors({"embeddings": embeddings.astype(np.float32)}))


def write_nearest(folder: Path, dataset: "Dataset", embeddings: np.ndarray, learnt_from: np.ndarray) -> None:
    """Write thumbnails of the pictures learnt from, where they may be shown, for the rows of the written reference.

    Args:
        embeddings: float32 (n, d) of the set's pictures. learnt_from: bool (n,).
    """
    indices = np.flatnonzero(learnt_from)
    records = [dataset.records[index] for index in indices]
    reference = _read_reference((folder / REFERENCE).read_bytes())
    chosen = choose_thumbnails(records, embeddings[indices], reference)
    write_thumbnails(folder / THUMBNAILS, chosen, records, dataset.folder)


def count_origins(dataset: "Dataset") -> list[dict[str, Any]]:
    """How many kept pictures of each class are from which source, under which licence."""
    counted = Counter((record.label, record.backend, record.license_id) for record in dataset.records)
    return [
        {"label": label, "source": source, "license": license_id, "pictures": count}
        for (label, source, license_id), count in sorted(counted.items())
    ]


def write_manifest(folder: Path, dataset: "Dataset") -> None:
    """Write `manifest.jsonl` (every picture, kept or not) and `ATTRIBUTION.csv` (the kept ones)."""
    records = sorted((*dataset.records, *dataset.dropped), key=lambda record: (record.label, record.backend_id))
    lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    (folder / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    write_attribution(folder, dataset)


def write_attribution(folder: Path, dataset: "Dataset") -> None:
    """Write `ATTRIBUTION.csv`: whom to name for each kept picture."""
    with (folder / "ATTRIBUTION.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ATTRIBUTION_COLUMNS)
        for record in dataset.records:
            writer.writerow([plain_cell(getattr(record, name)) for name in ATTRIBUTION_COLUMNS])


def write_model_json(folder: Path, card: ModelCard) -> None:
    """Write `model.json` last: it holds the SHA-256 of every other file in `folder`."""
    hashes = {file.name: _sha256(file.read_bytes()) for file in sorted(folder.iterdir()) if file.name != MODEL_JSON}
    content = {"format": FORMAT, **asdict(card), "sha256": hashes}
    (folder / MODEL_JSON).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_bundle(folder: Path, int8: bool = False) -> Bundle:
    """Read and check what serving needs, with the float or the `int8` network; no pickle is opened.

    Raises:
        BrokenModel: a file is missing, does not have the promised hash, or does not hold what it should.
        NoInt8: there is no int8 network.
    """
    content = _checked_model_json(folder)
    card = _as_card(content)
    if int8 and card.int8 is None:
        raise NoInt8("This revision has no int8 network; serve it without int8, or publish one with train.py --int8.")
    network = INT8_ONNX if int8 else ONNX
    files = {name: _read_checked(folder, name, content) for name in (network, REFERENCE)}
    check_network(files[network], network)
    examples = {label: folder / file for label, file in card.examples.items() if (folder / file).exists()}
    for path in examples.values():
        _read_checked(folder, path.name, content)
    more = {
        name: _read_checked(folder, name, content)
        for name in PAGE_FILES & dict(content["sha256"]).keys()
        if (folder / name).exists()
    }
    return Bundle(
        card,
        files[network],
        _read_reference(files[REFERENCE]),
        examples,
        network,
        _read_metrics(more[METRICS]) if METRICS in more else {},
        decode_thumbnails(more[THUMBNAILS]) if THUMBNAILS in more else {},
    )


def check_parity(
    learner: Callable[[Sequence[Image.Image]], np.ndarray],
    bundle: Callable[[Sequence[Image.Image]], np.ndarray],
    pictures: Sequence[bytes],
    config: ParityConfig | None = None,
) -> ParityReport:
    """Compare the trained learner with the files to be published, on the same decoded pictures.

    Args:
        learner, bundle: functions from decoded RGB pictures to probabilities of shape (n, classes).
        pictures: encoded pictures, at least `min_pictures`.

    Raises:
        ParityError: too few pictures, or the answers are not as close as `config` asks.
    """
    config = config or ParityConfig()
    if len(pictures) < config.min_pictures:
        raise ParityError(f"The parity gate needs {config.min_pictures} pictures and was given {len(pictures)}.")
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(load_picture, pictures))
    first, second = learner(decoded), bundle(decoded)
    if first.shape != second.shape:
        raise ParityError(f"The learner answers in the shape {first.shape}, the published files in {second.shape}.")
    report = compare(first, second)
    complaint = report.complaint(config)
    if complaint:
        raise ParityError(
            f"The published files would not answer like the trained model: {complaint}; nothing was published."
        )
    return report


def compare(first: np.ndarray, second: np.ndarray) -> ParityReport:
    """Compare two arrays of probabilities, both (n, classes)."""
    difference = np.abs(first - second)
    others = int((first.argmax(axis=1) != second.argmax(axis=1)).sum())
    return ParityReport(len(first), float(difference.max()), float(difference.mean()), others)


def parity_pictures(paths: Sequence[Path], count: int = ParityConfig.min_pictures + 8) -> list[bytes]:
    """Make `count` encoded pictures out of the files at `paths`, of varied sizes, modes, formats and orientations."""
    variants = _variants()

    def make(index: int) -> bytes:
        return variants[index % len(variants)](load_picture(paths[index * len(paths) // count]))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(make, range(count)))


def _variants() -> list[Callable[[Image.Image], bytes]]:
    def resized(width: int, height: int) -> Callable[[Image.Image], bytes]:
        return lambda picture: _encode(picture.resize((width, height)), "JPEG")

    def turned(orientation: int) -> Callable[[Image.Image], bytes]:
        exif = Image.Exif()
        exif[0x0112] = orientation
        return lambda picture: _encode(picture, "JPEG", exif=exif)

    def mode(name: str, format_: str) -> Callable[[Image.Image], bytes]:
        return lambda picture: _encode(picture.convert(name), format_)

    def transparent(picture: Image.Image) -> bytes:
        layer = picture.convert("RGBA")
        layer.putalpha(Image.linear_gradient("L").resize(layer.size))
        return _encode(layer, "PNG")

    sizes = [(1600, 1200), (300, 301), (223, 500), (640, 225), (97, 61), (1000, 224)]
    modes = [("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("1", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
    return (
        [lambda picture: _encode(picture, "PNG"), transparent]
        + [resized(*size) for size in sizes]
        + [turned(orientation) for orientation in range(1, 9)]
        + [mode(*pair) for pair in modes]
    )


def _encode(picture: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parse_json(data: bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is none, nests too deeply, or names something twice: readers would differ in which they believe.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_each_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def is_plain(name: str) -> bool:
    """Whether a file of this name lies in the folder itself."""
    return name not in {"", ".", ".."} and not set("/\\\0") & set(name)


def read_model_json(folder: Path) -> bytes:
    """The `model.json` of a revision as it is there.

    Raises:
        BrokenModel: it is missing, no file, or larger than any.
    """
    try:
        return read_bounded(folder / MODEL_JSON, MOST_BYTES[MODEL_JSON])
    except FileNotFoundError as error:
        raise BrokenModel("The model has no model.json; publish it again.") from error
    except OSError as error:
        raise BrokenModel(f"The model's model.json cannot be read ({error.strerror}); publish it again.") from error


def _checked_model_json(folder: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_model_json(folder))
    except ValueError as error:
        raise BrokenModel("The model's model.json cannot be read; publish it again.") from error
    found = content.get("format") if isinstance(content, dict) else None
    # True and 1.0 equal 1, and are no format.
    if type(found) is not int or found != FORMAT:
        raise BrokenModel(f"The model has format {_in_words(found)}, but this Spotter reads format {FORMAT}.")
    hashes = content.get("sha256")
    if isinstance(hashes, dict) and not all(map(is_plain, hashes)):
        raise BrokenModel("The model's model.json names a file outside the model.")
    return content


def _in_words(value: object) -> str:
    """A value as far as it fits into a sentence."""
    if isinstance(value, str):
        return repr(value[:40])
    return repr(value)[:40] if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"


def _read_checked(folder: Path, name: str, content: dict[str, Any]) -> bytes:
    hashes = content.get("sha256")
    promised = hashes.get(name) if isinstance(hashes, dict) else None
    if promised is None:
        raise BrokenModel(f"The model's model.json has no hash for {name}; publish it again.")
    try:
        data = read_bounded(folder / name, MOST_BYTES.get(name, MOST_ONNX if name in NETWORKS else MOST_EXAMPLE))
    except FileNotFoundError as error:
        raise BrokenModel(f"The model's {name} is missing; publish it again.") from error
    except OSError as error:
        raise BrokenModel(f"The model's {name} cannot be read ({error.strerror}); publish it again.") from error
    if _sha256(data) != promised:
        raise BrokenModel(f"The model's {name} is damaged or was changed: its hash is not the one in model.json.")
    return data


def _as_card(content: dict[str, Any]) -> ModelCard:
    try:
        card = ModelCard(
            name=_text(content["name"]),
            title=_text(content["title"]),
            labels=_labels(content["labels"]),
            arch=_text(content["arch"]),
            size=_whole(content["size"]),
            # The first models were all cropped and did not say so.
            resize=_text(content.get("resize", "crop")),
            temperature=_number(content["temperature"]),
            threshold=_number(content["threshold"]),
            neighbours=_whole(content["neighbours"]),
            summary=_text(content["summary"]),
            examples={_text(label): _text(file) for label, file in dict(content["examples"]).items()},
            versions=dict(content["versions"]),
            made=dict(content["made"]),
            preprocessing=dict(content["preprocessing"]),
            int8=_as_int8(content.get("int8")),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BrokenModel(f"The model's model.json lacks or garbles a field ({_complaint(error)}).") from error
    if not all(is_plain(file) and file.endswith(".jpg") for file in card.examples.values()):
        raise BrokenModel("The model's model.json names an example outside the model, or one that is no picture.")
    if (
        len(set(card.labels)) < max(2, len(card.labels))
        or not 1 <= card.size <= MAX_SIZE
        or card.neighbours < 1
        or card.resize not in RESIZES
        or not 0 <= card.threshold <= 1
        or not 0 < card.temperature < np.inf
    ):
        raise BrokenModel("The model's model.json holds values that cannot be.")
    return card


def _complaint(error: Exception) -> str:
    # It may quote what stands in the file.
    return "".join(c if c.isprintable() else "?" for c in str(error))[:80]


def _labels(value: Any) -> tuple[str, ...]:
    # A text is a list of letters too.
    if not isinstance(value, list) or not all(isinstance(label, str) and label.strip() for label in value):
        raise TypeError("labels must be words")
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_in_words(value)} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{_in_words(value)} is no whole number")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{_in_words(value)} is no number")
    return float(value)


def _as_int8(content: dict[str, Any] | None) -> Int8 | None:
    return None if content is None else Int8(**{**content, "parity": ParityReport(**content["parity"])})


def _read_metrics(data: bytes) -> dict[str, Any]:
    try:
        metrics = parse_json(data)
    except ValueError as error:
        raise BrokenModel("The model's metrics.json cannot be read.") from error
    if not isinstance(metrics, dict):
        raise BrokenModel("The model's metrics.json cannot be read.")
    return metrics


def _read_reference(data: bytes) -> np.ndarray:
    try:
        embeddings = load_tensors(data)["embeddings"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise BrokenModel("The model's reference.safetensors cannot be read.") from error
    if embeddings.ndim != 2 or not len(embeddings) or embeddings.dtype.kind != "f":
        raise BrokenModel("The model's reference.safetensors does not hold embeddings.")
    # Longer ones would make every picture familiar. Written so that NaN fails too.
    if not (np.abs(np.linalg.norm(embeddings, axis=1) - 1) < 0.01).all():
        raise BrokenModel("The model's reference.safetensors holds embeddings that are not of length 1.")
    return np.ascontiguousarray(embeddings, dtype=np.float32)
