"""How the cleaning page feels on a large set: opening, turning pages, deciding, retraining, in a real browser."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_scale import make_set, train
from playwright.sync_api import Page, Response, sync_playwright

TURNS = 20
IN_SIGHT = """() => {
  const seen = [...document.querySelectorAll('#clean .card img')]
    .filter(image => image.getBoundingClientRect().top < innerHeight);
  return seen.length > 0 && seen.every(image => image.complete && image.naturalWidth > 0);
}"""


def print_cleaning(source: Path, size: int) -> None:
    """Train on `size` pictures made by augmenting those of `source`, open the cleaning page, use it, print a table."""
    with tempfile.TemporaryDirectory(prefix="spotter-cleaning-") as temporary:
        work = Path(temporary) / str(size)
        make_set(source, work / "pictures", size)
        train(work)
        with (work / "cleaner.txt").open("wb") as told:
            command = [sys.executable, "-m", "spotter", "clean", str(work / "store"), "--port", "0"]
            started = time.perf_counter()
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True)
            try:
                url = next(line.strip() for line in server.stdout or () if line.startswith("http"))
                rows = {"Command to address (s)": f"{time.perf_counter() - started:.1f}", **_use(url)}
            finally:
                server.terminate()
                server.wait()
    print(f"\n| The cleaning page over {size:,} pictures | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def _use(url: str) -> dict[str, str]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sizes: list[int] = []

        def weigh(response: Response) -> None:
            if response.headers.get("content-type", "").startswith("image/jpeg"):
                sizes.append(int(response.headers.get("content-length", 0)))

        page.on("response", weigh)
        opening = _time(page, lambda: page.goto(url))
        weight = sum(sizes) / 1e6
        turns = [_time(page, lambda: _turn(page)) for _ in range(TURNS)]
        decisions = [_decide(page) for _ in range(TURNS)]
        started = time.perf_counter()
        page.locator("#clean-retrain").click()
        page.locator("[data-figures=after]").wait_for(timeout=300_000)
        retraining = time.perf_counter() - started
        browser.close()
    return {
        "Address to pictures in sight (s)": f"{opening:.1f}",
        "Thumbnails on it (MB); the largest of all seen (KB)": f"{weight:.2f}; {max(sizes) / 1e3:.0f}",
        f"Next page, median and slowest of {TURNS} (s)": f"{statistics.median(turns):.2f}, {max(turns):.2f}",
        f"A decision by keyboard, median and slowest of {TURNS} (s)": (
            f"{statistics.median(decisions):.2f}, {max(decisions):.2f}"
        ),
        "Retraining (s)": f"{retraining:.1f}",
    }


def _time(page: Page, act: Callable[[], object]) -> float:
    started = time.perf_counter()
    before = page.locator("#clean .card").first.get_attribute("data-id") if page.url != "about:blank" else None
    act()
    page.wait_for_function(
        "before => { const card = document.querySelector('#clean .card'); return card && card.dataset.id !== before }",
        arg=before,
    )
    page.wait_for_function(IN_SIGHT)
    return time.perf_counter() - started


def _turn(page: Page) -> None:
    onward = page.locator("#clean-next")
    (onward if onward.is_enabled() else page.locator("#clean-previous")).click()


def _decide(page: Page) -> float:
    summary = page.locator("#clean-summary").inner_text()
    started = time.perf_counter()
    page.keyboard.press("k")
    page.wait_for_function("before => document.getElementById('clean-summary').innerText !== before", arg=summary)
    return time.perf_counter() - started
