"""From a published model to a running Space: which files it needs, its card, the smoke test, and the way back."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from gradio_client import Client, handle_file
from huggingface_hub import SpaceCardData
from PIL import Image

from spotter.bundle.format import INT8_ONNX, METRICS, SERVING_FILES, THUMBNAILS, ModelSpec
from spotter.config import HUB
from spotter.deploy.serving_files import APP, REQUIREMENTS, SPACE_VERSIONS, serving_files
from spotter.deploy.space_repo import CPU, GRADIO, ZERO_GPU, SpaceRepo, SpaceState
from spotter.errors import SpaceFailed, SpotterError
from spotter.inference.predictor import Predictor
from spotter.utils.files import temporary_folder
from spotter.utils.text import escape_markdown, in_one_line

CARD, ZERO_APP = "README.md", "app_zero.py"
STORE, REVISION, CONTENTS, INT8 = VARIABLES = ("MODEL_STORE", "MODEL_REVISION", "MODEL_CONTENTS", "MODEL_INT8")
PYTHON = "3.12"
# The versions that ZeroGPU offers are few.
ZERO_PYTHON = "3.12.12"
LONGEST_DESCRIPTION = 60
# What the cards of all our Spaces say.
LOOK: dict[str, object] = {
    "emoji": "🔎",
    "colorFrom": "green",
    "colorTo": "gray",
    "license": "apache-2.0",
    "tags": ["image-classification", "spotter"],
}
BUILD_PATIENCE_S = 1200.0
SMOKE_PATIENCE_S = 180.0
ANSWER_PATIENCE_S = 60.0
# For the answer to one request, however short the patience with all of them.
REQUEST_S = 10.0
# Of probabilities. An int8 network rounds between its layers, and another processor may round up what this rounds down.
TOLERANCE, INT8_TOLERANCE = 0.01, 0.05


@dataclass(frozen=True)
class Plan:
    """What a Space will hold: its files by name, its variables, and its hardware."""

    files: Mapping[str, bytes]
    variables: Mapping[str, str]
    hardware: str


def plan_space(root: Path, store: str, predictor: Predictor, hardware: str = CPU, int8: bool = False) -> Plan:
    """Gather what a Space needs to serve a model.

    Args:
        root: of the checkout. store: `hf://owner/name`. predictor: the model, with its revision.
        int8: serve its int8 network, which `predictor` has then.
    """
    revision = str(predictor.revision)
    files = {name: (root / name).read_bytes() for name in serving_files(root)}
    # A Space gives pip packages of its own beside this file, so it can hold no hashes.
    files[REQUIREMENTS] = (root / SPACE_VERSIONS).read_bytes()
    if hardware == ZERO_GPU:
        files[ZERO_APP] = _ZERO_APP.encode()
    examples = tuple(sorted(path.name for path in predictor.examples.values()))
    pins = pinned(files[REQUIREMENTS].decode())
    page = [name for name, there in ((METRICS, predictor.metrics), (THUMBNAILS, predictor.thumbnails)) if there]
    files[CARD] = _space_card(predictor.card, store, revision, [*examples, *page], pins["gradio"], hardware).encode()
    pinned_contents = {CONTENTS: predictor.contents} if predictor.contents else {}
    variables = {STORE: store, REVISION: revision, **pinned_contents, **({INT8: "1"} if int8 else {})}
    return Plan(files, variables, hardware)


def pinned(requirements: str) -> dict[str, str]:
    """Name -> version of each `name==version` line."""
    return dict(re.findall(r"^([\w-]+)==(\S+)$", requirements, re.MULTILINE))


def deploy(
    space: SpaceRepo,
    plan: Plan,
    before: SpaceState | None,
    predictor: Predictor,
    say: Callable[[str], None],
    *,
    build_patience_s: float = BUILD_PATIENCE_S,
    smoke_patience_s: float = SMOKE_PATIENCE_S,
) -> str:
    """Put a plan on a Space, wait for it, and try it; put back what was there if it fails. Return its address.

    Raises:
        SpaceFailed: it does not run or does not answer as the model does here; what was there before is back.
        PaymentRequired, AccessRefused, StoreUnreachable, StoreUnwritable, LostRace: the Hub does not take it.
    """
    instead = choices(plan)
    if before is None:
        space.create(plan.hardware, instead)
    elif space.hardware() != plan.hardware:
        space.move(plan.hardware, instead)
    title = f"Serve {plan.variables[STORE]} {plan.variables[REVISION][:7]}"
    commit = None
    try:
        space.set_variables(plan.variables, before.variables if before else {})
        commit = space.push(plan.files, before, title)
        url = space.wait(commit, build_patience_s, say)
        check_answers(url, predictor, smoke_patience_s, INT8_TOLERANCE if INT8 in plan.variables else TOLERANCE)
    except SpotterError as error:
        told = f"{str(error).rstrip('.')}; {put_back(space, before, commit, VARIABLES)}."
        raise (SpaceFailed if commit else type(error))(told) from error
    return url


def put_back(space: SpaceRepo, before: SpaceState | None, failed: str | None, variables: Sequence[str]) -> str:
    """Put back what was there, and say what came of it.

    Args:
        failed: the commit that does not run, if there is one. variables: those that were set.
    """
    if before is None:
        return "there is nothing from before to put back, so it stays as it is"
    try:
        space.restore(before, failed, variables)
    except SpotterError as error:
        why = str(error).rstrip(".")
        return f"what was there before could not be put back ({why})"
    what = " and ".join([*(["files"] if failed else []), *(["settings"] if variables else [])])
    return f"the {what} from before ({before.commit[:7]}) are back"


def check_answers(
    url: str, predictor: Predictor, patience_s: float = SMOKE_PATIENCE_S, tolerance: float = TOLERANCE
) -> None:
    """Try a running app: the revision, the page, and through the Gradio client what it answers to example pictures.

    Args:
        predictor: the same model here, to compare with. tolerance: how far probabilities may differ.

    Raises:
        SpaceFailed: it answers nothing, or something else.
    """
    _wait_for_revision(url, str(predictor.revision), patience_s)
    try:
        page = httpx2.get(f"{url}/", timeout=30)
        if page.status_code != 200 or "gradio" not in page.text:
            raise SpaceFailed(f"{url} shows no page (HTTP {page.status_code}).")
        # Left to itself, it would show the Space the token of whoever deploys.
        client = Client(
            url,
            token=False,  # type: ignore[arg-type]
            verbose=False,
            download_files=False,
            analytics_enabled=False,
            httpx_kwargs={"timeout": ANSWER_PATIENCE_S},
        )
        with temporary_folder() as folder:
            for path in _pictures(predictor, folder):
                expected = predictor.predict(path)
                answer = _ask(client, path)
                _compare(url, answer, expected.label, expected.probabilities, tolerance)
    except SpotterError:
        raise
    except Exception as error:
        # Gradio's client may raise anything at a page that may be anything, and then the old one has to come back.
        raise SpaceFailed(f"{url} does not answer as it should ({type(error).__name__}).") from error


def _ask(client: Client, path: Path) -> dict:
    job = client.submit(handle_file(str(path)), api_name="/predict")
    try:
        return job.result(ANSWER_PATIENCE_S)
    except TimeoutError:
        # Its threads would go on listening, and this process never end.
        job.cancel()
        raise


def choices(plan: Plan) -> str:
    """What remains when the Hub wants money, in words."""
    store = plan.variables[STORE]
    static = "--static (free: the visitor's browser does the work)"
    zero = (
        []
        if plan.hardware == ZERO_GPU
        else [f"--hardware {ZERO_GPU} (free for two Spaces of an account that is 30 days old)"]
    )
    others = ["a PRO plan", "the Dockerfile on another host", f"spotter serve --model {store} on your own machine"]
    return f"what remains: {', '.join([static, *zero, *others[:-1]])}, or {others[-1]}"


def _wait_for_revision(url: str, revision: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            health = httpx2.get(f"{url}/readyz", timeout=REQUEST_S).json()
            found = health.get("revision")
            told = f"serves the revision {found}, not {revision}"
            if "problem" in health:
                told = f"says: {health['problem']}"
        except (httpx2.HTTPError, ValueError, AttributeError):
            found, told = None, "does not answer at /readyz"
        if found == revision:
            return
        # A restart for new variables takes a while, and until then the old app answers.
        if time.monotonic() >= deadline:
            raise SpaceFailed(f"{url} {told.rstrip('.')}.")
        time.sleep(min(1.0, patience_s / 10))


def _pictures(predictor: Predictor, folder: Path) -> Sequence[Path]:
    if predictor.examples:
        return sorted(predictor.examples.values())
    path = folder / "gradient.png"
    Image.merge("RGB", [Image.linear_gradient("L").rotate(turn) for turn in (0, 90, 180)]).save(path)
    return [path]


def _compare(url: str, answer: dict, label: str, probabilities: Mapping[str, float], tolerance: float) -> None:
    given = {row["label"]: row["confidence"] for row in answer["confidences"]}
    differs = given.keys() != probabilities.keys() or any(abs(given[k] - probabilities[k]) > tolerance for k in given)
    if answer["label"] != label or differs:
        raise SpaceFailed(f"{url} answers {str(answer['label'])[:60]!r} where the model here answers {label!r}.")


def _space_card(card: ModelSpec, store: str, revision: str, more: Sequence[str], gradio: str, hardware: str) -> str:
    repo = store.removeprefix(HUB)
    is_zero = hardware == ZERO_GPU
    int8 = [INT8_ONNX] if card.int8 else []
    return space_card(
        card,
        store,
        revision,
        sdk=GRADIO,
        sdk_version=gradio,
        python_version=ZERO_PYTHON if is_zero else PYTHON,
        app_file=ZERO_APP if is_zero else APP,
        preload_from_hub=[f"{repo} {','.join([*SERVING_FILES, *int8, *more])} {revision}"],
    )


def space_card(card: ModelSpec, store: str, revision: str, **settings: object) -> str:
    """The card of a Space that serves a revision, with settings of its kind."""
    repo = store.removeprefix(HUB)
    title = in_one_line(card.title)
    examples = sorted(card.examples.values())
    described = f"Tells apart {', '.join(card.labels)}"
    if len(described) > LONGEST_DESCRIPTION:
        described = f"Tells {len(card.labels)} things apart, or says that it is not sure"
    thumbnail = f"https://huggingface.co/{repo}/resolve/{revision}/{examples[0]}" if examples else None
    data = SpaceCardData(
        title=title,
        short_description=described,
        thumbnail=thumbnail,
        models=[repo],
        **LOOK | settings,  # type: ignore[arg-type]
    )
    link = f"https://huggingface.co/{repo}/tree/{revision}"
    return f"---\n{data.to_yaml()}\n---\n\n# {escape_markdown(title)}\n\nServes [{repo}]({link}), with Spotter.\n"


_ZERO_APP = '''"""The app on ZeroGPU, which wants to see a function for its graphics card. The app itself needs none."""

import sys

import spaces
from spaces import zero

import app


@spaces.GPU
def use_no_card() -> None:
    """Never called."""


if __name__ == "__main__":
    # Gradio's launch() would say that all is well; the app has a server of its own.
    if hasattr(zero, "startup"):
        zero.startup()
    sys.exit(app.main())
'''
