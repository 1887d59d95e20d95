"""The gate: a site is written only if it answers in a real browser as the model does here."""

import html
import json
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spotter.bundle.format import ONNX
from spotter.errors import BrowserFailed, ParityError
from spotter.images import encode_jpeg, fit_within, load_picture, to_square
from spotter.inference.predictor import Predictor
from spotter.publish.parity import parity_pictures
from spotter.search.drawn.picture import draw_picture
from spotter.utils.files import package_file, temporary_folder
from spotter.utils.text import in_one_line
from spotter.web.browser import BROWSER, Browser, Running, find_browser, running
from spotter.web.site import INDEX
from spotter.web.tabs import opened

# Of probabilities and familiarity: of the same file, decoded by the browser; and of the same pixels.
TOLERANCE, PIXEL_TOLERANCE = 1e-3, 1e-5
# An int8 network rounds between its layers, and another processor may round up what this one rounds down: 0.026 was the
# most on the bears, and 1 of 72 pictures got another answer.
INT8_TOLERANCE, INT8_OTHERS = 0.05, 0.05
# Without a word, and in all. The first one may take long: a browser starts, and a network is opened.
SILENCE_S, LONGEST_S = 90.0, 900.0
AGAIN = f"nothing was written, try again, or name another in {BROWSER}."
DRAWN = 24
POLICY = re.compile(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"')
# What an answer says in words; it has to be the same.
WORDS = ("label", "closest", "familiar", "decision", "set", "looked_at")
# Pictures in which the subject is small and not in the middle, for models that look twice; as a share of their width.
DISTANT, SMALL = 12, 0.3


@dataclass(frozen=True)
class Parity:
    """How a site answered in a browser: to so many pictures, with the same words to `same`, and the largest difference
    of any probability or familiarity, from the files and from the same pixels."""

    browser: str
    pictures: int
    same: int
    largest_difference: float
    from_pixels: float

    def record(self) -> dict[str, Any]:
        """It, ready for JSON."""
        return asdict(self)

    def complaint(self, network: str) -> str:
        """What is wrong with it, of a site with this network; "" when nothing is."""
        is_float = network == ONNX
        allowed = (TOLERANCE, PIXEL_TOLERANCE) if is_float else (INT8_TOLERANCE, INT8_TOLERANCE)
        others = 0 if is_float else max(1, int(INT8_OTHERS * self.pictures))
        # Written so that NaN fails too.
        is_near = self.largest_difference <= allowed[0] and self.from_pixels <= allowed[1]
        if self.pictures - self.same <= others and is_near:
            return ""
        return (
            f"The site does not answer like the model here ({self.sentence()}; allowed are {allowed[0]:g} and "
            f"{allowed[1]:g})"
        )

    def sentence(self) -> str:
        """It in words."""
        return (
            f"{self.same} of {self.pictures} pictures get the same answer in {self.browser}; probabilities differ by "
            f"{self.largest_difference:.1g} at most, from the same pixels by {self.from_pixels:.1g}"
        )


def check_site(
    files: Mapping[str, bytes],
    predictor: Predictor,
    browser: Browser | None = None,
    *,
    silence_s: float = SILENCE_S,
) -> Parity:
    """Try the files of a site in a browser, on pictures of many kinds; compare with the model here.

    Args:
        browser: None: the one that is found. silence_s: how long it may say nothing.

    Raises:
        BrowserMissing, BrowserFailed: there is no browser, or it does not come to an end.
        ParityError: the site does not work in it, or does not answer as the model does.
    """
    browser = browser or find_browser()
    pictures = gate_pictures(predictor)
    size, resize = predictor.card.size, predictor.card.resize
    squares = [to_square(load_picture(picture), size, resize) for picture in pictures]
    expected = [
        [predictor.predict(picture).record(), predictor.predict(Image.fromarray(square)).record()]
        for picture, square in zip(pictures, squares, strict=True)
    ]
    told: queue.Queue[dict[str, Any]] = queue.Queue()
    with _serving(_pages(files, pictures, squares, size), told) as address:
        agent, answers = _visit(browser, f"{address}/gate.html", told, len(pictures), silence_s)
    found = compare(agent, answers, expected, partial(say_again, predictor))
    if complaint := found.complaint(predictor.network):
        raise ParityError(f"{complaint}; nothing was written.")
    return found


def gate_pictures(predictor: Predictor) -> list[bytes]:
    """The encoded pictures of the gate, made of the examples and thumbnails of a model, or of drawn ones where it has
    none."""
    with temporary_folder() as folder:
        paths = sorted(predictor.examples.values())
        sources = [thumbnail.jpeg for thumbnail in predictor.thumbnails.values()]
        if not paths and not sources:
            sources = [encode_jpeg(draw_picture("teddy", number), 90) for number in range(DRAWN)]
        for number, content in enumerate(sources):
            paths.append(folder / f"{number:03}.jpg")
            paths[-1].write_bytes(content)
        pictures = parity_pictures(paths)
        if predictor.card.second_look:
            chosen = [paths[number * len(paths) // DISTANT] for number in range(DISTANT)]
            side = 3 * predictor.card.size
            pictures += [_from_afar(path, number, side) for number, path in enumerate(chosen)]
        return pictures


def compare(
    browser: str,
    answers: Sequence[Sequence[Mapping[str, Any]]],
    expected: Sequence[Sequence[Mapping[str, Any]]],
    again: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> Parity:
    """Compare answers with those that were expected, picture by picture: of the file, and of its pixels if they were
    asked about too.

    Args:
        again: what is said here of the numbers of an answer. A picture may lie so near to a threshold that the last
            digit decides; then the words are those of the browser's own numbers, and these have to be as near as all
            others.
    """
    same, largest = 0, [0.0, 0.0]
    for given, wanted in zip(answers, expected, strict=True):
        alike = True
        for place, (one, other) in enumerate(zip(given, wanted, strict=True)):
            difference = _difference(one, other)
            # NaN must not be lost on the way.
            largest[place] = float(np.maximum(largest[place], difference))
            on_edge = again is not None and difference <= TOLERANCE and _words(one) == _words(again(one))
            alike &= on_edge or _words(one) == _words(other)
        same += alike
    return Parity(browser, len(expected), same, *largest)


def say_again(predictor: Predictor, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a model says here of the probabilities and the familiarity of an answer from elsewhere."""
    plain = answer.get("unweighted", answer["probabilities"])
    row = np.array([plain[label] for label in predictor.labels], dtype=np.float32)
    said = predictor.answer_from(row, answer["familiarity"]).record()
    return said | {name: answer[name] for name in ("looked_at",) if name in answer}


def _from_afar(path: Path, number: int, side: int) -> bytes:
    """A picture somewhere on a plain ground of `side` pixels, small."""
    small = fit_within(load_picture(path), round(SMALL * side))
    ground = Image.new("RGB", (side, side), (110, 125, 90))
    rng = np.random.default_rng(number)
    left, top = (int(rng.integers(side - length)) for length in small.size)
    ground.paste(small, (left, top))
    return encode_jpeg(ground, 90)


def _words(answer: Mapping[str, Any]) -> list[Any]:
    return [answer.get(name) for name in WORDS]


def _difference(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
    """The largest of any number; infinite where one is missing, or is no number."""
    try:
        pairs = [(given["familiarity"], wanted["familiarity"])]
        if list(given["probabilities"]) != javascript_order(wanted["probabilities"]):
            return float("inf")
        pairs += [(given["probabilities"][label], share) for label, share in wanted["probabilities"].items()]
        return float(np.max([abs(float(one) - float(other)) for one, other in pairs]))
    except (KeyError, TypeError, ValueError):
        return float("inf")


def javascript_order(names: Iterable[str]) -> list[str]:
    """The order in which an object of JavaScript has its fields: those that are whole numbers first, by size."""
    rest = list(names)
    numbers = [name for name in rest if re.fullmatch(r"0|[1-9][0-9]*", name) and int(name) < 2**32 - 1]
    return sorted(numbers, key=int) + [name for name in rest if name not in numbers]


@contextmanager
def _showing(browser: Browser, address: str) -> Iterator[Running]:
    """Open a page in a browser of its own. Firefox is led there, and tells where it cannot go; Chromium can be led on
    some systems alone, and gets the address as it starts."""
    with ExitStack() as until_the_end:
        if not browser.is_firefox:
            yield until_the_end.enter_context(running(browser, address))
            return
        try:
            tab = until_the_end.enter_context(opened(browser, address))
        except BrowserFailed as error:
            raise BrowserFailed(f"{browser.program}: {str(error).rstrip('.')}; {AGAIN}") from error
        yield tab.process


def _visit(
    browser: Browser, address: str, told: "queue.Queue[dict[str, Any]]", count: int, silence_s: float
) -> tuple[str, list[Sequence[Mapping[str, Any]]]]:
    """Open the gate's page in a browser, and collect what it tells: the browser's name, and the answers."""
    agent, answers = "", list[Sequence[Mapping[str, Any]]]()
    with _showing(browser, address) as process:
        begun = heard = time.monotonic()
        while True:
            try:
                said = told.get(timeout=0.1)
            except queue.Empty:
                why = ""
                if process.has_ended():
                    why = f"ended with status {process.process.returncode}"
                elif time.monotonic() - heard > silence_s or time.monotonic() - begun > LONGEST_S:
                    why = f"said nothing for {time.monotonic() - heard:.0f} s, after {len(answers)} of {count} pictures"
                if not why:
                    continue
                raise BrowserFailed(f"{browser.program} {why}{process.last_words}; {AGAIN}") from None
            heard = time.monotonic()
            if "failed" in said:
                why = in_one_line(str(said["failed"])).rstrip(".")
                raise ParityError(f"The site does not work in {browser.program} ({why}); nothing was written.")
            if "browser" in said:
                agent = name_of(str(said["browser"]))
                if not said["self_test"]["agrees"]:
                    raise ParityError(f"The site's own test fails in {agent}; nothing was written.")
            elif "done" in said:
                return agent, answers
            else:
                answers.append(said["answers"])


def name_of(agent: str) -> str:
    """The name and number of a browser, from what it says of itself."""
    found = re.search(r"(Edg|Firefox|Chrome|Version)/(\d+)", agent)
    names = {"Edg": "Edge", "Chrome": "Chromium", "Version": "Safari"}
    return f"{names.get(found[1], found[1])} {found[2]}" if found else "a browser"


def _pages(
    files: Mapping[str, bytes], pictures: Sequence[bytes], squares: Sequence[np.ndarray], size: int
) -> dict[str, bytes]:
    """What the gate serves: its own page, the site below `site/`, and the pictures."""
    return {
        **{name: package_file("web", f"templates/{name}").read_bytes() for name in ("gate.html", "gate.js")},
        **{f"site/{name}": content for name, content in files.items()},
        **{f"files/{number}": content for number, content in enumerate(pictures)},
        **{f"squares/{number}": square.tobytes() for number, square in enumerate(squares)},
        "asked.json": json.dumps({"pictures": len(pictures), "size": size}).encode(),
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that ends leaves connections open.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def _serving(pages: Mapping[str, bytes], told: "queue.Queue[dict[str, Any]]") -> Iterator[str]:
    """Serve pages on this machine, as Python's own server of files would, and take what they tell; give the address."""
    index = html.unescape("".join(POLICY.findall(pages[f"site/{INDEX}"].decode("utf-8", "replace"))))

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and content are two packets, and the second would wait 40 ms for the browser to confirm the first.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            content = pages.get(self.path.removeprefix("/").partition("?")[0])
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(content)))
            if self.path == "/gate.html" and index:
                # What the site's own page may not do, this one may not do either.
                self.send_header("Content-Security-Policy", index)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
