"""What the browser edition of a model costs in Chromium, beside the Gradio page of the same model on this machine."""

import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_page import _running, open_page
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser as Program
from spotter.web.gate import check_site
from spotter.web.site import built_files, model_folder, site_files, write_site

CHROMIUM = "/usr/bin/chromium"
# A video of coloured shapes in place of a camera.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WINDOW = {"width": 1280, "height": 800}
ROUNDS, ANSWERS, LIVE_S = 5, 30, 10
PATIENCE_MS = 120_000
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
# How long one answer takes, from the encoded picture on; the first ones warm up.
TIME_ANSWERS = """async ([picture, threads, count]) => {
  const { load } = await import(new URL("spotter.js", document.baseURI).href);
  const model = await load(new URL("./", document.baseURI), threads ? { threads } : {});
  const file = new Blob([Uint8Array.from(picture)]);
  const spans = [];
  for (let number = 0; number < count + 3; number++) {
    const started = performance.now();
    await model.classify(file);
    if (number >= 3) spans.push(performance.now() - started);
  }
  model.close();
  return spans;
}"""
KEPT = """() => Promise.race([
  navigator.serviceWorker.ready, new Promise((resolve) => setTimeout(resolve, 20000))]).then(() => true)"""
# What the page shows of the camera: every answer sets the bars anew.
COUNT_LIVE = """async (seconds) => {
  let changes = 0;
  const watch = new MutationObserver(() => { changes += 1; });
  const all = { childList: true, subtree: true, attributes: true, characterData: true };
  watch.observe(document.querySelector("#bars"), all);
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  watch.disconnect();
  return changes / seconds;
}"""


class Server(ThreadingHTTPServer):
    """Serves a folder, with `headers`; `sent` is how many bytes of files went out."""

    daemon_threads = True
    sent = 0

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.headers = headers
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        for name, value in self.server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        self.server.sent += len(content)  # type: ignore[attr-defined]
        outputfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def print_web(store: Path, ports: list[int]) -> None:
    """Make the site of a model, and print what it costs beside its Gradio page, and how close its answers are."""
    predictor = Predictor.load(store)
    files = site_files(model_folder(str(store), predictor), predictor, built_files())
    print(check_site(files, predictor, Program(CHROMIUM)).sentence())
    for firefox in filter(Path.exists, (Path("/usr/bin/firefox"), Path("/usr/bin/firefox-esr"))):
        print(check_site(files, predictor, Program(str(firefox))).sentence())
    with TemporaryDirectory(prefix="spotter-bench-") as temporary:
        work = Path(temporary)
        write_site(work / "site", files)
        photo = _write_photo(work / "photo.jpg")
        app = [sys.executable, "app.py", "--model", store, "--port", ports[0]]
        with (
            sync_playwright() as playwright,
            serving(work / "site") as plain,
            serving(work / "site", ISOLATED) as own,
        ):
            with _running(app, ports[0]) as gradio:
                _print_visits(playwright, plain, gradio, photo)
            browser = _launch(playwright)
            _print_answers(browser, plain, own, photo)
            browser.close()


def _print_visits(playwright: Any, plain: Server, gradio: str, photo: Path) -> None:
    """Visits in turn, each cold one in a browser of its own."""
    spans: dict[str, list[float]] = {name: [] for name in ("gradio", "gradio again", "site", "site again")}
    sent, settled, memory, gradio_memory = [], [], [], []
    for _ in range(ROUNDS):
        browser = _launch(playwright)
        context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
        spans["gradio"].append(_first_answer_gradio(context, gradio, photo))
        gradio_memory.append(memory_mb(browser))
        context.pages[0].close()
        spans["gradio again"].append(_first_answer_gradio(context, gradio, photo))
        browser.close()
        browser = _launch(playwright)
        context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
        plain.sent = 0
        spans["site"].append(_first_answer(context, plain.url, photo))
        sent.append(plain.sent)
        memory.append(memory_mb(browser))
        _wait_until_kept(context.pages[0])
        settled.append(plain.sent)
        context.pages[0].close()
        spans["site again"].append(_first_answer(context, plain.url, photo))
        browser.close()
    browser = _launch(playwright)
    browser.new_context(viewport=WINDOW).new_page()  # type: ignore[arg-type]
    empty_memory = memory_mb(browser)
    page = open_page(browser, gradio, WINDOW)
    browser.close()
    print("\n| In Chromium, on this machine | Gradio page | In the browser |\n|---|---|---|")
    for title, name in (("First answer, cold (s)", ""), ("First answer, repeat visit (s)", " again")):
        print(f"| {title} | {_shown(spans[f'gradio{name}'])} | {_shown(spans[f'site{name}'])} |")
    print(f"| Sent until the first answer (MB) | {page.size / 1e6:.1f} and the picture | {_median(sent) / 1e6:.1f} |")
    print(f"| Sent until it works offline (MB) | | {_median(settled) / 1e6:.1f} |")
    print(f"| Memory of the page's processes (MB) | {_median(gradio_memory):.0f} | {_median(memory):.0f} |")
    print(f"| ... of which an empty page takes (MB) | {empty_memory:.0f} | {empty_memory:.0f} |")


def _print_answers(browser: Browser, plain: Server, own: Server, photo: Path) -> None:
    context = browser.new_context(viewport=WINDOW, permissions=["camera"])  # type: ignore[arg-type]
    found = {}
    for name, server, threads in (("one thread", plain, 1), ("threads, isolated", own, 0)):
        page = context.new_page()
        page.goto(server.url)
        spans = page.evaluate(TIME_ANSWERS, [list(photo.read_bytes()), threads, ANSWERS])
        found[name] = statistics.median(spans)
        page.close()
    live = {}
    for name, server in (("one thread", plain), ("threads, isolated", own)):
        page = context.new_page()
        page.goto(server.url)
        page.click(".camera")
        # The page forbids code in texts, which playwright needs to wait for a condition.
        page.wait_for_selector("#loading.done", state="attached", timeout=PATIENCE_MS)
        page.wait_for_timeout(3000)
        live[name] = page.evaluate(COUNT_LIVE, LIVE_S)
        page.close()
    print("\n| | One answer, 1600 x 1200 JPEG (ms) | Live camera (changes shown a second) |\n|---|---|---|")
    for name, span in found.items():
        print(f"| {name} | {span:.0f} | {live[name]:.1f} |")


def _first_answer(context: BrowserContext, url: str, photo: Path) -> float:
    """Seconds from opening the site to the answer to a picture that is put in at once."""
    page = context.new_page()
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    # They are there when the page takes pictures.
    page.wait_for_selector("#examples img", state="attached", timeout=PATIENCE_MS)
    page.set_input_files("#picture input", str(photo))
    page.wait_for_selector("#ask-why:not([hidden])", timeout=PATIENCE_MS)
    return time.perf_counter() - started


def _first_answer_gradio(context: BrowserContext, url: str, photo: Path) -> float:
    page = context.new_page()
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#picture input[type=file]", state="attached", timeout=PATIENCE_MS)
    page.set_input_files("#picture input[type=file]", str(photo))
    page.wait_for_selector("ol li .share, ol li meter", state="attached", timeout=PATIENCE_MS)
    return time.perf_counter() - started


def _wait_until_kept(page: Page) -> None:
    """Until the service worker has everything; or for 20 s, where there is none."""
    with suppress(Exception):
        page.evaluate(KEPT)


def memory_mb(browser: Browser) -> float:
    """What the processes of a browser's pages take, shared memory by its share."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    total = 0.0
    for process in told["processInfo"]:
        if process["type"] == "renderer":
            text = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            total += sum(int(kb) for kb in re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)) / 1024
    return total


def _launch(playwright: Any) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox", *CAMERA])


def _write_photo(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 60, (1200, 1600, 3), dtype=np.uint8)
    base = np.linspace(0, 180, 1600, dtype=np.uint8)[None, :, None]
    Image.fromarray(base + noise).save(path, "JPEG", quality=85)
    return path


@contextmanager
def serving(folder: Path, headers: dict[str, str] | None = None) -> Iterator[Server]:
    server = Server(folder, headers or {})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _shown(spans: list[float]) -> str:
    return f"{_median(spans):.2f} ({min(spans):.2f} to {max(spans):.2f})"
