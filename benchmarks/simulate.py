"""Replay months of traffic with planted events: after how many pictures is each noticed, and how often is it wrong?

    scripts/simulate --pictures photos/bears --strangers photos/others
    scripts/simulate                                            (bears drawn by our own code)
    scripts/simulate --log logs/replay                          (half a year with every event, for scripts/report)

A model learns from half of the pictures; visitors send the other half, drawn with replacement, and what the model
says of each, and of the same at night and in black and white, is taken from the app's own log. It prints Markdown.
"""

import argparse
import io
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from bench_scale import train
from PIL import Image, ImageDraw
from scipy.stats import chi2

from spotter.config import STAGES, RolloutConfig
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.monitor.baseline import Published, read_published
from spotter.monitor.drift import Change, find_changes
from spotter.monitor.log import AnswerLog, Answers, add_answers, read_answers
from spotter.rollout.stages import FULL, GRADUAL, SHADOW
from spotter.search.drawn.picture import draw_picture
from spotter.utils.argument_parser import Parser

DRAWN = 100
NIGHT, STRANGE, CHANGED = 0.3, 0.2, 0.5
# Quiet pictures before an event, at least and at most, and pictures watched after it.
BEFORE, AFTER = (600, 2500), 600
SOON = 200
NAMES = {
    "labels": "answers",
    "unfamiliar": "not-sure answers",
    "errors": "wrong answers",
    "pictures": "what pictures show",
}


@dataclass(frozen=True)
class World:
    """Everything that can be sent: the model's answers, what each picture shows, and how it was taken.

    `quiet` are the rows of what visitors usually send; `kind` is "plain", "night" or "grey".
    """

    answers: Answers
    truth: np.ndarray
    kind: np.ndarray
    labels: tuple[str, ...]
    published: tuple[Published, ...]

    def rows(self, kind: str, strange: bool = False) -> np.ndarray:
        return np.flatnonzero((self.kind == kind) & (np.isin(self.truth, self.labels) != strange))

    @property
    def quiet(self) -> np.ndarray:
        return self.rows("plain")

    @property
    def doubling(self) -> str:
        """The label that an event makes more frequent."""
        return self.labels[1]


@dataclass(frozen=True)
class Sent:
    """What visitors sent: rows of a world, and what reviewers would say is right."""

    rows: np.ndarray
    right: np.ndarray


Event = Callable[[World, np.random.Generator, int], Sent]


def quiet(world: World, rng: np.random.Generator, count: int) -> Sent:
    rows = rng.choice(world.quiet, count)
    return Sent(rows, world.truth[rows])


def mixed(share: float, kind: str, strange: bool = False) -> Event:
    """So many of the pictures are of another kind than usual."""

    def event(world: World, rng: np.random.Generator, count: int) -> Sent:
        others = rng.choice(world.rows(kind, strange), count)
        rows = np.where(rng.random(count) < share, others, quiet(world, rng, count).rows)
        return Sent(rows, world.truth[rows])

    return event


def more(times: Callable[[float], float]) -> Event:
    """One class has a share of `times(what it had)`."""

    def event(world: World, rng: np.random.Generator, count: int) -> Sent:
        is_mine = world.truth[world.quiet] == world.doubling
        mine, rest = (rng.choice(world.quiet[part], count) for part in (is_mine, ~is_mine))
        rows = np.where(rng.random(count) < times(float(is_mine.mean())), mine, rest)
        return Sent(rows, world.truth[rows])

    return event


def labels_drift(world: World, rng: np.random.Generator, count: int) -> Sent:
    """People mean something else by a word: of one class, so many are now called another."""
    sent = quiet(world, rng, count)
    is_other = (sent.right == world.doubling) & (rng.random(count) < CHANGED)
    return replace(sent, right=np.where(is_other, world.labels[0], sent.right))


EVENTS: dict[str, Event] = {
    f"Night pictures arrive ({NIGHT:.0%} of all)": mixed(NIGHT, "night"),
    f"A new kind appears ({STRANGE:.0%} of all)": mixed(STRANGE, "plain", strange=True),
    "A class doubles (twice its share)": more(lambda share: min(0.9, 2 * share)),
    "A class is sent twice as often, the others as before": more(lambda share: 2 * share / (1 + share)),
    "The camera turns black and white": mixed(1.0, "grey"),
    f"Labels drift: {CHANGED:.0%} of a class is now called another": labels_drift,
}


@dataclass(frozen=True)
class Noticed:
    """After how many pictures an event was noticed (inf: not at all), and which tests had by then.

    `wrong` answers were given to the pictures watched after it; a rollout at a stage would have `prevented` so many of
    them from reaching visitors: all before the alert that the stage holds back, and after it what a stage less does.
    """

    after: float
    by: tuple[str, ...]
    wrong: int = 0
    prevented: Mapping[str, float] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print the tables, and return the exit status."""
    parser = Parser(prog="scripts/simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a folder for each class; default: drawn bears")
    parser.add_argument("--strangers", type=Path, metavar="FOLDER", help="pictures of none of the classes")
    parser.add_argument("--seeds", type=int, default=20, help="how often each event is planted (default: 20)")
    parser.add_argument("--quiet", type=int, default=200_000, metavar="PICTURES", help="default: 200000")
    parser.add_argument("--reviewed", type=float, default=0.5, metavar="SHARE", help="of the answers (default: 0.5)")
    parser.add_argument(
        "--log", type=Path, metavar="FOLDER", help="write half a year with every event into a log there"
    )
    options = parser.parse_args(argv)
    if bool(options.pictures) != bool(options.strangers):
        parser.error("give --pictures and --strangers, or neither")
    with tempfile.TemporaryDirectory(prefix="spotter-simulate-") as temporary:
        world = make_world(options.pictures, options.strangers, Path(temporary))
    if options.log:
        add_answers(options.log, half_a_year(world, options.reviewed))
        print(f"Half a year is in {options.log}.")
        return 0
    print_events(world, options.seeds, options.reviewed)
    print_quiet(world, options.quiet, options.reviewed)
    return 0


def make_world(pictures: Path | None, strangers: Path | None, work: Path) -> World:
    """Train on half of the pictures, and log the answers about the rest and the strangers, each in every kind."""
    if pictures is None or strangers is None:
        pictures, strangers = draw_pictures(work / "drawn")
    visitors = split(pictures, work / "model" / "pictures")
    train(work / "model")
    predictor = Predictor.load(work / "model" / "store")
    # Strangers have many names, and none of them is a label.
    known = [(path, path.parent.name) for path in visitors]
    unknown = [(path, f"not {predictor.labels[0]}") for path in sorted(strangers.rglob("*.*"))]
    truth, kinds = [], []
    with AnswerLog(work / "log", predictor.revision or "", predictor.reference) as log:
        for path, label in (*known, *unknown):
            picture = load_picture(path)
            for kind, change in (("plain", Image.Image.copy), ("night", at_night), ("grey", in_grey)):
                shown = change(picture)
                log.record(predictor.predict(shown), shown, "simulated")
                truth.append(label)
                kinds.append(kind)
    answers = read_answers(work / "log")
    if len(answers) != len(truth):
        raise SystemExit(f"simulate: the log holds {len(answers)} of {len(truth)} answers.")
    published = (read_published(str(work / "model" / "store")),)
    return World(answers, np.array(truth), np.array(kinds), predictor.labels, published)


def split(pictures: Path, learning: Path) -> list[Path]:
    """Copy half of each class into `learning`, and return the other half."""
    visitors: list[Path] = []
    for folder in sorted(path for path in pictures.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        random.Random(0).shuffle(files)  # noqa: S311
        (learning / folder.name).mkdir(parents=True)
        for path in files[::2]:
            shutil.copyfile(path, learning / folder.name / path.name)
        visitors += files[1::2]
    return visitors


def draw_pictures(folder: Path, count: int = DRAWN) -> tuple[Path, Path]:
    """Draw bears of three kinds, and things that are no bears."""
    for kind in ("grizzly", "black", "teddy"):
        (folder / "bears" / kind).mkdir(parents=True)
        for number in range(count):
            draw_picture(kind, number).save(folder / "bears" / kind / f"{number}.jpg", quality=90)
    (folder / "others").mkdir()
    for number in range(count):
        draw_thing(number).save(folder / "others" / f"{number}.jpg", quality=90)
    return folder / "bears", folder / "others"


def draw_thing(seed: int) -> Image.Image:
    """Boxes and balls on a plain ground."""
    rng = random.Random(seed)  # noqa: S311
    picture = Image.new("RGB", (400, 300), tuple(rng.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randrange(4, 12)):
        x, y, size = rng.randrange(360), rng.randrange(260), rng.randrange(30, 160)
        shape = pen.ellipse if rng.random() < 0.4 else pen.rectangle
        shape((x, y, x + size, y + rng.randrange(20, 160)), fill=tuple(rng.randrange(256) for _ in range(3)))
    return picture


def at_night(picture: Image.Image) -> Image.Image:
    """As a camera sees it in the dark: a quarter of the light, no colours, noise, and compressed once more."""
    light = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    noise = np.random.default_rng(0).normal(scale=0.02, size=light.shape)
    dark = Image.fromarray((255 * np.clip(0.25 * light**1.2 + noise, 0, 1)).astype(np.uint8)).convert("RGB")
    buffer = io.BytesIO()
    dark.save(buffer, "JPEG", quality=85)
    return load_picture(buffer.getvalue())


def in_grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L").convert("RGB")


def replay(world: World, parts: Sequence[Sent], reviewed: float, rng: np.random.Generator) -> Answers:
    """The log that these pictures would have left, one every ten minutes, so many of them reviewed at once."""
    rows, right = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "right"))
    number = np.arange(1, len(rows) + 1)
    is_reviewed = rng.random(len(rows)) < reviewed
    return replace(
        world.answers.take(rows),
        number=number,
        id=np.char.mod("%016x", number),
        at=600 * number,
        right=np.where(is_reviewed, right, ""),
        review=np.where(is_reviewed, np.cumsum(is_reviewed), 0),
    )


def prevented(stage: str, wrong: np.ndarray, alerts: Sequence[int], config: RolloutConfig) -> float:
    """How many wrong answers visitors are not given, on average over who is answered at once; each alert takes the
    rollout one stage back.

    Args:
        wrong: bool (n,), of the answers in their order. alerts: after how many of them there was one, ascending.
    """
    held = {FULL: 0.0, GRADUAL: 1 - config.share}
    since, last, total = 0, -config.together, 0.0
    for place in [*alerts, len(wrong)]:
        total += held.get(stage, 1.0) * float(wrong[since:place].sum())
        since = place
        if place > last + config.together and stage != SHADOW:
            stage, last = STAGES[STAGES.index(stage) - 1], place
    return total


def plant(world: World, event: Event, seed: int, reviewed: float) -> tuple[Noticed, list[Change]]:
    """Plant an event after some quiet pictures: how it was noticed, and the false alerts before it."""
    rng = np.random.default_rng([7, seed])
    before = int(rng.integers(*BEFORE))
    parts = [quiet(world, rng, before), event(world, rng, AFTER)]
    answers = replay(world, parts, reviewed, rng)
    changes = find_changes(answers, world.published)
    # An error is dated by its review, so its place in the log is found by its time.
    places = [change.at // 600 for change in changes]
    late = [(place - before, change) for place, change in zip(places, changes, strict=True) if place > before]
    soon = sorted({NAMES.get(change.what, change.what) for after, change in late if after <= SOON})
    first = min((after for after, _ in late), default=float("inf"))
    # Who is told "not sure" is told nothing wrong.
    wrong = (answers.label[before:] != parts[1].right) & answers.familiar[before:]
    alerts = sorted(after for after, _ in late)
    kept = {stage: prevented(stage, wrong, alerts, RolloutConfig()) for stage in STAGES[:0:-1]}
    return Noticed(first, tuple(soon), int(wrong.sum()), kept), [
        c for place, c in zip(places, changes, strict=True) if place <= before
    ]


def print_events(world: World, seeds: int, reviewed: float) -> None:
    stages = ", ".join(STAGES[:0:-1])
    title = f"Wrong answers to {AFTER} pictures; of these prevented at {stages}"
    print(
        f"| Event | Pictures until noticed: median, slowest | Within 200 | Noticed first or soon after by | {title} |"
    )
    print("|---|---|---|---|---|")
    rows = [(name, event, reviewed) for name, event in EVENTS.items()]
    rows[-1] = (f"{rows[-1][0]}, {reviewed:.0%} of the answers reviewed", labels_drift, reviewed)
    rows.append(("The same, every answer reviewed", labels_drift, 1.0))
    for name, event, part in rows:
        found = [plant(world, event, seed, part)[0] for seed in range(seeds)]
        after = np.array([each.after for each in found])
        times = {by: sum(by in each.by for each in found) for each in found for by in each.by}
        often = [by for by, count in sorted(times.items(), key=lambda item: -item[1]) if count >= seeds / 2]
        slowest = f"{after.max():.0f}" if np.isfinite(after.max()) else f"not in {AFTER}"
        soon = f"{(after <= SOON).sum()} of {seeds}"
        wrong = np.mean([each.wrong for each in found])
        kept = ", ".join(f"{np.mean([each.prevented[stage] for each in found]):.1f}" for stage in STAGES[:0:-1])
        stages = f"{wrong:.1f}; {kept}"
        print(f"| {name} | {np.median(after):.0f}, {slowest} | {soon} | {', '.join(often)} | {stages} |", flush=True)


def print_quiet(world: World, pictures: int, reviewed: float) -> None:
    rng = np.random.default_rng(11)
    started = time.perf_counter()
    found: list[Change] = []
    # Runs of a year with some 140 pictures a day: a longer log would forget its beginning.
    for count in np.diff(np.append(np.arange(0, pictures, 50_000), pictures)):
        answers = replay(world, [quiet(world, rng, int(count))], reviewed, rng)
        found += find_changes(answers, world.published)
    rate = 20_000 / pictures
    # The interval of a Poisson mean, from its count.
    low = chi2.ppf(0.025, 2 * len(found)) / 2 * rate if found else 0.0
    high = chi2.ppf(0.975, 2 * len(found) + 2) / 2 * rate
    print(f"\n{len(found)} false alerts in {pictures:,} quiet pictures: {len(found) * rate:.2f} in 20,000 ", end="")
    print(f"(95 % interval {low:.2f} to {high:.2f}), all tests together.")
    print(f"{pictures:,} answers were looked through in {time.perf_counter() - started:.0f} s.")


def half_a_year(world: World, reviewed: float) -> Answers:
    """180 days of some 25 pictures each until now, with every event in turn: two weeks of it, two or more without."""
    rng = np.random.default_rng(5)
    parts: list[Sent] = []
    plan: list[Event] = [quiet]
    for event in (event for event in EVENTS.values()):
        plan += [event, quiet]
    days = [28] + [12, 13] * len(EVENTS)
    counts = [rng.poisson(25, number) for number in days]
    for event, of_days in zip(plan, counts, strict=True):
        parts.append(event(world, rng, int(of_days.sum())))
    answers = replay(world, parts, reviewed, rng)
    per_day = np.concatenate(counts)
    day = np.repeat(np.arange(len(per_day)), per_day)
    at = time.time() - 86_400 * (len(per_day) - day) + 86_400 * rng.random(len(day))
    routes = np.where(rng.random(len(day)) < 0.7, "page", "api")
    return replace(answers, at=np.sort(at).astype(np.int64), route=routes)


if __name__ == "__main__":
    sys.exit(main())
