"""What a published revision holds: file names, and what `model.json` says."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from spotter.bundle.second_look import SecondLook
from spotter.config import ParityConfig
from spotter.decide.costs import CostTable
from spotter.decide.label_sets import LabelSets

FORMAT = 1
MODEL_JSON, ONNX, REFERENCE, PICKLE = "model.json", "model.onnx", "reference.safetensors", "export.pkl"
INT8_ONNX = "model-int8.onnx"
NETWORKS = (ONNX, INT8_ONNX)
METRICS, THUMBNAILS = "metrics.json", "thumbnails.safetensors"
# Pixels; a larger square would fill the memory before anything is known about the network.
MAX_SIZE = 2048
SERVING_FILES = (MODEL_JSON, ONNX, REFERENCE)
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
class ModelSpec:
    """The contents of `model.json`, but for the hashes of the files.

    `size` is the side of the square that the network sees, in pixels, and `resize` how a picture becomes one ("crop",
    "squish" or "pad"); `temperature` is already inside the
    network; `threshold` is the least familiarity of a familiar picture, over `neighbours` neighbours and with the
    weight `certainty` (see `spotter.inference.familiarity`); the last `views` rows of the reference are shifted views
    of training pictures, not pictures; `summary`
    says the error in words; `examples` maps labels to files of example pictures beside `model.json`; `preprocessing`
    says what happens to a picture, for readers: the constants are inside the network. `int8` is None where there is
    no int8 network, `costs` where nobody said what mistakes cost, `sets` where too few pictures were held out for sets
    of labels. `shares` are those in which the labels were learnt, () in older revisions; `prior` are those in which
    they come where the model is used, () where nobody said so. `second_look` is None where a second look does not
    help.
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
    certainty: float = 0.0
    views: int = 0
    costs: CostTable | None = None
    sets: LabelSets | None = None
    shares: tuple[float, ...] = ()
    prior: tuple[float, ...] = ()
    second_look: SecondLook | None = None

    @property
    def advice(self) -> tuple[str, ...]:
        """The names of what its answers say beyond those of every model (see `spotter.inference.prediction.Advice`)."""
        return (
            *(("decision", "expected_cost") if self.costs else ()),
            *(("set",) if self.sets else ()),
            *(("prior", "unweighted") if self.prior else ()),
            *(("looked_at",) if self.second_look else ()),
        )


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
