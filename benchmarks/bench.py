"""Measure Spotter against the tutorial's way of doing it, side by side in one run, and print the README's table.

    scripts/bench --pictures folder:photos/bears            (about six minutes on two cores)
    scripts/bench --pictures sample --folds 5               (compares the errors on every picture)
    scripts/bench --downloads 10000                         (downloads alone, from servers on this machine)
    scripts/bench --scale photos/bears                      (400, 4,000 and 40,000 made pictures: half an hour)
    scripts/bench --cleaning photos/bears                   (the cleaning page over 5,000 made pictures)
    scripts/bench --serving --pictures folder:photos/bears  (answers through Gradio and plain HTTP, many photos)
    scripts/bench --soak 10000                              (so many requests, one in a hundred bad)
    scripts/bench --start models/bears --baseline OTHER     (start, memory, idle work, beside another checkout)
    scripts/bench --profile photos/bears                    (where the time of a training goes, by stage)
    scripts/bench --profile photos/bears --baseline OTHER --sizes 4000  (beside another checkout: half an hour)
    scripts/bench --ray photos/bears                        (the same work here and on a local Ray cluster)
    scripts/bench --page models/bears                       (opening the page, beside a stock gr.Interface)
    scripts/bench --web models/bears                        (the browser edition, beside the Gradio page)
    scripts/bench --teach models/bears --pictures folder:photos/bears  (teaching in the browser, by camera and folder)
    scripts/bench --shifts photos/bears --unfamiliar STRANGERS  (pictures as cameras may give them)

The tutorial's way: RandomResizedCrop + aug_transforms, vision_learner with the same backbone, fine_tune(4); then
load_learner + gr.Interface.
"""

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_cleaning import print_cleaning
from bench_profile import print_profile
from bench_scale import print_scale
from bench_serving import compare_many, compare_serving, print_soak, row
from bench_shifts import print_shifts
from bench_start import free_port, print_start
from PIL import Image

from spotter.utils.argument_parser import Parser

TUTORIAL_TRAIN = """
import json, sys, time
from pathlib import Path
from fastai.vision.all import *
from spotter.train.body import load_packaged_weights
folder, held_out, out = Path(sys.argv[1]), set(json.loads(sys.argv[2])), Path(sys.argv[3])
unfamiliar = sorted(get_image_files(sys.argv[4])) if sys.argv[4] else []
labels = [path.name for path in folder.glob("[!.]*") if any(path.glob("*.jpg"))]
started = time.perf_counter()
block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=partial(get_image_files, folders=labels),
    get_y=parent_label,
    splitter=FuncSplitter(lambda path: path.name in held_out),
    item_tfms=RandomResizedCrop(224, min_scale=0.5), batch_tfms=aug_transforms())
dls = block.dataloaders(folder)
learn = vision_learner(dls, "tf_efficientnet_lite0", pretrained=False, metrics=error_rate)
load_packaged_weights(learn.model[0].model)
dls.add_tfms([Normalize.from_stats([.5] * 3, [.5] * 3)], "after_batch")
learn.freeze()
learn.fine_tune(int(sys.argv[5]))
wrong = round(float(learn.validate()[1]) * len(dls.valid_ds))
seconds = time.perf_counter() - started
probabilities, targets = learn.get_preds()
strangers = learn.get_preds(dl=dls.test_dl(unfamiliar))[0].max(dim=1).values.tolist() if unfamiliar else []
learn.path = out
learn.export("export.pkl")
print("RESULT", json.dumps({"seconds": seconds, "wrong": wrong, "pictures": len(dls.valid_ds), "strangers": strangers,
    "probabilities": probabilities.tolist(), "targets": targets.tolist()}))
"""

TUTORIAL_SAID = ("probabilities", "targets", "strangers")

TUTORIAL_APP = """
import sys
from fastai.vision.all import *
import gradio as gr
learn = load_learner(sys.argv[1])
labels = learn.dls.vocab
def predict(img):
    pred, index, probs = learn.predict(PILImage.create(img))
    return {labels[i]: float(probs[i]) for i in range(len(labels))}
gr.Interface(fn=predict, inputs=gr.Image(), outputs=gr.Label(num_top_classes=3)).launch(server_port=int(sys.argv[2]))
"""

TUTORIAL_PREDICT = """
import json, statistics, sys, time, warnings
from fastai.vision.all import *
warnings.simplefilter("ignore")
learn = load_learner(sys.argv[1])
learn.predict(sys.argv[2])
spans = []
for _ in range(30):
    started = time.perf_counter()
    learn.predict(sys.argv[2])
    spans.append(time.perf_counter() - started)
print("RESULT", json.dumps(statistics.median(spans)))
"""

# Sixty different pictures; each address adds its own bytes at the end, so that no client can tell it has seen one.
PICTURE_SERVER = """
import io, socketserver, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np
from PIL import Image
noise = np.random.default_rng(0).integers(0, 60, (900, 1200, 3), dtype=np.uint8)
base = np.linspace(0, 180, 1200, dtype=np.uint8)[None, :, None] + noise
pictures = []
for number in range(60):
    buffer = io.BytesIO()
    Image.fromarray(np.roll(base, 20 * number, axis=1)).save(buffer, "JPEG", quality=72)
    pictures.append(buffer.getvalue())
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/robots.txt":
            self.send_error(404)
            return
        time.sleep(0.05)
        body = pictures[int(self.path[1:-4]) % 60] + self.path.encode()
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): ...
class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
server = Server(("0.0.0.0", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

# Search results lie on many hosts; here on twenty addresses of this machine.
DOWNLOAD_START = """
import functools, json, resource, sys, time
from pathlib import Path
port, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
urls = [f"http://127.0.0.{1 + n % 20}:{port}/{n}.jpg" for n in range(count)]
"""

DOWNLOAD_END = """
seconds = time.perf_counter() - started
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
pictures = sum(1 for path in folder.rglob("*.jpg"))
print("RESULT", json.dumps({"seconds": seconds, "pictures": pictures, "memory": memory}))
"""

DOWNLOAD_HTTPX = f"""{DOWNLOAD_START}
import httpx
started = time.perf_counter()
with httpx.Client() as client:
    for number, url in enumerate(urls):
        (folder / f"{{number}}.jpg").write_bytes(client.get(url).content)
{DOWNLOAD_END}"""

DOWNLOAD_FASTAI = f"""{DOWNLOAD_START}
from fastai.vision.utils import download_images
started = time.perf_counter()
download_images(folder, urls=urls, max_pics=count)
{DOWNLOAD_END}"""

DOWNLOAD_SPOTTER = f"""{DOWNLOAD_START}
from spotter.config import DownloadConfig
from spotter.collect.download import download_all
started = time.perf_counter()
def write(outcome):
    (folder / f"{{outcome.key}}.jpg").write_bytes(outcome.content)
    (folder / f"{{outcome.key - 2000}}.jpg").unlink(missing_ok=True) if count > 2000 else None
done = 0
for _ in download_all(enumerate(urls), DownloadConfig(), then=write, address_policy=lambda address: True):
    done += 1
{DOWNLOAD_END.replace('sum(1 for path in folder.rglob("*.jpg"))', "done")}"""

COLLECT_SPOTTER = f"""{DOWNLOAD_START}
from spotter.collect.collector import collect
from spotter.recipe import make_recipe
from spotter.collect.download import download_all
from spotter.search.urls import Urls
(folder / "list.txt").write_text("\\n".join(f"{{'ab'[n % 2]}} {{url}}" for n, url in enumerate(urls)))
started = time.perf_counter()
collect(make_recipe({{"a": "a", "b": "b"}}, "two"), [Urls(str(folder / "list.txt"))], folder / "set",
    fetch=functools.partial(download_all, address_policy=lambda address: True))
{DOWNLOAD_END.replace('folder.rglob("*.jpg")', '(folder / "set/manifest.jsonl").open()')}"""

SPOTTER_PREDICT = """
import json, statistics, sys, time
from spotter import Predictor
predictor = Predictor.load(sys.argv[1])
predictor.predict(sys.argv[2])
spans = []
for _ in range(30):
    started = time.perf_counter()
    predictor.predict(sys.argv[2])
    spans.append(time.perf_counter() - started)
print("RESULT", json.dumps(statistics.median(spans)))
"""


def main() -> None:
    """Run every comparison and print the table."""
    parser = Parser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", default="sample", metavar="SOURCE", help="where pictures come from (as --search)")
    parser.add_argument("--folds", type=int, default=1, help="folds the tutorial is trained on, to compare errors")
    parser.add_argument("--unfamiliar", type=Path, metavar="FOLDER", help="strangers, to tell from the pictures")
    parser.add_argument("--downloads", type=int, metavar="N", help="time downloads only: 1,000 pictures, and then N")
    parser.add_argument("--scale", type=Path, metavar="FOLDER", help="train on sets made by augmenting its pictures")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="where the time goes when training on these")
    parser.add_argument("--sizes", help="pictures in made sets (for --scale, by default: 400,4000,40000)")
    parser.add_argument("--cleaning", type=Path, metavar="FOLDER", help="use the cleaning page on 5,000 made of these")
    parser.add_argument("--serving", action="store_true", help="compare serving only, from one client and from eight")
    parser.add_argument(
        "--soak", type=int, metavar="N", help="only put the app under fire: N requests, 1 %% of them bad"
    )
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep the models for --serving and --soak, or use them"
    )
    parser.add_argument("--ray", type=Path, metavar="FOLDER", help="classify 2,000 of these here and on a Ray cluster")
    parser.add_argument("--page", type=Path, metavar="STORE", help="what opening the page of this model costs")
    parser.add_argument("--web", type=Path, metavar="STORE", help="the browser edition of this model, in Chromium")
    parser.add_argument("--peer", action="store_true", help="with --web: beside a plain page of transformers.js (npm)")
    parser.add_argument("--teach", type=Path, metavar="STORE", help="teaching in the browser on this model's site")
    parser.add_argument("--shifts", type=Path, metavar="FOLDER", help="judge pictures as cameras may give them")
    parser.add_argument("--camera", type=Path, metavar="FOLDER", help="with --shifts: real camera pictures to list")
    parser.add_argument("--others", type=Path, metavar="FOLDER", help="with --shifts: other pictures to judge by")
    parser.add_argument("--start", type=Path, metavar="STORE", help="how the app starts, beside --baseline")
    parser.add_argument("--baseline", type=Path, metavar="FOLDER", help="another checkout of Spotter, to compare with")
    options = parser.parse_args()
    if options.start and not options.baseline:
        parser.error("--start needs --baseline")
    if options.peer and not options.web:
        parser.error("--peer needs --web")
    if options.baseline and not options.start and not options.profile:
        parser.error("--baseline needs --start or --profile")
    sizes = [int(size) for size in options.sizes.split(",")] if options.sizes else []
    if options.profile:
        print_profile(options.profile, options.baseline, sizes)
        return
    if options.start:
        print_start(options.start, options.baseline)
        return
    if options.shifts:
        print_shifts(options.shifts, options.unfamiliar, options.camera, options.others)
        return
    if options.page:
        # Here: the browser is no package of what is measured otherwise.
        from bench_page import print_page

        print_page(options.page, [free_port(), free_port()])
        return
    if options.web:
        from bench_web import print_web

        print_web(options.web, [free_port()], options.peer)
        return
    if options.teach:
        from bench_teach import print_teaching

        folder = options.pictures.removeprefix("folder:")
        print_teaching(options.teach, None if folder == "sample" else Path(folder))
        return
    if options.ray:
        # Here: Ray is optional.
        from bench_ray import print_ray

        print_ray(options.ray, 2000)
        return
    if options.cleaning:
        print_cleaning(options.cleaning, 5000)
        return
    if options.serving or options.soak:
        with tempfile.TemporaryDirectory(prefix="spotter-bench-") as temporary:
            print_serving(options.pictures, options.work or Path(temporary), options.serving, options.soak)
        return
    if options.scale:
        print_scale(options.scale, sizes or [400, 4000, 40000])
        return
    if options.downloads:
        print_downloads(options.downloads)
        return
    with tempfile.TemporaryDirectory(prefix="spotter-bench-") as temporary:
        work = Path(temporary)
        rows = compare_training(options.pictures, options.folds, options.unfamiliar, work)
        rows += compare_apps(work) + compare_predict(work)
    print_rows(rows)


def print_rows(rows: list[str]) -> None:
    """Print the README's table."""
    print("\n| | Tutorial | Spotter | Ratio |\n|---|---|---|---|")
    print("\n".join(rows))


def print_serving(source: str, work: Path, compare: bool, soak: int | None) -> None:
    """Train what is not in `work` yet, the tutorial's model for one epoch; then compare serving, or fire at the app."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "store").exists():
        command = [sys.executable, "train.py", "recipes/bears.toml", "--search", source, "--to", work / "store"]
        run([*command, "--data", work / "data"])
    folder = next((work / "data").rglob("manifest.jsonl")).parent
    paths = sorted(folder.glob("[!.]*/*.jpg"))
    if compare:
        if not (work / "tutorial").exists():
            (work / "tutorial").mkdir()
            held_out = json.dumps([path.name for path in paths[::5]])
            run([sys.executable, "-c", TUTORIAL_TRAIN, folder, held_out, work / "tutorial", "", 1])
        ports = [free_port() for _ in range(3)]
        rows = compare_apps(work) + compare_serving(TUTORIAL_APP, work, write_photo(work), ports)
        print_rows(rows + compare_many(work, paths))
    if soak:
        print_soak(work / "store", paths, soak, free_port())


def print_downloads(more: int) -> None:
    """Download 1,000 pictures of 400 kB with three clients in turn, then `more` with ours, and print the table."""
    with tempfile.TemporaryDirectory(prefix="spotter-bench-") as temporary:
        server = subprocess.Popen([sys.executable, "-c", PICTURE_SERVER], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            clients = {"httpx": DOWNLOAD_HTTPX, "fastai": DOWNLOAD_FASTAI, "spotter": DOWNLOAD_SPOTTER}
            results = {}
            for name, code in [*clients.items(), ("more", DOWNLOAD_SPOTTER), ("set", COLLECT_SPOTTER)]:
                folder = Path(temporary) / name
                folder.mkdir()
                count = more if name == "more" else 1000
                arguments = [sys.executable, "-c", code, port, count, folder]
                results[name] = json.loads(run(arguments).rpartition("RESULT")[2])
                shutil.rmtree(folder)
        finally:
            server.terminate()
    print("\n| 400 kB pictures, 50 ms latency, 20 hosts | Seconds | Pictures | Memory (MB) |\n|---|---|---|---|")
    names = {
        "httpx": "httpx, one after the other",
        "fastai": "fastai's `download_images`",
        "spotter": "Spotter's downloads",
        "more": "Spotter's downloads",
        "set": "Spotter's collecting: the same, decoded, shrunk, hashed and written down",
    }
    for name, title in names.items():
        figures = results[name]
        print(f"| {title} | {figures['seconds']:.1f} | {figures['pictures']} | {figures['memory']:.0f} |")


def compare_training(source: str, folds: int, unfamiliar: Path | None, work: Path) -> list[str]:
    """Train both ways on the same pictures; judge both on the same held-out ones."""
    command = [sys.executable, "train.py", "recipes/bears.toml", "--search", source, "--to", work / "store"]
    started = time.perf_counter()
    output = run([*command, "--data", work / "data"])
    whole = time.perf_counter() - started
    stages = re.findall(r"^(\S.*) \.\.\.\n(?:  .*\n)*?  done in ([\d.]+) s$", output, re.MULTILINE)
    learning = sum(float(seconds) for title, seconds in stages if title.startswith(("Compute", "Learn", "Judge")))

    # Here rather than at the top: it loads torch, which the other comparisons must not share memory with.
    from bench_honesty import Tutorial, compare_honesty, train_again

    own = train_again(source, work / "data")
    results, own_wrong = [], 0
    for fold in range(folds):
        held_out = [path.name for path, number in zip(own.dataset.paths, own.folds, strict=True) if number == fold]
        (work / "tutorial").mkdir(exist_ok=True)
        arguments = [own.dataset.folder, json.dumps(held_out), work / "tutorial", unfamiliar or "", 4]
        results.append(json.loads(run([sys.executable, "-c", TUTORIAL_TRAIN, *arguments]).rpartition("RESULT")[2]))
        own_wrong += sum(own.wrong[name] for name in held_out)
    tutorial = statistics.median(result["seconds"] for result in results)
    tutorial_wrong, judged = (sum(result[name] for result in results) for name in ("wrong", "pictures"))
    said = Tutorial(*(np.concatenate([result[name] for result in results]) for name in TUTORIAL_SAID))
    return [
        row("Training: features, head, evaluation (s)", tutorial, learning),
        row("Training: whole command, imports, gate and all (s)", tutorial, whole),
        f"| Wrong of {judged} held-out pictures | {tutorial_wrong} | {own_wrong} | |",
        *compare_honesty(own, said, unfamiliar),
    ]


def compare_apps(work: Path, rounds: int = 3) -> list[str]:
    """Start both apps in turn; time from process start to the first answer through the same Gradio client."""
    picture = write_photo(work)
    figures: dict[str, list[tuple[float, float]]] = {"tutorial": [], "spotter": []}
    for _ in range(rounds):
        for name in figures:
            port = free_port()
            command = {
                "tutorial": [sys.executable, "-c", TUTORIAL_APP, work / "tutorial" / "export.pkl", port],
                "spotter": [sys.executable, "app.py", "--model", work / "store", "--port", port],
            }[name]
            figures[name].append(first_answer(command, port, picture))
    medians = {name: np.median(values, axis=0) for name, values in figures.items()}
    return [
        row("App: process start to first answer (s)", medians["tutorial"][0], medians["spotter"][0]),
        row("App: memory after it (MB, resident)", medians["tutorial"][1], medians["spotter"][1]),
    ]


def first_answer(command: list[object], port: int, picture: Path) -> tuple[float, float]:
    """Seconds from process start to the first answer, and the process's resident memory then, in MB."""
    from gradio_client import Client, handle_file

    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(word) for word in command], **quiet)
    try:
        while not listening(port):
            if process.poll() is not None:
                sys.exit(f"bench: {command[1]} ended with {process.returncode} before it answered")
            time.sleep(0.02)
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        client.predict(handle_file(str(picture)), api_name="/predict")
        seconds = time.perf_counter() - started
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        return seconds, int(memory[1]) / 1024 if memory else float("nan")
    finally:
        process.terminate()
        process.wait()


def compare_predict(work: Path, rounds: int = 3) -> list[str]:
    """Time one prediction of a 1600 x 1200 JPEG, each side in a process of its own, in turn."""
    picture = write_photo(work)
    tutorial, spotter = [], []
    for _ in range(rounds):
        export = work / "tutorial" / "export.pkl"
        tutorial.append(
            json.loads(run([sys.executable, "-c", TUTORIAL_PREDICT, export, picture]).rpartition("RESULT")[2])
        )
        spotter.append(
            json.loads(run([sys.executable, "-c", SPOTTER_PREDICT, work / "store", picture]).rpartition("RESULT")[2])
        )
    return [row("One 1600 x 1200 JPEG (ms)", 1000 * statistics.median(tutorial), 1000 * statistics.median(spotter))]


def write_photo(work: Path) -> Path:
    """A 1600 x 1200 JPEG made from one of the pictures trained on."""
    path = work / "photo.jpg"
    if not path.exists():
        source = sorted((work / "data").rglob("*.jpg"))[0]
        Image.open(source).convert("RGB").resize((1600, 1200), Image.Resampling.BICUBIC).save(path, quality=92)
    return path


def run(command: list[object]) -> str:
    """Run a command and return what it printed; show its errors only if it fails."""
    print(
        "  " + " ".join(str(word).splitlines()[0] if str(word).strip() else "-c ..." for word in command)[:110],
        flush=True,
    )
    finished = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"bench: the command failed:\n{finished.stderr[-3000:]}")
    return finished.stdout


def listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
