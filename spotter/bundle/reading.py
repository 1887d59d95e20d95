"""Reads a published revision, with every check (hashes, sizes, schema) before anything of it is used."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from spotter.bundle.format import (
    FORMAT,
    INT8_ONNX,
    MAX_SIZE,
    METRICS,
    MODEL_JSON,
    NETWORKS,
    ONNX,
    PAGE_FILES,
    REFERENCE,
    THUMBNAILS,
    Int8,
    ModelSpec,
    ParityReport,
    hash_of,
)
from spotter.bundle.onnx_check import check_network
from spotter.bundle.second_look import SecondLook
from spotter.bundle.thumbnails import Thumbnail, decode_thumbnails
from spotter.config import RESIZES
from spotter.decide.costs import MOST, CostTable
from spotter.decide.label_sets import LabelSets
from spotter.errors import BrokenModel, NoInt8
from spotter.utils.files import read_bounded

# Bytes. What is larger is not read, so that no file fills the memory; a protobuf of 2 GiB is none.
MOST_BYTES = {MODEL_JSON: 4 << 20, METRICS: 64 << 20, THUMBNAILS: 64 << 20, REFERENCE: 1 << 30}
MOST_ONNX, MOST_EXAMPLE = (2 << 30) - 1, 64 << 20


@dataclass(frozen=True)
class Bundle:
    """What serving needs, checked: the card, the ONNX bytes, reference embeddings (n, d), float32, length 1, and label
    -> path of its example picture. `file` is the name of the file that the ONNX bytes are from. `metrics` are the
    contents of `metrics.json`, `thumbnails` small pictures of rows of the reference; {} where there are none.
    """

    card: ModelSpec
    onnx: bytes
    reference: np.ndarray
    examples: dict[str, Path] = field(default_factory=dict)
    file: str = ONNX
    metrics: dict[str, Any] = field(default_factory=dict)
    thumbnails: dict[int, Thumbnail] = field(default_factory=dict)

    @property
    def pictures(self) -> np.ndarray:
        """The rows of the reference that are of training pictures, and not of shifted views of them."""
        return self.reference[: len(self.reference) - self.card.views]


def read_bundle(folder: Path, int8: bool = False) -> Bundle:
    """Read and check what serving needs, with the float or the `int8` network; no pickle is opened.

    Raises:
        BrokenModel: a file is missing, does not have the promised hash, or does not hold what it should.
        NoInt8: there is no int8 network.
    """
    content = _checked_model_json(folder)
    card = _as_spec(content)
    if int8 and card.int8 is None:
        raise NoInt8(
            "This revision has no int8 network; serve it without int8, or publish one with spotter train --int8."
        )
    network = INT8_ONNX if int8 else ONNX
    files = {name: _read_checked(folder, name, content) for name in (network, REFERENCE)}
    check_network(files[network], network)
    reference = read_reference(files[REFERENCE])
    if card.views >= len(reference):
        raise BrokenModel("The model's reference holds no pictures, only views; publish it again.")
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
        reference,
        examples,
        network,
        _read_metrics(more[METRICS]) if METRICS in more else {},
        decode_thumbnails(more[THUMBNAILS]) if THUMBNAILS in more else {},
    )


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
        raise ValueError("a name appears twice")
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
    if hash_of(data) != promised:
        raise BrokenModel(f"The model's {name} is damaged or was changed: its hash is not the one in model.json.")
    return data


def _labels(value: Any) -> tuple[str, ...]:
    # A text is a list of letters too.
    if not isinstance(value, list) or not all(isinstance(label, str) and label.strip() for label in value):
        raise ValueError("labels must be words")
    if len(set(value)) < max(2, len(value)):
        raise PydanticCustomError("labels_alike", "labels must be two or more, all different")
    return tuple(value)


def _shares(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(share) in {int, float} for share in value):
        raise ValueError("shares must be numbers")
    # Written so that NaN is refused too.
    if value and not (min(value) >= 0 and abs(sum(value) - 1) < 0.001):
        raise PydanticCustomError("advice_amiss", "shares must add up to 1")
    return tuple(map(float, value))


def _resize(value: str) -> str:
    if value not in RESIZES:
        raise PydanticCustomError("resize_unknown", "no such way to resize")
    return value


def _example(value: str) -> str:
    if not is_plain(value) or not value.endswith(".jpg"):
        raise PydanticCustomError("example_elsewhere", "not a picture in the model")
    return value


class _ParityJson(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    pictures: int
    largest_difference: float
    mean_difference: float
    other_labels: int


class _Int8Json(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    points_lost: float
    pictures: int
    wrong: int
    wrong_int8: int
    accepted: float
    accepted_int8: float
    parity: _ParityJson
    speed_ratio: float
    processor: str


class _CostsJson(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    labels: Annotated[tuple[str, ...], BeforeValidator(_labels)]
    values: list[list[Annotated[float, Field(ge=0, le=MOST)]]]

    @model_validator(mode="after")
    def _fits(self) -> "_CostsJson":
        width = len(self.labels) + 1
        if len(self.values) != len(self.labels) or any(len(row) != width for row in self.values):
            raise PydanticCustomError("advice_amiss", "no table of costs")
        if any(row[number] or row[-1] != self.values[0][-1] for number, row in enumerate(self.values)):
            raise PydanticCustomError("advice_amiss", "right answers cost nothing, and asking the same everywhere")
        return self


class _SetsJson(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    coverage: Annotated[float, Field(gt=0, lt=1)]
    least: list[Annotated[float, Field(ge=0, le=1)]]
    by_class: bool


class _SecondLookJson(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    window: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, le=1)]


class _ModelJson(BaseModel):
    """The fields of `model.json` as they must stand there; it may hold more."""

    model_config = ConfigDict(strict=True)

    name: str
    title: str
    labels: Annotated[tuple[str, ...], BeforeValidator(_labels)]
    arch: str
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)]
    # The first models were all cropped and did not say so.
    resize: Annotated[str, AfterValidator(_resize)] = "crop"
    # In this form NaN is refused too.
    temperature: Annotated[float, Field(gt=0, lt=float("inf"))]
    threshold: Annotated[float, Field(ge=0, le=1)]
    neighbours: Annotated[int, Field(ge=1)]
    summary: str
    examples: dict[str, Annotated[str, AfterValidator(_example)]]
    versions: dict[str, Any]
    made: dict[str, Any]
    preprocessing: dict[str, Any]
    int8: _Int8Json | None = None
    # The first models knew no weight and no views.
    certainty: Annotated[float, Field(ge=0, le=10)] = 0.0
    views: Annotated[int, Field(ge=0)] = 0
    costs: _CostsJson | None = None
    sets: _SetsJson | None = None
    shares: Annotated[tuple[float, ...], BeforeValidator(_shares)] = ()
    prior: Annotated[tuple[float, ...], BeforeValidator(_shares)] = ()
    second_look: _SecondLookJson | None = None

    @model_validator(mode="after")
    def _is_of_these_labels(self) -> "_ModelJson":
        if self.costs and self.costs.labels != self.labels:
            raise PydanticCustomError("advice_amiss", "costs of other labels")
        if self.sets and len(self.sets.least) != len(self.labels):
            raise PydanticCustomError("advice_amiss", "sets of other labels")
        if any(shares and len(shares) != len(self.labels) for shares in (self.shares, self.prior)):
            raise PydanticCustomError("advice_amiss", "shares of other labels")
        if (self.prior and not self.shares) or not all(self.shares):
            raise PydanticCustomError("advice_amiss", "nothing that a prior could be compared with")
        return self


# Kinds of errors of values that have the right type.
_IMPOSSIBLE = {
    "advice_amiss",
    "greater_than",
    "greater_than_equal",
    "labels_alike",
    "less_than",
    "less_than_equal",
    "resize_unknown",
}


def _as_spec(content: dict[str, Any]) -> ModelSpec:
    try:
        read = _ModelJson.model_validate(content)
    except ValidationError as error:
        raise BrokenModel(_refusal(error.errors(include_url=False))) from error
    tables = {"int8", "costs", "sets", "second_look"}
    values = {name: getattr(read, name) for name in _ModelJson.model_fields if name not in tables}
    # A page, and what it tells programs, has to be called something.
    values["title"] = read.title if read.title.strip() else read.name.strip() or "Spotter"
    costs = CostTable(read.costs.labels, tuple(map(tuple, read.costs.values))) if read.costs else None
    sets = LabelSets(read.sets.coverage, tuple(read.sets.least), read.sets.by_class) if read.sets else None
    again = SecondLook(**dict(read.second_look)) if read.second_look else None
    int8 = _as_int8(read.int8) if read.int8 else None
    return ModelSpec(**values, sets=sets, int8=int8, costs=costs, second_look=again)


def _as_int8(read: _Int8Json) -> Int8:
    return Int8(**{**dict(read), "parity": ParityReport(**dict(read.parity))})


def _refusal(errors: Sequence[ErrorDetails]) -> str:
    """What is wrong with a `model.json`, in a sentence: fields that are not there or of another type before others."""
    for error in errors:
        if error["type"] not in {*_IMPOSSIBLE, "example_elsewhere"}:
            return f"The model's model.json has a missing or damaged field ({_complaint(error)})."
    if any(error["type"] == "example_elsewhere" for error in errors):
        return "The model's model.json names an example that is outside the model or is not a picture."
    return "The model's model.json holds impossible values."


def _complaint(error: ErrorDetails) -> str:
    field, value = ".".join(map(str, error["loc"])), _in_words(error["input"])
    kinds = {
        "missing": f"{field} is missing",
        "extra_forbidden": f"{field} is not known",
        "string_type": f"{field}: {value} is not a text",
        "int_type": f"{field}: {value} is not a whole number",
        "float_type": f"{field}: {value} is not a number",
        "dict_type": f"{field}: {value} is not a table",
        "model_type": f"{field}: {value} is not a table",
        "value_error": error["msg"].removeprefix("Value error, "),
    }
    # It may quote what stands in the file.
    told = kinds.get(error["type"], f"{field}: {error['msg']}")
    return "".join(c if c.isprintable() else "?" for c in told)[:80]


def _read_metrics(data: bytes) -> dict[str, Any]:
    try:
        metrics = parse_json(data)
    except ValueError as error:
        raise BrokenModel("The model's metrics.json cannot be read.") from error
    if not isinstance(metrics, dict):
        raise BrokenModel("The model's metrics.json cannot be read.")
    return metrics


def read_reference(data: bytes) -> np.ndarray:
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
