"""Configuration: frozen dataclasses, the only home of defaults."""

import os
import re
from dataclasses import dataclass, field

# Names of this machine itself.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# With more classes, confusions are listed, most frequent first: a table of 130 has 16,900 cells, nearly all empty.
MOST_IN_MATRIX = 10
# Into so many bins of equal width answers are sorted by how probable they are, to see how many of each are right.
RELIABILITY_BINS = 15
# Addresses on the Hugging Face Hub begin with these: of a store, and of a data set.
HUB = "hf://"
DATASETS = "hf://datasets/"
# The stages of a rollout, in order.
STAGES = ("shadow", "supervised", "gradual", "full")


# Why a file that begins like none of the formats is left out.
NOT_A_PICTURE = "not-a-picture"


@dataclass(frozen=True)
class PictureConfig:
    """Limits on what is accepted as a picture, and how it is stored."""

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
    max_pixels: int = 50_000_000
    min_side: int = 2
    stored_side: int = 1024
    stored_quality: int = 95

    @property
    def advice(self) -> str:
        """What to do about files of other formats, of which the reason is `NOT_A_PICTURE`: a sentence."""
        *others, last = self.formats
        return f"Only {', '.join(others)} and {last} are read; save other pictures, such as HEIC or TIFF, as JPEG."


@dataclass(frozen=True)
class CollectConfig:
    """What a picture set must hold: `license` is "any", "open" or "commercial"; each class has a minimum.

    Each further query of a class asks for `per_more_query` pictures.
    """

    license: str = "any"
    min_per_class: int = 5
    per_more_query: int = 30


@dataclass(frozen=True)
class LessonConfig:
    """What is accepted as a lesson of the teach page: pictures and bytes of each, of the file, and of what it says."""

    max_pictures: int = 5000
    max_picture_bytes: int = 15_000_000
    max_bytes: int = 2_000_000_000
    max_json_bytes: int = 50_000_000


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
    """How a classifier is trained. Sizes are in pixels; `fine_tune` is a number of epochs (0: linear head only).

    `resize` is one of `RESIZES`. The rest of the augmentation is for fine-tuning: crops of at least `min_scale` of a
    picture's area, first scaled to `presize` pixels if that is not 0; rotation, warp and lighting times `mult`.
    `find_rate` finds the learning rate first.
    When the largest class has more than `uneven` times the pictures of the smallest, each class counts the same.
    With more than `many` pictures, one held-out fold is enough to choose a strength on; with at most `few`, mirrored
    and cropped views of them are tried too. Views of pictures as a camera may give them (dark, blurred, far away ...)
    are learnt from too: one of each picture, but at most `most_shifted` in all, and of few pictures up to `shifts` of
    each until there are `enough_shifted`. Sets of labels are to hold the truth for the share `coverage` of pictures.
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
    shifts: int = 2
    enough_shifted: int = 300
    most_shifted: int = 1500
    coverage: float = 0.95
    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class FamiliarityConfig:
    """A picture is familiar when its mean cosine to the nearest training pictures, less what the classifier doubts, is
    high enough (see `spotter.inference.familiarity`).

    If there are more than `most_reference` training pictures and views, that many centres replace them. `certainties`
    are tried, on at most `chosen_on` pictures.
    """

    neighbours: int = 3
    accept: float = 0.965
    most_reference: int = 10_000
    certainties: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    chosen_on: int = 2000


@dataclass(frozen=True)
class SecondLookConfig:
    """The second look (see `spotter.bundle.second_look`): `window`, and the `margins` that are tried, on at most `most`
    held-out pictures that are not familiar, as many shifted views, and as many strangers; on none of fewer than `least`
    held-out pictures.

    At most the share `strangers` of strangers may get an answer more, and at most the share `wrong` of the answers that
    are added may be wrong, or one of them.
    """

    window: float = 0.4
    margins: tuple[float, ...] = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1)
    least: int = 30
    most: int = 100
    strangers: float = 0.01
    wrong: float = 0.1


@dataclass(frozen=True)
class StressConfig:
    """The stress test: each shift, at each strength, is tried on at most so many held-out pictures, and on at most the
    share `share` of them, but on `least` where there are as many. Fewer than that say nothing of which shift is worst.

    A shift that leaves the share `harmless` of the right answers to pictures as they are is not worth a warning. Where
    no more than the share `hardly` of these is right and answered, it does not tell what a shift costs.
    """

    pictures: int = 16
    share: float = 1 / 3
    least: int = 8
    harmless: float = 0.9
    hardly: float = 0.2


@dataclass(frozen=True)
class ParityConfig:
    """What the gate before publishing requires.

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

    It is calibrated on at most `pictures` pictures and timed over `runs` runs. It must lose less than `max_points_lost`
    percentage points on held-out pictures, be at least `min_speed_ratio` times as fast (with a smaller ratio, timing
    noise would decide), change the share of familiar pictures by at most `max_acceptance_change`, and pass `parity`
    with the float network.
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
    """How long the process that opens an export may take for each of its two tasks."""

    patience_s: float = 600.0


@dataclass(frozen=True)
class ServeConfig:
    """Where the app listens and what it accepts.

    A picture has at most `max_upload_bytes`; a batch `max_batch` pictures and `max_batch_bytes`. At most `max_queue`
    pictures or uploads wait, `max_held_bytes` of the HTTP API's bodies are in memory, and `max_connections` are open
    (with some more for health checks, below the 1,024 files that a process may usually open); of all three, a client
    gets no more than what is then still free. It gets at most `max_streams` open answers, and `rate_per_s` requests a
    second, `burst` at once. A body may take
    `patience_s`, and a second more for each `slowest_bytes_per_s`. Uploads through the page take at most
    `max_stored_bytes` of disk. While the app starts, a request for what is not there yet waits for it for up to
    `start_s` seconds. When it is told to stop, the app finishes open requests for up to `stop_s` seconds
    (Docker kills it after ten). With `behind_proxy`, the address of a client comes from the proxy's header; otherwise
    it is the address that connects. `metrics` adds `GET /metrics`.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    max_upload_bytes: int = 15_000_000
    max_batch: int = 100
    max_batch_bytes: int = 100_000_000
    max_queue: int = 32
    max_held_bytes: int = 300_000_000
    max_connections: int = 800
    max_streams: int = 100
    rate_per_s: float = 300.0
    burst: int = 3000
    patience_s: float = 60.0
    slowest_bytes_per_s: int = 100_000
    max_stored_bytes: int = 500_000_000
    start_s: float = 30.0
    stop_s: float = 6.0
    behind_proxy: bool = False
    metrics: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether other machines can reach the app. If so, pages of other origins may send requests too."""
        return self.host not in LOOPBACK


@dataclass(frozen=True)
class FeedbackConfig:
    """How feedback is sent to a data set on the Hub: every `batch_s` seconds, at most `most` entries in one commit, and
    for at most `close_s` seconds when the app stops."""

    batch_s: float = 300.0
    most: int = 200
    close_s: float = 10.0


@dataclass(frozen=True)
class LogConfig:
    """The answer log. It keeps the newest `most_answers` answers, about 250 bytes each, and `dimensions` numbers of
    each embedding.

    Answers are written in batches, every `batch_s` seconds. If that fails, at most `most_waiting` answers wait for the
    next attempt, `retry_s` seconds later.
    """

    most_answers: int = 200_000
    dimensions: int = 16
    batch_s: float = 0.5
    retry_s: float = 5.0
    most_waiting: int = 1000


@dataclass(frozen=True)
class WatchConfig:
    """When a change in the answers is an alert.

    All tests together give at most one false alert in `quiet` pictures, on average. There are no alerts before `settle`
    pictures (`settle_reviews` reviews) are there to compare with. At most the last `memory` pictures are used for
    comparison. What the pictures show is tested in blocks of `block` pictures, with a classifier fitted on the `window`
    pictures before each block.
    """

    quiet: int = 30_000
    settle: int = 200
    settle_reviews: int = 100
    memory: int = 20_000
    block: int = 20
    window: int = 80


@dataclass(frozen=True)
class GateConfig:
    """The conditions for leaving a stage of the rollout.

    Since the stage began, at least `reviewed` answers that named a class were reviewed. The lower end of the 95 %
    interval of the share of right ones is at least `accuracy`. At most the share `unfamiliar` of all answers were "not
    sure". The last `quiet` answers gave no alert.
    """

    reviewed: int
    accuracy: float
    unfamiliar: float
    quiet: int


@dataclass(frozen=True)
class ReportConfig:
    """The report about the answer log: `days` is the length of a period, `file` the report's name in the folder of the
    log."""

    days: float = 7.0
    file: str = "monitor.html"


@dataclass(frozen=True)
class RolloutConfig:
    """The careful rollout: a gate for each stage, and the `share` of clients that get answers at once in the stage
    "gradual".

    Alerts that come within `together` answers after an alert that caused a step back belong to it and cause no other
    step. The app looks for alerts every `check_s` seconds, or less often if that takes long.
    """

    share: float = 0.2
    together: int = 300
    check_s: float = 30.0
    shadow: GateConfig = GateConfig(reviewed=100, accuracy=0.85, unfamiliar=0.2, quiet=100)
    supervised: GateConfig = GateConfig(reviewed=200, accuracy=0.9, unfamiliar=0.15, quiet=200)
    gradual: GateConfig = GateConfig(reviewed=300, accuracy=0.93, unfamiliar=0.1, quiet=500)


@dataclass(frozen=True)
class QueueConfig:
    """Answers that wait for review: at most `most`. A picture or an outcome is kept for at most `keep_days` days."""

    most: int = 500
    keep_days: float = 7.0


@dataclass(frozen=True)
class CleanConfig:
    """The cleaning page: the number of pictures on a page, the longer side of thumbnails in pixels, and how many
    thumbnails stay in memory."""

    port: int = 7861
    page_size: int = 24
    thumb_side: int = 320
    thumbs: int = 2000


@dataclass(frozen=True)
class ScaleConfig:
    """How many pictures are classified or computed at once, on one machine or a cluster.

    A part has `part` pictures, or more if there would be more than `most_parts` parts. Files larger than `max_bytes`
    are not read. Addresses are grouped by host into `lanes`; one process at a time works on a lane. A cluster on this
    machine shares at most `store_bytes` of memory between its processes. Downloads are handed out in groups of
    `downloads` addresses.
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


@dataclass(frozen=True)
class EventConfig:
    """Which frames of a camera are one event; see `spotter.camera.events.EventBuilder`."""

    gap_s: float = 60.0
    alike_gap_s: float = 300.0
    alike: float = 0.8
    longest_s: float = 900.0
    most: int = 1000


# Files that are read as films.
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"})


@dataclass(frozen=True)
class FollowConfig:
    """A folder that a camera fills: a file is read once it has not changed for `settle_s` seconds, and one that cannot
    be read, once it has not for `patience_s`. The whole folder is listed every `list_s` seconds, as not every file
    system tells of its changes. So many pictures are classified at a time: `batch`.
    """

    settle_s: float = 2.0
    patience_s: float = 30.0
    list_s: float = 30.0
    batch: int = 64


def user_agent() -> str:
    """The User-Agent of our requests, with the contact address from `SPOTTER_CONTACT`, if there is one.

    Wikimedia, for one, asks for such an address: https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy.
    """
    contact = re.sub(r"[^!-~]+", " ", os.environ.get("SPOTTER_CONTACT", "")).strip(" ()")
    return (
        f"Spotter/0.1 (collects pictures to train a classifier; {contact or 'https://huggingface.co/docs/hub/spaces'})"
    )
