"""What a model can do besides answering, for the page."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from spotter.monitor import AnswerLog
from spotter.predictor import Neighbour
from spotter.staff_report import ReportPage


@dataclass(frozen=True)
class Extras:
    """`explain` draws where the evidence lies; `nearest` gives so many training pictures; `keep` takes a picture,
    the answer, what a visitor said of it (None: none of the labels) and, as `logged`, the answer's id in the log, and
    gives the entry's id, and `forget` removes it; `log` notes down answers,
    and `report` shows staff what it says. None: it cannot.
    """

    explain: Callable[[Image.Image], Image.Image] | None = None
    nearest: Callable[[Image.Image, int], list[Neighbour]] | None = None
    keep: Callable[..., str] | None = None
    forget: Callable[[str], bool] | None = None
    log: AnswerLog | None = None
    report: ReportPage | None = None
