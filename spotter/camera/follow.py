"""Follow a folder that a camera fills: which files in it are complete and were not read yet.

The operating system tells of changes where it can (inotify and its like, through watchfiles). The whole folder is
listed now and then all the same: network shares and memory cards tell nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import watchfiles

from spotter.camera.frames import FileKey
from spotter.config import FollowConfig
from spotter.names import is_system_name
from spotter.utils.files import walk_files

_log = logging.getLogger(__name__)

# How often the thread that is told of changes looks whether it shall end.
LOOK_S = 0.5
# How long it waits before it tries again after a failure.
AGAIN_S = 5.0


@dataclass
class Follower:
    """Lists files of `folder`, each once in each of its states, as soon as it has not changed for a while.

    `known` says which were read before. Use it as a context.
    """

    folder: Path
    config: FollowConfig
    known: Callable[[FileKey], bool]
    is_missing: bool = False
    _given: dict[str, FileKey] = field(default_factory=dict)
    _waiting: dict[str, tuple[FileKey, float]] = field(default_factory=dict)
    _failed: dict[str, tuple[FileKey, float]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _next_list: float = 0.0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._listen, name="follow", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._thread.join(AGAIN_S)

    @property
    def is_settled(self) -> bool:
        """Whether no file waits to be complete, as far as is known."""
        return not self._waiting

    def ready(self) -> list[FileKey]:
        """The files that are complete now and were not given before."""
        now = time.monotonic()
        with self._lock:
            names, self._told = self._told, set()
        if now >= self._next_list:
            names |= self._list()
            self._next_list = now + self.config.list_s
        for name in names:
            if name not in self._waiting and (key := self._key(name)) and not self._is_done(key):
                self._waiting[name] = key, now
        found = []
        for name, (key, since) in list(self._waiting.items()):
            current = self._key(name)
            if current is None:
                del self._waiting[name]
                self._failed.pop(name, None)
            elif current != key:
                self._waiting[name] = current, now
            elif now - since >= self.config.settle_s:
                del self._waiting[name]
                self._given[name] = key
                found.append(key)
        return found

    def put_back(self, key: FileKey) -> bool:
        """Wait for a file again that could not be read; False when it has not changed for so long that it stays so."""
        now = time.monotonic()
        # By both clocks: the time of a file may lie in the future.
        failed, since = self._failed.get(key.name, (key, now))
        since = since if failed == key else now
        if now - since >= self.config.patience_s or time.time() - key.changed / 1e9 > self.config.patience_s:
            self._failed.pop(key.name, None)
            return False
        self._failed[key.name] = key, since
        self._given.pop(key.name, None)
        self._waiting[key.name] = key, now
        return True

    def _is_done(self, key: FileKey) -> bool:
        return self._given.get(key.name) == key or self.known(key)

    def _key(self, name: str) -> FileKey | None:
        try:
            found = (self.folder / name).stat()
        except OSError:
            return None
        return FileKey(name, found.st_size, found.st_mtime_ns)

    def _list(self) -> set[str]:
        try:
            names = {path.relative_to(self.folder).as_posix() for path in walk_files(self.folder)}
        except OSError as error:
            if not self.is_missing:
                _log.warning("%s cannot be read (%s); waiting until it can", self.folder, error.strerror)
            self.is_missing = True
            return set()
        if self.is_missing:
            _log.warning("%s is there again", self.folder)
        self.is_missing = False
        return names

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen_to(self.folder.stat().st_ino)
            except OSError as error:
                # No inotify, no watches left, or the folder has gone: the list is what counts.
                _log.info("not told of changes in %s (%s)", self.folder, error)
            except RuntimeError as error:
                # A name that is no UTF-8 ends watchfiles, and what it was to tell is lost: all is listed now.
                _log.info("what has changed in %s is looked up (%s)", self.folder, error)
                self._next_list = 0.0
            self._closing.wait(AGAIN_S)

    def _listen_to(self, inode: int) -> None:
        """Take note of what changes, until the folder is another one."""
        told = watchfiles.watch(
            self.folder,
            watch_filter=None,
            debounce=200,
            stop_event=self._closing,
            rust_timeout=int(LOOK_S * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        for changes in told:
            if self.folder.stat().st_ino != inode:
                return
            names = {self._name(path) for _, path in changes}
            with self._lock:
                self._told |= {name for name in names if name}

    def _name(self, path: str) -> str:
        """The name of a file below the folder; "" for one that is hidden, a system's, or a folder."""
        try:
            inside = Path(path).relative_to(self.folder.absolute())
        except ValueError:
            return ""
        if any(is_system_name(part) for part in inside.parts) or not Path(path).is_file():
            return ""
        return inside.as_posix()
