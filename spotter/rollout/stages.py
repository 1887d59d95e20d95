"""The staged rollout: shadow, gradual, full; who is answered at once, and how a revision got there.

All of it is in files beside the answer log, so that a promotion or a demotion reaches the running app at its next
answer, and holds when it starts again. The stage is a revision's own: a new one begins anew, and one that comes back is
where it was.
"""

import hmac
import json
import logging
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spotter.config import STAGES, GateConfig, RolloutConfig
from spotter.errors import RolloutDamaged, RolloutMissing, did_you_mean
from spotter.monitor.log import last_numbers
from spotter.stores.base import meant_by
from spotter.utils.files import read_toml, take_place
from spotter.utils.journal import Journal, Writer, read_as

_log = logging.getLogger(__name__)

# From the most careful on. "gradual" for some clients is "supervised" for the others.
SHADOW, SUPERVISED, GRADUAL, FULL = STAGES
# What a reviewer says who finds none of the labels right; no label can be called so.
STATE, KEY, PLAN = "rollout.jsonl", "rollout.key", "rollout.toml"
KEY_BYTES = 32
STARTED, PROMOTED, DEMOTED = "started", "promoted", "demoted"


@dataclass(frozen=True)
class Move:
    """A line of the history: a revision went to the stage `to` at `at` (ISO, UTC), and `why`, with the figures.

    `number` and `review` are those of the newest answer and the newest review then; `action` is a word for what it was.
    """

    at: str
    action: str
    revision: str
    to: str
    why: str = ""
    number: int = 0
    review: int = 0
    figures: dict[str, Any] = field(default_factory=dict)


class Rollout:
    """The rollout of one revision, in the folder of an answer log. Several processes may use it."""

    def __init__(self, folder: Path, revision: str) -> None:
        self.folder, self.revision = folder, revision
        self._problems: dict[str, str] = {}
        self._seen: dict[str, tuple[int, ...]] = {}
        self._history: list[Move] = []
        self._config = RolloutConfig()
        self._key = b""

    def start(self, stage: str) -> None:
        """Begin at a stage, unless the revision is at one already; write the gates and the key where there are none.

        Raises:
            RolloutDamaged: a file cannot be written, or one that is there cannot be read.
            LogUnreadable: the answer log cannot be read.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _create(self.folder / PLAN, as_toml(RolloutConfig()).encode(), 0o644)
            _create(self.folder / KEY, secrets.token_bytes(KEY_BYTES), 0o600)
            self._key = (self.folder / KEY).read_bytes()
        except OSError as error:
            raise RolloutDamaged(f"The rollout cannot be kept in {str(self.folder)!r}: {error.strerror}.") from error
        if len(self._key) < KEY_BYTES:
            raise RolloutDamaged(
                f"The key in {str(self.folder / KEY)!r} is empty or cut short, so anybody could work out who is "
                "answered at once; remove the file, and a new key is made."
            )
        read_plan(self.folder)
        with self._locked() as (history, writer):
            if not history:
                _write(writer, self._made(STARTED, stage, "", {}, last_numbers(self.folder)))

    @property
    def problem(self) -> str:
        """What cannot be read, "" when all can."""
        return " ".join(self._problems.values())

    def history(self) -> list[Move]:
        """The moves of this revision, oldest first.

        Raises:
            RolloutDamaged: a line is none.
        """
        return [move for move in read_history(self.folder) if move.revision == self.revision]

    @property
    def last(self) -> Move:
        """The newest move.

        Raises:
            RolloutMissing: the revision has none. RolloutDamaged: a line is none.
        """
        history = self.history()
        if not history:
            raise RolloutMissing(
                f"There is no rollout of {self.revision} in {str(self.folder)!r}; spotter serve --rollout shadow --log "
                f"{self.folder} begins one."
            )
        return history[-1]

    @property
    def stage(self) -> str:
        """Where it is now. Cheap: the file is read again only when it has changed; trouble is a `problem`, no error."""
        self._follow(STATE, self._read_state)
        # Without a readable file, no answer goes out without a review.
        return self._history[-1].to if self._history else SUPERVISED

    @property
    def config(self) -> RolloutConfig:
        """The gates and the share, read as `stage` is."""
        self._follow(PLAN, self._read_plan)
        return self._config

    def treat(self, client: str) -> str:
        """How the next answer to a client is used: a stage, "supervised" for most while it is gradual.

        The same client is treated the same for as long as the share stays, and those who are answered at once still are
        when it grows. Of the client nothing is kept.
        """
        stage = self.stage
        if stage != GRADUAL:
            return stage
        return GRADUAL if place_of(client, self._key) < self.config.share else SUPERVISED

    def place_of(self, client: str) -> float:
        """Where in [0, 1) a client stands, in every process alike; it says nothing about how the client is treated."""
        return place_of(f"group {client}", self._key)

    def move(self, seen: Move, action: str, to: str, why: str, figures: Mapping[str, Any]) -> bool:
        """Go to a stage, unless somebody else moved since `seen` was the last move; return whether it did.

        Raises:
            RolloutDamaged: the history cannot be read or written. LogUnreadable: the answer log cannot be read.
        """
        with self._locked() as (history, writer):
            if not history or history[-1] != seen:
                return False
            _write(writer, self._made(action, to, why, figures, last_numbers(self.folder)))
            return True

    def catch_up(self) -> Move:
        """The newest move, as `last`. Where the answer log was begun anew since then, there is one more, to the same
        stage, that counts from its first answer: the numbers of the old log say nothing about it.

        Raises:
            As `last` and `move`.
        """
        last = self.last
        number, _ = last_numbers(self.folder)
        # An empty one may be on its way back.
        if not 0 < number < last.number:
            return last
        with self._locked() as (history, writer):
            if history and history[-1] == last:
                _write(writer, self._made(STARTED, last.to, "the answer log was begun anew", {}, (0, 0)))
        return self.last

    def _made(self, action: str, to: str, why: str, figures: Mapping[str, Any], newest: tuple[int, int]) -> Move:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Move(now, action, self.revision, to, why, *newest, dict(figures))

    @contextmanager
    def _locked(self) -> Iterator[tuple[list[Move], Writer]]:
        """Keep others from moving, and give the history and what adds to it."""
        try:
            with Journal(self.folder / STATE, permissions=0o644).writing() as writer:
                yield self.history(), writer
        except OSError as error:
            raise RolloutDamaged(f"The rollout cannot be kept in {str(self.folder)!r}: {error.strerror}.") from error

    def _follow(self, name: str, read: Callable[[], None]) -> None:
        """Read a file if it has changed since it was last read, and again until it can be."""
        try:
            found = os.stat(self.folder / name)
            now: tuple[int, ...] = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            now = ()
        if self._seen.get(name) == now:
            return
        try:
            read()
        except RolloutDamaged as error:
            if str(error) != self._problems.get(name):
                _log.warning("%s", error)
            self._problems[name] = str(error)
        else:
            # Only now: what could not be read for a moment may be the way back.
            self._seen[name] = now
            self._problems.pop(name, None)

    def _read_state(self) -> None:
        # Gone or empty, it says nothing new.
        self._history = self.history() or self._history

    def _read_plan(self) -> None:
        self._config = read_plan(self.folder)


def place_of(client: str, key: bytes) -> float:
    """Where in [0, 1) a client stands: evenly spread, and not to be guessed without the key."""
    return int.from_bytes(hmac.digest(key, client.encode("utf-8", "replace"), "sha256")[:8]) / 2**64


def find_revision(folder: Path, wanted: str) -> str:
    """The revision of a rollout whose name begins so, as a store finds it; one that is not in it comes back as it is.

    Raises:
        As `read_history`.
    """
    found = meant_by(wanted, {move.revision for move in read_history(folder)})
    return found[0] if len(found) == 1 else wanted


def read_history(folder: Path) -> list[Move]:
    """All moves of all revisions, oldest first; half a line at the end is one that never happened.

    Raises:
        RolloutDamaged: a line is none.
    """
    path = folder / STATE
    try:
        lines = Journal(path).lines()
    except OSError as error:
        raise RolloutDamaged(f"The rollout in {str(folder)!r} cannot be read: {error.strerror}.") from error
    moves = []
    for number, line in enumerate(lines, start=1):
        try:
            move = read_as(Move, json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            if _is_cut_short(line):
                continue
            raise RolloutDamaged(
                f"Line {number} of {str(path)!r} is not a move; correct the file in an editor."
            ) from error
        if move.to not in STAGES:
            raise RolloutDamaged(
                f"Line {number} of {str(path)!r} names an unknown stage{did_you_mean(move.to, STAGES)}."
            )
        moves.append(move)
    return moves


def read_plan(folder: Path) -> RolloutConfig:
    """Read `rollout.toml`; what it does not name is as by default.

    Raises:
        RolloutDamaged: it is not TOML, or names what there is not, or figures that make no sense.
    """
    path = folder / PLAN
    try:
        table = read_toml(path)
    except FileNotFoundError:
        return RolloutConfig()
    except (OSError, ValueError) as error:
        raise RolloutDamaged(f"{str(path)!r} cannot be read: {error}.") from error
    return _filled(RolloutConfig(), table, str(path), "")


def as_toml(config: RolloutConfig) -> str:
    """The gates as a file to edit."""

    def line(name: str, value: float, told: str) -> str:
        return f"{f'{name} = {value:g}':<18} # {told}"

    lines = [
        "# When a revision may go on to the next stage: spotter promote asks for all of it.",
        line("share", config.share, "gradual: this share of clients is answered at once, the others after review"),
        line(
            "together",
            config.together,
            "alerts within this many answers after a step back do not cause another step back",
        ),
        line("check_s", config.check_s, "the app looks for alerts this often, in seconds"),
    ]
    for stage in STAGES[:-1]:
        gate: GateConfig = getattr(config, stage)
        lines += [
            f"\n[{stage}]",
            line("reviewed", gate.reviewed, "least number of reviewed answers that named a class"),
            line(
                "accuracy",
                gate.accuracy,
                "least value of the lower end of the 95 % interval of the share of right answers",
            ),
            line("unfamiliar", gate.unfamiliar, "largest share of not-sure answers"),
            line("quiet", gate.quiet, "number of latest answers that must be without an alert"),
        ]
    return "\n".join(lines) + "\n"


def _filled(config: Any, table: Mapping[str, Any], path: str, inside: str) -> Any:
    names = {each.name: getattr(config, each.name) for each in fields(config)}
    found = {}
    for name, value in table.items():
        where = f"{inside}{name}"
        if name not in names:
            raise RolloutDamaged(f"{path!r} names {where!r}, which does not exist{did_you_mean(name, names)}.")
        if isinstance(names[name], GateConfig):
            if not isinstance(value, dict):
                raise RolloutDamaged(f"In {path!r}, {where} must be a table.")
            found[name] = _filled(names[name], value, path, f"{where}.")
            continue
        is_share = name in {"share", "accuracy", "unfamiliar"}
        kinds = int if isinstance(names[name], int) else (int, float)
        is_figure = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        if not is_figure or value < 0 or (is_share and value > 1):
            wanted = "from 0 to 1" if is_share else f"a {'whole ' if kinds is int else ''}number, 0 or more"
            raise RolloutDamaged(f"In {path!r}, {where} must be {wanted}, not {value!r}.")
        found[name] = value
    return type(config)(**names | found)


def _is_cut_short(line: bytes) -> bool:
    # Written by an older version: somebody was killed there, and the next one began a line of its own.
    return line.startswith(b"{") and not line.rstrip().endswith(b"}")


def _write(writer: Writer, move: Move) -> None:
    writer.add(json.dumps(vars(move), ensure_ascii=False).encode() + b"\n")


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file, whole, unless there is one."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Of several who begin at the same moment, one is first.
        take_place(part, path)
    finally:
        part.unlink(missing_ok=True)
