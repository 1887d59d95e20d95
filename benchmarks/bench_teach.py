"""What teaching in the browser takes in Chromium: from opening the page to a live answer, and a folder of pictures."""

import io
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_web import CHROMIUM, WINDOW, memory_mb, serving
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from spotter.inference.predictor import Predictor
from spotter.search.drawn.picture import draw_picture
from spotter.web.site import built_files, model_folder, site_files, write_site

# What the camera sees in turn, and what it takes of each.
SEEN, TAKEN = ("grizzly", "teddy"), 20
FRAME, FRAMES, SCENES = (640, 480), 90, 6
PATIENCE_MS = 300_000
BLANK = "blank.html"
SEEDS = (0, 1, 2)
CHANGED = 300
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
# Teaches with some pictures and asks about the others: [[path, label], ...] each. Gives the answers in that order.
ASK = """async ([taught, asked]) => {
  const site = new URL("./", document.baseURI);
  const { openTeacher } = await import(new URL("teacher.js", site).href);
  const teacher = await openTeacher(site);
  const origin = { source: "folder", query: "", rank: 0, at: "2026-01-01T00:00:00Z" };
  const lesson = { labels: [...new Set(taught.map(([, label]) => label))], pictures: [], edits: [] };
  const get = async (path) => (await fetch(path)).blob();
  for (const [path, label] of taught) {
    const kept = await teacher.prepare(await get(path));
    lesson.pictures.push({ ...kept, added: label, label, origin: { ...origin, id: path } });
  }
  await teacher.measure(lesson.pictures, { keep: (sha256, features) => {
    for (const each of lesson.pictures) if (each.sha256 === sha256) each.features = features;
  } });
  await teacher.learn(lesson);
  const answers = [];
  for (const [path] of asked) {
    const { label, closest } = await teacher.classify(await get(path));
    answers.push([label, closest]);
  }
  teacher.close();
  return answers;
}"""

# Learns with and without views, and again after changes: [[path, label], ...] of which the last is added at the end.
# Gives the milliseconds, [change, with views, without] each.
CHANGE = """async (given) => {
  const site = new URL("./", document.baseURI);
  const { openTeacher } = await import(new URL("teacher.js", site).href);
  const teacher = await openTeacher(site);
  const labels = [...new Set(given.map(([, label]) => label))];
  const lesson = { labels, pictures: [], edits: [] };
  const add = async ([path, label]) => {
    const kept = await teacher.prepare(await (await fetch(path)).blob());
    const origin = { source: "folder", id: path, query: "", rank: 0, at: "2026-01-01T00:00:00Z" };
    return { ...kept, added: label, label, origin };
  };
  const measure = (views) => teacher.measure(lesson.pictures, { views, keep: (sha256, features) => {
    for (const each of lesson.pictures) if (each.sha256 === sha256) each.features = features;
  } });
  for (const each of given.slice(0, -1)) lesson.pictures.push(await add(each));
  const last = await add(given.at(-1));
  const plain = (each) => ({ ...each, features: { ...each.features, shifted: new Float32Array(0), shows: [] } });
  const learn = async (views) => {
    const started = performance.now();
    await measure(views);
    await teacher.learn(views ? lesson : { ...lesson, pictures: lesson.pictures.map(plain) });
    return performance.now() - started;
  };
  const changes = {
    "nothing (the first time)": () => {},
    "one kept in its class": () => {},
    "one moved to another class": ([, one]) => { one.label = labels.find((label) => label !== one.label); },
    "one left out": ([, , one]) => { one.label = null; },
    "one added": (pictures) => { pictures.push(last); },
  };
  const rows = [];
  for (const [name, change] of Object.entries(changes)) {
    change(lesson.pictures);
    const without = await learn(false);
    rows.push([name, await learn(true), without]);
  }
  teacher.close();
  return rows;
}"""


def print_teaching(store: Path, pictures: Path | None) -> None:
    """Make the site of a model and teach on its page; with a folder of classes, from its pictures too."""
    predictor = Predictor.load(store)
    with TemporaryDirectory(prefix="spotter-bench-") as temporary:
        work, site = Path(temporary), Path(temporary) / "site"
        write_site(site, site_files(model_folder(str(store), predictor), predictor, built_files()))
        (site / BLANK).write_text("<!doctype html><title>Blank</title>")
        if pictures:
            (site / "given").symlink_to(pictures.resolve())
        with sync_playwright() as playwright, serving(site) as server:
            _print_camera(playwright, server.url, work)
            if pictures:
                _print_folder(playwright, server.url, pictures)
                _print_changes(playwright, server.url, site / "given")
                _print_others(playwright, server.url, site / "given")


def _print_camera(playwright: Any, url: str, work: Path) -> None:
    """A visit as people make it: two things held before the camera in turn."""
    clips = {kind: _write_clip(work / f"{kind}.mjpeg", kind) for kind in SEEN}
    camera = work / "camera.mjpeg"
    with _browser(playwright, f"--use-file-for-fake-video-capture={camera}") as browser:
        page = browser.new_context(viewport=WINDOW, permissions=["camera"]).new_page()  # type: ignore[arg-type]
        clock = _Clock()
        page.goto(f"{url}teach/", wait_until="commit")
        page.locator(".class").nth(1).wait_for()
        clock.told("the page is there")
        for place, kind in enumerate(SEEN):
            camera.unlink(missing_ok=True)
            camera.symlink_to(clips[kind])
            taken = _take(page, place)
            clock.told(f"pictures of {kind}: {taken}")
        page.locator("#learn").click()
        _wait_until_learnt(page)
        clock.told("it has learnt from the pictures themselves")
        page.locator("#try-camera").click()
        page.locator("#bars meter").nth(1).wait_for(timeout=PATIENCE_MS)
        clock.told("the first live answer")
        whole = clock.total
        answer = page.locator("#answer h2").inner_text()
        expect(page.locator(".working")).to_have_count(0, timeout=PATIENCE_MS)
        clock.told("it has learnt from views of them too")
        memory = memory_mb(browser, page)
    print(f"\n| Teaching two classes by camera, {TAKEN} pictures each | s | since the page was opened |\n|---|---|---|")
    for name, span, since in clock.rows:
        print(f"| {name} | {span:.1f} | {since:.1f} |")
    print(f"\nFrom opening the page to a live answer: {whole:.1f} s. It saw a {SEEN[-1]} and said: {answer}")
    print(f"Memory of the page's process: {memory:.0f} MB")


def _take(page: Page, place: int) -> int:
    """Hold the button of a class until there are enough different pictures, and close the camera."""
    card = page.locator(".class").nth(place)
    card.get_by_role("button", name="Camera").click()
    hold = card.locator(".hold")
    expect(hold).to_be_focused(timeout=PATIENCE_MS)
    page.keyboard.down("Space")
    state = card.locator(".shooting p")
    while _number(state.inner_text()) < TAKEN:
        page.wait_for_timeout(30)
    page.keyboard.up("Space")
    taken = _number(state.inner_text())
    card.locator(".shooting .second").click()
    return taken


def _wait_until_learnt(page: Page) -> None:
    page.locator("#learnt h3, #learnt .wrong").first.wait_for(timeout=PATIENCE_MS)
    wrong = page.locator("#learnt .wrong")
    if wrong.count():
        raise SystemExit(f"It learns nothing: {wrong.first.inner_text()}")


def _print_folder(playwright: Any, url: str, pictures: Path) -> None:
    """A folder dropped on the page, learnt from, and learnt from again after a decision."""
    count = len(_list(pictures))
    with _browser(playwright) as browser, TemporaryDirectory(prefix="spotter-bench-") as temporary:
        # Nothing but the pictures: a set's folder holds more.
        folder = Path(temporary) / "pictures"
        for path, label in _list(pictures):
            (folder / label).mkdir(parents=True, exist_ok=True)
            (folder / label / path.name).write_bytes(path.read_bytes())
        page = browser.new_context(viewport=WINDOW).new_page()  # type: ignore[arg-type]
        page.goto(f"{url}teach/")
        expect(page.locator("#loading.done")).to_be_attached(timeout=PATIENCE_MS)
        clock = _Clock()
        page.locator("#folder").set_input_files(folder)
        expect(page.locator("#said")).to_contain_text("Added: ", timeout=PATIENCE_MS)
        clock.told(page.locator("#said").inner_text())
        page.locator("#learn").click()
        _wait_until_learnt(page)
        clock.told("features, and learnt from them")
        expect(page.locator(".working")).to_have_count(0, timeout=PATIENCE_MS)
        expect(page.locator("#learn")).to_be_enabled()
        clock.told("views of some, and learnt from those too")
        said = page.locator("#learnt h3").inner_text(), page.locator("#learnt p").first.inner_text()
        page.wait_for_timeout(3000)
        clock.restart()
        page.evaluate(AGAIN)
        clock.told("learnt again after one was left out")
        memory = memory_mb(browser, page)
    print(f"\n| A folder of {count} pictures dropped on the page | s |\n|---|---|")
    for name, span, _ in clock.rows:
        print(f"| {name} | {span:.1f} |")
    print(f"\nIt says: {' '.join(said)}\nMemory of the page's process: {memory:.0f} MB")


# Leaves the most doubtful picture out, and waits until what follows from it is shown.
AGAIN = """() => new Promise((resolve) => {
  const learnt = document.querySelector("#learnt");
  const before = learnt.querySelector("h3");
  new MutationObserver((_, watch) => {
    if (learnt.querySelector("h3") === before) return;
    watch.disconnect();
    resolve();
  }).observe(learnt, { childList: true });
  document.querySelector("#doubts li button:nth-of-type(2)").click();
})"""


def _print_changes(playwright: Any, url: str, given: Path) -> None:
    """Learn again after a change, without looking at the page."""
    by_class: dict[str, list[list[str]]] = {}
    for path, label in _list(given):
        by_class.setdefault(label, []).append([f"{given.name}/{path.relative_to(given)}", label])
    # As many of each class.
    some = [each for group in zip(*by_class.values(), strict=False) for each in group][:CHANGED]
    with _browser(playwright) as browser:
        page = browser.new_page()
        page.goto(f"{url}{BLANK}")
        rows = page.evaluate(CHANGE, some)
    print(f"\n| Learnt again from {len(some)} pictures after | with views, s | without, s |\n|---|---|---|")
    for name, views, without in rows:
        print(f"| {name} | {views / 1000:.2f} | {without / 1000:.2f} |")


def _print_others(playwright: Any, url: str, given: Path) -> None:
    """Teach with some of each class, ask about all others."""
    listed = [(f"{given.name}/{path.relative_to(given)}", label) for path, label in _list(given)]
    print(
        f"\n| Taught with {TAKEN} of each class, drawn with a seed | Asked | Wrong | Wrong without a doubt | Not sure |"
    )
    print("|---|---|---|---|---|")
    with _browser(playwright) as browser:
        for seed in SEEDS:
            taught = []
            for label in sorted({label for _, label in listed}):
                own = [each for each in listed if each[1] == label]
                taught += [own[place] for place in np.random.default_rng(seed).choice(len(own), TAKEN, replace=False)]
            asked = [each for each in listed if each not in taught]
            page = browser.new_page()
            page.goto(f"{url}{BLANK}")
            answers = page.evaluate(ASK, [taught, asked])
            page.close()
            pairs = list(zip(asked, answers, strict=True))
            wrong = sum(closest != label for (_, label), (_, closest) in pairs)
            told = sum(said not in (label, "not sure") for (_, label), (said, _) in pairs)
            unsure = sum(said == "not sure" for said, _ in answers)
            print(f"| seed {seed} | {len(asked)} | {wrong} | {told} | {unsure} |", flush=True)


def _list(folder: Path) -> list[tuple[Path, str]]:
    """The pictures of a folder of classes, and their classes."""
    found = [(path, path.parent.name) for path in sorted(folder.glob("*/*")) if path.suffix.lower() in PICTURES]
    if not found:
        raise SystemExit(f"{folder} holds no folders with pictures")
    return found


def _write_clip(path: Path, kind: str) -> Path:
    """A film of drawn things of a kind that are turned, and held nearer and farther, before a camera."""
    scenes = [draw_picture(kind, number).resize(FRAME) for number in range(SCENES)]
    parts = []
    for number in range(FRAMES):
        turn = 2 * math.pi * number / FRAMES
        scene = scenes[number * SCENES // FRAMES].rotate(25 * math.sin(2 * turn), Image.Resampling.BILINEAR)
        side = 0.75 + 0.25 * math.cos(3 * turn)
        width, height = FRAME[0] * side, FRAME[1] * side
        left, top = (FRAME[0] - width) * (0.5 + 0.5 * math.sin(5 * turn)), (FRAME[1] - height) / 2
        file = io.BytesIO()
        scene.resize(FRAME, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)).save(
            file, "JPEG", quality=85
        )
        parts.append(file.getvalue())
    path.write_bytes(b"".join(parts))
    return path


class _Clock:
    """What took how long, one thing after the other."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []
        self._started = self._last = time.perf_counter()

    @property
    def total(self) -> float:
        return self._last - self._started

    def restart(self) -> None:
        self._last = time.perf_counter()

    def told(self, name: str) -> None:
        now = time.perf_counter()
        self.rows.append((name, now - self._last, now - self._started))
        self._last = now


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text) or 0)


@contextmanager
def _browser(playwright: Any, *more: str) -> Iterator[Browser]:
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu", *fake, *more]
    )
    yield browser
    browser.close()
