"""What a model can do besides answering, for the page."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from spotter.challenger import SecondOpinion
from spotter.monitor import AnswerLog
from spotter.predictor import Neighbour
from spotter.rollout import Rollout
from spotter.staff_report import ReportPage
from spotter.waiting import WaitingFolder
from spotter.watch import Watcher


@dataclass(frozen=True)
class Extras:
    """`explain` draws where the evidence lies; `nearest` gives so many training pictures; `keep` takes a picture,
    the answer, what a visitor said of it (None: none of the labels) and, as `logged`, the answer's id in the log, and
    gives the entry's id, and `forget` removes it; `log` notes down answers, and `challenger` does so with what another
    revision says; `report` shows staff what the log says. `rollout` says who is answered at once, `waiting` holds the
    other answers, and `watcher` looks for alerts. None: it cannot.
    """

    explain: Callable[[Image.Image], Image.Image] | None = None
    nearest: Callable[[Image.Image, int], list[Neighbour]] | None = None
    keep: Callable[..., str] | None = None
    forget: Callable[[str], bool] | None = None
    log: AnswerLog | None = None
    report: ReportPage | None = None
    challenger: SecondOpinion | None = None
    rollout: Rollout | None = None
    waiting: WaitingFolder | None = None
    watcher: Watcher | None = None

    @property
    def problem(self) -> str:
        """What does not work besides answering, "" when all does."""
        parts = [each.problem for each in (self.log, self.challenger, self.rollout, self.watcher) if each]
        return " ".join(filter(None, parts))
