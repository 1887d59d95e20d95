"""What a model can do besides answering, for the page."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from spotter.challenger import SecondOpinion
from spotter.monitor import AnswerLog
from spotter.predictor import Neighbour, Prediction
from spotter.rollout import Rollout
from spotter.waiting import WaitingFolder
from spotter.watch import Watcher


@dataclass(frozen=True)
class Extras:
    """`explain` draws where the evidence lies; `nearest` gives so many training pictures; `keep` takes what a visitor
    said of an answer (None: none of the labels) and gives its id, and `forget` removes it; `log` notes down answers,
    and `challenger` does so with what another revision says. `rollout` says who is answered at once, `waiting` holds
    the other answers, and `watcher` looks for alerts. None: it cannot.
    """

    explain: Callable[[Image.Image], Image.Image] | None = None
    nearest: Callable[[Image.Image, int], list[Neighbour]] | None = None
    keep: Callable[[Image.Image, Prediction, str | None], str] | None = None
    forget: Callable[[str], bool] | None = None
    log: AnswerLog | None = None
    challenger: SecondOpinion | None = None
    rollout: Rollout | None = None
    waiting: WaitingFolder | None = None
    watcher: Watcher | None = None

    @property
    def problem(self) -> str:
        """What does not work besides answering, "" when all does."""
        parts = [each.problem for each in (self.log, self.challenger, self.rollout, self.watcher) if each]
        return " ".join(filter(None, parts))
