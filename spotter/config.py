"""Configuration: frozen dataclasses, the only home of defaults."""

import os
import re
from dataclasses import dataclass, field

# The names by which a machine calls itself.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# How the address of a store, and of a data set, on the Hugging Face Hub begins.
HUB = "hf://"
DATASETS = "hf://datasets/"
# Of a rollout.
STAGES = ("shadow", "supervised", "gradual", "full")


@dataclass(frozen=True)
class PictureConfig:
    """Limits on what is accepted as a picture, and how it is stored."""

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
    max_pixels: int = 50_000_000
    min_side: int = 2
    stored_side: int = 1024
    stored_quality: int = 95


@dataclass(frozen=True)
class CollectConfig:
    """What a picture set must hold: `license` is "any", "open" or "commercial"; each class has a minimum.

    Each further query of a class asks for `per_more_query` pictures.
    """

    license: str = "any"
    min_per_class: int = 5
    per_more_query: int = 30


@dataclass(frozen=True)
class DownloadConfig:
    """Limits on one download and on how many run at once."""

    workers: int = 16
    per_host: int = 2
    max_bytes: int = 15_000_000
    deadline_s: float = 20.0
    connect_timeout_s: float = 5.0
    max_redirects: int = 5
    retries: int = 2
    user_agent: str = field(default_factory=lambda: user_agent())


RESIZES = ("crop", "squish", "pad")


@dataclass(frozen=True)
class TrainConfig:
    """How a classifier is learnt. Sizes are pixels, `fine_tune` is epochs (0: linear head only).

    `resize` is one of `RESIZES`. The rest of the augmentation is for fine-tuning: crops of at least `min_scale` of a
    picture's area, first scaled to `presize` pixels if that is not 0; rotation, warp and lighting times `mult`.
    `find_rate` looks for the learning rate first.
    When the largest class has more than `uneven` times the pictures of the smallest, each class counts the same.
    With more than `many` pictures, one held-out fold is enough to choose a strength on; with at most `few`, mirrored
    and cropped views of them are tried too.
    """

    arch: str = "tf_efficientnet_lite0"
    size: int = 224
    resize: str = "crop"
    presize: int = 0
    min_scale: float = 1.0
    mult: float = 1.0
    find_rate: bool = False
    batch_size: int = 32
    seed: int = 42
    folds: int = 5
    fine_tune: int = 0
    uneven: float = 1.5
    many: int = 2000
    few: int = 200
    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class FamiliarityConfig:
    """A picture is familiar when its mean cosine to the nearest training pictures is high enough.

    Of more than `most_reference` training pictures, as many centres stand for all.
    """

    neighbours: int = 3
    accept: float = 0.965
    most_reference: int = 10_000


@dataclass(frozen=True)
class ParityConfig:
    """What the gate before publishing asks for.

    Probabilities of at least `min_pictures` pictures differ by less than `tolerance`, on average by less than
    `mean_tolerance`, and at least the share `same_labels` of the pictures keep their label.
    """

    min_pictures: int = 64
    tolerance: float = 1e-3
    mean_tolerance: float = 1e-3
    same_labels: float = 1.0


@dataclass(frozen=True)
class Int8Config:
    """How an int8 variant is made and timed, and what it must be to be published.

    It is calibrated on at most so many `pictures` and timed over `runs`. It must lose less than
    `max_points_lost` points of held-out pictures, be `min_speed_ratio` times as fast (less, and the noise of timing
    would decide), change the share of familiar pictures by no more than `max_acceptance_change`, and pass `parity` with
    the float network.
    """

    pictures: int = 64
    runs: int = 60
    max_points_lost: float = 0.5
    min_speed_ratio: float = 1.1
    max_acceptance_change: float = 0.03
    parity: ParityConfig = field(
        default_factory=lambda: ParityConfig(tolerance=0.5, mean_tolerance=0.03, same_labels=0.95)
    )


@dataclass(frozen=True)
class ConvertConfig:
    """How long the process that opens somebody's export may take for each of its two tasks."""

    patience_s: float = 600.0


@dataclass(frozen=True)
class ServeConfig:
    """Where the app listens and what it accepts.

    A picture has at most `max_upload_bytes`; a batch `max_batch` pictures and `max_batch_bytes`. At most `max_queue`
    pictures or uploads wait, and `max_held_bytes` of the HTTP API's bodies are in memory; one client gets half of both,
    at most `max_streams` open answers, and `rate_per_s` requests a second, `burst` at once. A body may take
    `patience_s`, and a second more for each `slowest_bytes_per_s`. Uploads through the page take at most
    `max_stored_bytes` of disk. When told to stop, the app finishes what is in flight for up to `stop_s` (Docker kills
    after ten seconds). Clients are told apart by what a proxy says (`behind_proxy`) or by who connects. `metrics` adds
    `GET /metrics`.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    max_upload_bytes: int = 15_000_000
    max_batch: int = 100
    max_batch_bytes: int = 100_000_000
    max_queue: int = 32
    max_held_bytes: int = 300_000_000
    max_streams: int = 100
    rate_per_s: float = 300.0
    burst: int = 3000
    patience_s: float = 60.0
    slowest_bytes_per_s: int = 100_000
    max_stored_bytes: int = 500_000_000
    stop_s: float = 6.0
    behind_proxy: bool = False
    metrics: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether others than this machine can reach the app; then pages of other origins may ask it, too."""
        return self.host not in LOOPBACK


@dataclass(frozen=True)
class FeedbackConfig:
    """How feedback gets into a data set on the Hub: every `batch_s` seconds, at most `most` entries in one commit, and
    for `close_s` seconds when the app stops."""

    batch_s: float = 300.0
    most: int = 200
    close_s: float = 10.0


@dataclass(frozen=True)
class LogConfig:
    """The answer log: it keeps the newest `most_answers`, some 250 bytes each, and of each embedding `dimensions`.

    Answers are written together every `batch_s` seconds; where that fails, `most_waiting` wait for the next attempt,
    `retry_s` later.
    """

    most_answers: int = 200_000
    dimensions: int = 16
    batch_s: float = 0.5
    retry_s: float = 5.0
    most_waiting: int = 1000


@dataclass(frozen=True)
class WatchConfig:
    """When a change in the answers is an alert.

    Over all that is watched together, at most one false alert is expected in `quiet` pictures. Nothing is said before
    `settle` pictures (`settle_reviews` reviews) are there to compare with; at most the last `memory` are compared with.
    What the pictures show is judged in blocks of `block`, each by what set the `window` pictures before it apart.
    """

    quiet: int = 30_000
    settle: int = 200
    settle_reviews: int = 100
    memory: int = 20_000
    block: int = 20
    window: int = 80


@dataclass(frozen=True)
class GateConfig:
    """What a stage of the rollout must have shown before the next.

    At least `reviewed` answers that named something were reviewed since it began, and the share of right ones is at
    least `accuracy` with 97.5 % certainty (the lower end of its 95 % interval); at most the share `unfamiliar` of all
    were not sure; the last `quiet` answers gave no alert.
    """

    reviewed: int
    accuracy: float
    unfamiliar: float
    quiet: int


@dataclass(frozen=True)
class ReportConfig:
    """The report over the log of answers: `days` are a period, `file` is its name in the folder of the log."""

    days: float = 7.0
    file: str = "monitor.html"


@dataclass(frozen=True)
class RolloutConfig:
    """The careful rollout: a gate for each stage, and the `share` of clients that is answered at once when gradual.

    Alerts that come within `together` answers after one that demoted belong to it. The app looks for alerts every
    `check_s` seconds, less often when that takes long.
    """

    share: float = 0.2
    together: int = 300
    check_s: float = 30.0
    shadow: GateConfig = GateConfig(reviewed=100, accuracy=0.85, unfamiliar=0.2, quiet=100)
    supervised: GateConfig = GateConfig(reviewed=200, accuracy=0.9, unfamiliar=0.15, quiet=200)
    gradual: GateConfig = GateConfig(reviewed=300, accuracy=0.93, unfamiliar=0.1, quiet=500)


@dataclass(frozen=True)
class QueueConfig:
    """Answers that wait for a person: at most `most`, and a picture or an outcome is kept for `keep_days` at most."""

    most: int = 500
    keep_days: float = 7.0


@dataclass(frozen=True)
class CleanConfig:
    """The cleaning page: pictures on one page, thumbnails' longer side in pixels, and how many stay in memory."""

    port: int = 7861
    page_size: int = 24
    thumb_side: int = 320
    thumbs: int = 2000


@dataclass(frozen=True)
class ScaleConfig:
    """How many pictures are classified or computed at once, on one machine or a cluster.

    A part has `part` pictures, or more, so that there are at most `most_parts`. A file of more than `max_bytes` is not
    read. Addresses are dealt by their hosts into `lanes`; each goes on one process at a time. A cluster on this machine
    keeps at most `store_bytes` in memory between its processes; `downloads` addresses are handed out at a time.
    """

    part: int = 250
    most_parts: int = 100_000
    max_bytes: int = 100_000_000
    lanes: int = 64
    store_bytes: int = 150_000_000
    downloads: int = 2048


@dataclass(frozen=True)
class EndpointConfig:
    """The predictor behind Ray Serve: `replicas` of it, each on one core, answer up to `batch` pictures together and
    wait `wait_s` for the batch to fill. A replica takes at most `max_ongoing` requests, and `max_queued` wait.
    """

    host: str = "127.0.0.1"
    port: int = 7862
    replicas: int = 2
    batch: int = 8
    wait_s: float = 0.005
    max_ongoing: int = 32
    max_queued: int = 200


def user_agent() -> str:
    """The name we go by on the web; with the address in `SPOTTER_CONTACT`, whom to write to about it.

    Wikimedia, for one, asks for such an address: https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy.
    """
    contact = re.sub(r"[^!-~]+", " ", os.environ.get("SPOTTER_CONTACT", "")).strip(" ()")
    return (
        f"Spotter/0.1 (collects pictures to train a classifier; {contact or 'https://huggingface.co/docs/hub/spaces'})"
    )
