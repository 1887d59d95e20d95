"""Watch a folder that a camera fills: an answer for each event, a row for each, and an alert where one is asked for."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from spotter.camera.alerts import AlertSender
from spotter.camera.event_log import EventLog, Told
from spotter.camera.events import Event, EventBuilder
from spotter.camera.follow import Follower
from spotter.camera.frames import FileKey, Frame, in_order, taken_at
from spotter.config import NOT_A_PICTURE, VIDEO_SUFFIXES, FollowConfig
from spotter.errors import BadPicture
from spotter.inference.predictor import Predictor

_log = logging.getLogger(__name__)

# How often to look for files that have become complete, and the least time between two writings of a Parquet file.
LOOK_S, TABLE_S = 0.25, 60.0


@dataclass
class Watch:
    """Reads what `follower` gives, and writes events to `log`; `alerts` are the answers that `sender` tells.

    `told` is called with each event. `others` counts files that are no pictures, films among them.
    """

    follower: Follower
    predictor: Predictor
    builder: EventBuilder
    log: EventLog
    config: FollowConfig
    alerts: Collection[str] = ()
    sender: AlertSender | None = None
    told: Callable[[Told], None] = lambda told: None
    others: int = 0
    _last: dict[str, float] = field(default_factory=dict)

    def run(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Watch until `is_over`, which is asked each time that nothing waits; then end the open events.

        Raises:
            AnswersUnwritable: an event cannot be written. It is written after the next start.
        """
        try:
            self._follow(is_over)
        finally:
            self.log.update_table()

    def _follow(self, is_over: Callable[[], bool]) -> None:
        while True:
            ready = self.follower.ready()
            for frame in self._frames(ready):
                for event in self.builder.add(frame):
                    self._finish(event)
                self._last[frame.camera] = time.monotonic()
            self._close_old()
            if not ready and self.follower.is_settled and is_over():
                break
            self.log.update_table(TABLE_S)
            if not ready:
                time.sleep(LOOK_S)
        for event in self.builder.close():
            self._finish(event)

    def _frames(self, ready: Iterable[FileKey]) -> Iterable[Frame]:
        """The frames of complete files, by the times at which they were taken."""
        timed = list[Frame]()
        for key in ready:
            if PurePosixPath(key.name).suffix.lower() in VIDEO_SUFFIXES:
                self.others += 1
                _log.info("%s is a film", key.name)
                continue
            try:
                at, moment = taken_at(self.follower.folder / key.name)
            except OSError:
                _log.info("%s has gone before it was read", key.name)
                continue
            timed.append(Frame(key.name, _camera(key.name), at, key=key, moment=moment))
        timed = in_order(timed)
        for start in range(0, len(timed), self.config.batch):
            part = timed[start : start + self.config.batch]
            answers = self.predictor.predict_each(self.follower.folder / frame.file for frame in part)
            for frame, answer in zip(part, answers, strict=True):
                if isinstance(answer, BadPicture):
                    if answer.reason == NOT_A_PICTURE:
                        # If more of it comes, it is given again.
                        self.others += 1
                        _log.info("%s is no picture", frame.file)
                        continue
                    if frame.key and self.follower.put_back(frame.key):
                        continue
                yield replace(frame, answer=None if isinstance(answer, BadPicture) else answer)

    def _close_old(self) -> None:
        """End the events of cameras that have sent nothing for as long as a gap is."""
        now = time.monotonic()
        for camera, last in list(self._last.items()):
            if now - last > self.builder.config.gap_s:
                del self._last[camera]
                for event in self.builder.close(camera):
                    self._finish(event)

    def _finish(self, event: Event) -> None:
        told = self.log.add(event, self._is_alert(event))
        if told.alert and self.sender:
            self.sender.put(told)
        self.told(told)

    def _is_alert(self, event: Event) -> bool:
        if event.answer is None:
            return False
        record = event.answer.record()
        return bool({record["label"], record.get("decision")} & set(self.alerts))


def _camera(name: str) -> str:
    """The camera that a file is of: its folder, "" at the top."""
    parent = PurePosixPath(name).parent.as_posix()
    return "" if parent == "." else parent
