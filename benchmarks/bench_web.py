"""What the browser edition of a model costs in Chromium, beside the Gradio page of the same model on this machine."""

import gzip
import json
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_page import _running, open_page
from bench_peer import PEER, VERSION, difference, make_peer
from bench_peer import TIME_ANSWERS as PEER_ANSWERS
from bench_profile import shared_memory_mb
from PIL import Image, ImageOps
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.web.browser import Browser as Program
from spotter.web.gate import check_site, gate_pictures
from spotter.web.site import built_files, model_folder, site_files, write_site

CHROMIUM = "/usr/bin/chromium"
# A video of coloured shapes in place of a camera.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WINDOW = {"width": 1280, "height": 800}
PHOTO = (1600, 1200)
ROUNDS, ANSWERS, LIVE_S = 5, 30, 10
STAY_MS = 6000
# Chromium loads pages of its own for each new window, such as the list below the address bar: 0.4 s of a processor that
# no visitor waits for who has a window already.
WINDOW_MS = 2000
# When a page shows its answer, by its own clock, which begins when it is opened. Playwright looks for it with pauses
# that grow to half a second.
NOTE_ANSWER = """(selector) => {
  const look = () => {
    if (document.querySelector(selector)) window.answeredAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""
AFTER_ANSWER = ("/self-test.jpg", "/sw.js")
PATIENCE_MS = 120_000
SITE_ANSWER = "#ask-why:not([hidden])"
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
    """Serves a folder, with `headers`; `sent` is how many bytes of files went out, and `first` how many of them before
    those that our page asks for when it has answered."""

    daemon_threads = True
    sent = first = 0
    has_answered = False

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.headers = headers
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def forget(self) -> None:
        """Count from nothing again."""
        self.sent = self.first = 0
        self.has_answered = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        for name, value in self.server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content, server = source.read(), self.server
        server.has_answered |= self.path.startswith(AFTER_ANSWER)  # type: ignore[attr-defined]
        server.sent += len(content)  # type: ignore[attr-defined]
        if not server.has_answered:  # type: ignore[attr-defined]
            server.first += len(content)  # type: ignore[attr-defined]
        outputfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


@dataclass
class Side:
    """A page that is measured. `server` is None where not only files are served; `ask` puts a photo in, and what
    `answer` selects is there when it is answered."""

    name: str
    url: str
    ask: Callable[[Page, Path], None]
    answer: str
    server: "Server | None" = None
    cold: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def print_web(store: Path, ports: list[int], peer: bool = False) -> None:
    """Make the site of a model, and print what it costs beside its Gradio page, and how close its answers are.

    Args:
        peer: beside a plain page of transformers.js too.
    """
    predictor = Predictor.load(store)
    revision = model_folder(str(store), predictor)
    files = site_files(revision, predictor, built_files())
    print(check_site(files, predictor, Program(CHROMIUM)).sentence())
    for firefox in filter(Path.exists, (Path("/usr/bin/firefox"), Path("/usr/bin/firefox-esr"))):
        print(check_site(files, predictor, Program(str(firefox))).sentence())
    with TemporaryDirectory(prefix="spotter-bench-") as temporary, ExitStack() as stack:
        work = Path(temporary)
        write_site(work / "site", files)
        photos = _write_photos(work, predictor)
        plain = stack.enter_context(serving(work / "site"))
        own = stack.enter_context(serving(work / "site", ISOLATED))
        sides = [Side("In the browser", plain.url, _ask_site, SITE_ANSWER, plain)]
        if predictor.card.int8:
            small = Predictor.load(store, int8=True)
            write_site(work / "int8", site_files(revision, small, built_files()))
            server = stack.enter_context(serving(work / "int8"))
            sides.append(Side("... with its int8 network", server.url, _ask_site, SITE_ANSWER, server))
        beside: Side | None = None
        if peer and (problem := make_peer(work / "peer", predictor, revision)):
            print(f"no page of {PEER} beside it: {problem}")
        elif peer:
            server = stack.enter_context(serving(work / "peer"))
            beside = Side(f"{PEER} {VERSION}", server.url, _ask_peer, "#answers li", server)
            sides.append(beside)
        app = [sys.executable, "app.py", "--model", store, "--port", ports[0]]
        playwright = stack.enter_context(sync_playwright())
        with _running(app, ports[0]) as gradio:
            sides.insert(0, Side("Gradio page", gradio, _ask_gradio, "ol li .share, ol li meter"))
            _print_visits(playwright, sides, next(iter(photos.values())))
        browser = _launch(playwright)
        _print_answers(browser, plain, own, photos, beside)
        if beside:
            page = browser.new_page()
            page.goto(beside.url)
            pictures = gate_pictures(predictor)[::4]
            print(f"\n{beside.name}, compared with Python: {difference(page, predictor, pictures)}")
            packed = sum(len(gzip.compress(path.read_bytes())) for path in (work / "peer").rglob("*.*"))
            print(f"Its files, if the server packs them with gzip: {packed / 1e6:.1f} MB")
        browser.close()


def _print_visits(playwright: Any, sides: list[Side], photo: Path) -> None:
    """Visits in turn, each cold one in a browser of its own."""
    for _ in range(ROUNDS):
        for side in sides:
            browser = _launch(playwright)
            context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
            if side.server:
                side.server.forget()
            side.cold.append(_first_answer(context, side, photo))
            side.memory.append(memory_mb(browser, context.pages[0]))
            if side.server:
                side.sent.append(side.server.first)
                _wait_until_kept(context.pages[0])
                side.settled.append(side.server.sent)
            context.pages[0].close()
            side.again.append(_first_answer(context, side, photo))
            # The browser keeps what it has compiled when nothing more was compiled for two seconds.
            context.pages[0].wait_for_timeout(STAY_MS)
            context.pages[0].close()
            side.later.append(_first_answer(context, side, photo))
            browser.close()
    browser = _launch(playwright)
    empty = memory_mb(browser, browser.new_context(viewport=WINDOW).new_page())  # type: ignore[arg-type]
    gradio = open_page(browser, sides[0].url, WINDOW)
    browser.close()

    def row(title: str, tell: Callable[[Side], str]) -> None:
        print(f"| {title} | {' | '.join(map(tell, sides))} |")

    def sent(values: list[int]) -> str:
        return f"{_median(values) / 1e6:.2f}" if values else f"{gradio.size / 1e6:.1f} and the picture"

    print(f"\n| In Chromium, on this machine | {' | '.join(side.name for side in sides)} |")
    print(f"|---{'|---' * len(sides)}|")
    row("First answer, cold (s)", lambda side: _shown(side.cold))
    row("First answer, second visit (s)", lambda side: _shown(side.again))
    row("First answer, third visit (s)", lambda side: _shown(side.later))
    row("Sent until the first answer (MB)", lambda side: sent(side.sent))
    row("Sent until nothing more is (MB)", lambda side: sent(side.settled))
    row("Memory of the page's process (MB)", lambda side: _shown(side.memory, ".0f"))
    print(f"An empty page has {empty:.0f} MB.")


def _print_answers(
    browser: Browser, plain: "Server", own: "Server", photos: dict[str, Path], peer: Side | None
) -> None:
    context = browser.new_context(viewport=WINDOW, permissions=["camera"])  # type: ignore[arg-type]
    print(f"\n| One answer, 1600 x 1200 JPEG (ms) | {' | '.join(photos)} | Live camera (changes shown a second) |")
    print(f"|---{'|---' * len(photos)}|---|")
    for name, server, threads in (("one thread", plain, 1), ("threads, isolated", own, 0)):
        page = context.new_page()
        page.goto(server.url)
        found = [
            _median(page.evaluate(TIME_ANSWERS, [list(photo.read_bytes()), threads, ANSWERS]))
            for photo in photos.values()
        ]
        page.close()
        page = context.new_page()
        page.goto(server.url)
        page.click(".camera")
        # The page forbids code in texts, which playwright needs to wait for a condition.
        page.wait_for_selector("#loading.done", state="attached", timeout=PATIENCE_MS)
        page.wait_for_timeout(3000)
        live = page.evaluate(COUNT_LIVE, LIVE_S)
        page.close()
        print(f"| {name} | {' | '.join(f'{span:.0f}' for span in found)} | {live:.1f} |")
    if peer:
        page = context.new_page()
        page.goto(peer.url)
        spans = [_median(page.evaluate(PEER_ANSWERS, [list(photo.read_bytes()), ANSWERS])) for photo in photos.values()]
        page.close()
        print(f"| {peer.name}, one thread | {' | '.join(f'{span:.0f}' for span in spans)} | |")


def _first_answer(context: BrowserContext, side: Side, photo: Path) -> float:
    """Seconds from opening a page to the answer to a picture that is put in at once."""
    page = context.new_page()
    page.add_init_script(f"({NOTE_ANSWER})({json.dumps(side.answer)})")
    page.wait_for_timeout(WINDOW_MS)
    page.goto(side.url, wait_until="commit")
    side.ask(page, photo)
    page.wait_for_selector(side.answer, state="attached", timeout=PATIENCE_MS)
    return float(page.evaluate("window.answeredAt")) / 1000


def _ask_site(page: Page, photo: Path) -> None:
    # They are there when the page takes pictures.
    page.wait_for_selector("#examples img", state="attached", timeout=PATIENCE_MS)
    page.set_input_files("#picture input", str(photo))


def _ask_gradio(page: Page, photo: Path) -> None:
    page.wait_for_selector("#picture input[type=file]", state="attached", timeout=PATIENCE_MS)
    page.set_input_files("#picture input[type=file]", str(photo))


def _ask_peer(page: Page, photo: Path) -> None:
    page.wait_for_selector("html[data-ready]", state="attached", timeout=PATIENCE_MS)
    page.set_input_files("#file", str(photo))


def _wait_until_kept(page: Page) -> None:
    """Until the service worker has everything; or for 20 s, where there is none."""
    with suppress(Exception):
        page.evaluate(KEPT)


def memory_mb(browser: Browser, page: Page) -> float:
    """What the process of a page takes, memory that it shares by its share.

    A browser has other such processes, for pages to come; the page's own is the one that has worked as long.
    """
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    worked = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}["ProcessTime"]
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    processes = [each for each in told if each["type"] == "renderer"]
    process = min(processes, key=lambda each: abs(each["cpuTime"] - worked))
    return shared_memory_mb(process["id"])


def _launch(playwright: Any) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox", *CAMERA])


def _write_photos(folder: Path, predictor: Predictor) -> dict[str, Path]:
    """A photo that a model knows at the first look, and one that it looks at twice, if it does so at all."""
    known = next(
        (
            photo
            for label, path in predictor.examples.items()
            if predictor.predict(photo := _as_photo(load_picture(path.read_bytes()), folder / f"{label}.jpg")).familiar
        ),
        None,
    )
    if not known or predictor.predict(known).looked_at:
        sys.exit("bench: none of the model's examples is known to it at the first look")
    found = {"looked at once": known}
    if predictor.card.second_look:
        stranger = _write_photo(folder / "stranger.jpg")
        # Not familiar: so it was looked at again, whatever came of that.
        if predictor.predict(stranger).familiar:
            sys.exit("bench: the model knows a picture of nothing")
        found["looked at twice"] = stranger
    return found


def _as_photo(picture: Image.Image, path: Path) -> Path:
    ImageOps.fit(picture, PHOTO).save(path, "JPEG", quality=85)
    return path


def _write_photo(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 60, (*PHOTO[::-1], 3), dtype=np.uint8)
    base = np.linspace(0, 180, PHOTO[0], dtype=np.uint8)[None, :, None]
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


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _shown(values: list[float], digits: str = ".2f") -> str:
    return f"{_median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"
