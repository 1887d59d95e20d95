"""A browser as a process: found, started without a window on a fresh profile, and ended with its children."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spotter.errors import BrowserFailed, BrowserMissing

BROWSER = "SPOTTER_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
MAC_APPS = ("Google Chrome", "Chromium", "Microsoft Edge")
WINDOWS_PLACES = (r"Google\Chrome\Application\chrome.exe", r"Microsoft\Edge\Application\msedge.exe")
# Two pages of its own under the address bar, which take half a second of processor time to make.
UNWANTED_FEATURES = "WebUIOmniboxPopup,WebUIOmniboxAimPopup"
# Nothing but the page is asked for, and nothing is asked of whoever sits before it.
CHROMIUM_OPTIONS = (
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--password-store=basic",
    "--use-mock-keychain",
    f"--disable-features={UNWANTED_FEATURES}",
)
FIREFOX_SETTINGS = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
# Gives files their numbers and becomes the browser: a shell takes numbers of one digit alone.
_WITH_PIPE = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
# A browser starts, and a page loads.
START_S, END_S = 120.0, 5.0
MOST_TOLD = 300


@dataclass(frozen=True)
class Browser:
    """The program of a browser."""

    program: str

    @property
    def is_firefox(self) -> bool:
        return "firefox" in Path(self.program).name.lower()

    def command(self, profile: Path, *options: str) -> list[str]:
        """How it is started on an empty folder as its profile; addresses come behind."""
        if self.is_firefox:
            lines = [f"user_pref({_as_js(name)}, {_as_js(value)});" for name, value in FIREFOX_SETTINGS.items()]
            (profile / "user.js").write_text("\n".join(lines) + "\n", encoding="ascii")
            return [self.program, "--headless", "--no-remote", "--profile", str(profile), *options]
        # Its sandbox does not work for root.
        sandbox = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        return [self.program, *CHROMIUM_OPTIONS, *sandbox, f"--user-data-dir={profile}", *options]


class Running:
    """A running browser. `process` is its own process; `told` is what it says last of what went wrong."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def told(self) -> str:
        """The end of what it wrote to stderr, in one line."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - MOST_TOLD))
            return " ".join(file.read().decode("utf-8", "replace").split())

    def log(self) -> str:
        """All of it."""
        return self._log.read_text("utf-8", "replace")

    def failure(self) -> BrowserFailed:
        """What to raise where it has ended."""
        return BrowserFailed(f"The browser has ended{self.last_words}.")

    @property
    def last_words(self) -> str:
        """What it told, for the end of a sentence; "" where that is nothing."""
        told = self.told
        return f" (it says: {told})" if told else ""

    def has_ended(self) -> bool:
        return self.process.poll() is not None


def find_browser() -> Browser:
    """Find Chromium or one of its kind: the one that `SPOTTER_BROWSER` names, or what is installed.

    Raises:
        BrowserMissing: there is none.
    """
    named = os.environ.get(BROWSER)
    if named:
        program = shutil.which(named)
        if not program:
            raise BrowserMissing(f"{BROWSER} is {named!r}, and there is no such program; name another, or unset it.")
        return Browser(program)
    for name in (*NAMES, *_places()):
        if program := shutil.which(name):
            return Browser(program)
    raise BrowserMissing(
        "A site is tried in a browser before it is written, and there is none here; install Chromium, Chrome or Edge, "
        f"or name one in {BROWSER}."
    )


@contextmanager
def running(browser: Browser, *arguments: str, pipe: tuple[int, int] | tuple[()] = ()) -> Iterator[Running]:
    """Start a browser on a profile of its own. At the end it is gone, and its children and its profile with it.

    Args:
        pipe: files of this process that the browser gets as its files 3, to read, and 4, to write.

    Raises:
        BrowserMissing: it cannot be started.
    """
    folder = Path(tempfile.mkdtemp(prefix="spotter-browser-"))
    try:
        profile, log = folder / "profile", folder / "log"
        profile.mkdir()
        command = [*browser.command(profile), *arguments]
        if pipe:
            command = [sys.executable, "-I", "-c", _WITH_PIPE, *map(str, pipe), *command]
        with log.open("wb") as said:
            try:
                # A group of its own, to end its children too.
                process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                    pass_fds=pipe,
                )
            except OSError as error:
                raise BrowserMissing(f"{browser.program} cannot be started: {error.strerror or error}.") from error
        try:
            yield Running(process, log)
        finally:
            _end(process)
    finally:
        _remove(folder)


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process, "SIGTERM")
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    # Whatever is left of its children.
    _signal(process, "SIGKILL")
    process.wait()


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    else:
        # The group may be gone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))


def _remove(folder: Path) -> None:
    # A child that is being ended may still write into it.
    deadline = time.monotonic() + END_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(0.1)


def _places() -> list[str]:
    mac = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in MAC_APPS]
    # Set on Windows alone.
    roots = [os.environ.get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
    return mac + [str(Path(root) / place) for root in roots if root for place in WINDOWS_PLACES]


def _as_js(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
