"""What opening the page costs, measured in Chromium beside a stock `gr.Interface`: layout shift, bytes, requests."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench_serving import EMPTY_APP
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"
WINDOWS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
# Nothing is loaded any more after so many milliseconds.
SETTLE_MS = 6000
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@dataclass(frozen=True)
class Load:
    """What one visit without a cache cost: `size` is in bytes as they were sent, headers and compression included."""

    shift: float
    size: int
    requests: int


def print_page(store: Path, ports: list[int]) -> None:
    """Open the page of the model in `store` and a stock interface, in two windows each, and print the table."""
    sides = {
        "gr.Interface": [sys.executable, "-c", EMPTY_APP, ports[0]],
        "Spotter": [sys.executable, "app.py", "--model", store, "--port", ports[1]],
    }
    loads: dict[tuple[str, str], Load] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        for (name, command), port in zip(sides.items(), ports, strict=True):
            with _running(command, port) as url:
                for window, size in WINDOWS.items():
                    loads[name, window] = open_page(browser, url, size)
        browser.close()
    print("\n| Opening the page | gr.Interface | Spotter | Ratio |\n|---|---|---|---|")
    for window in WINDOWS:
        stock, own = loads["gr.Interface", window], loads["Spotter", window]
        print(f"| Layout shift, {window} | {stock.shift:.3f} | {own.shift:.3f} | |")
        print(
            f"| Sent, {window} (KB) | {stock.size / 1000:.0f} | {own.size / 1000:.0f} | {own.size / stock.size:.2f} |"
        )
        print(f"| Requests, {window} | {stock.requests} | {own.requests} | |")


def open_page(browser: Browser, url: str, window: dict[str, int]) -> Load:
    """Visit a page for the first time, and wait until it is all there."""
    context = browser.new_context(viewport=window)  # type: ignore[arg-type]
    page = context.new_page()
    sizes: list[float] = []
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.add_init_script(SHIFTS)
    page.goto(url)
    page.wait_for_timeout(SETTLE_MS)
    shift = page.evaluate("window.shift")
    context.close()
    return Load(shift, round(sum(sizes)), len(sizes))


@contextmanager
def _running(command: list[object], port: int) -> Iterator[str]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(word) for word in command], **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None:
                sys.exit(f"bench: {command[1]} ended with {process.returncode} before it answered")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url) as answer:  # noqa: S310  (a server that was started here)
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False
