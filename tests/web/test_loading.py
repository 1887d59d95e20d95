"""What does not load, and why: hostile models, broken downloads, and browsers that cannot run it."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from playwright.sync_api import Browser, Page
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from spotter.bundle.reading import read_bundle
from spotter.errors import BrokenModel
from spotter.inference.predictor import Predictor
from spotter.web.packing import STEPS
from tests.conftest import Revision
from tests.helpers.bundles import advising
from tests.helpers.drawing import draw, encode
from tests.helpers.site import WEB, SitePage, SiteServer, broken_off, change_site, reworded, seal, serving_site, told_by

NETWORK, REFERENCE, THUMBNAILS = "model.onnx", "reference.safetensors", "thumbnails.safetensors"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def caller(browser: Browser, small_site: Path) -> Iterator[SitePage]:
    """A page that loads what lies elsewhere: to open one anew doubles what a model costs that does not load."""
    page = browser.new_page()
    with serving_site(small_site) as server:
        caller = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        assert load_error(caller, small_site) == ("", "")
        yield caller
        page.close()


def load_error(caller: SitePage, site: Path, **settings: Any) -> tuple[str, str]:
    """What loading a site ends in: the class and the reason."""
    with serving_site(site, headers={"Access-Control-Allow-Origin": "*"}, **settings) as server:
        return told_by(lambda: caller.load(server.url()))


def load_error_at_home(
    page: Page, site: Path, prepare: str = "", path: str = "blank.html", **settings: Any
) -> tuple[str, str]:
    """The same, on a page of the site."""
    with serving_site(site, **settings) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url(path))
        if prepare:
            page.evaluate(prepare)
        return told_by(api.load)


# Hostile models


def reference(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], Files]:
    def make(revision: Path) -> Files:
        embeddings = load_tensors((revision / REFERENCE).read_bytes())["embeddings"].copy()
        return {REFERENCE: save_tensors({"embeddings": np.ascontiguousarray(change(embeddings))})}

    return make


def network(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], Files]:
    def make(revision: Path) -> Files:
        model = onnx.load_from_string((revision / NETWORK).read_bytes())
        change(model)
        return {NETWORK: model.SerializeToString()}

    return make


def times(output: str, factor: float) -> Callable[[onnx.ModelProto], None]:
    """Let an output be so many times as large."""

    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for names in (node.output, node.input):
                for place, name in enumerate(names):
                    if name == output:
                        names[place] = "as_it_was"
        factors = numpy_helper.from_array(np.array(factor, np.float32), "factor")
        model.graph.initializer.append(factors)
        model.graph.node.append(helper.make_node("Mul", ["as_it_was", "factor"], [output]))

    return change


def with_node(operator: str, domain: str = "") -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, ["pixels"], ["odd"], domain=domain))

    return change


def with_outside_weights(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")


def with_nan(model: onnx.ModelProto) -> None:
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.size > 8:
            changed = values.copy()
            changed.flat[3] = np.nan
            weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
            return


def without(output: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        (place,) = (number for number, each in enumerate(model.graph.output) if each.name == output)
        del model.graph.output[place]

    return change


HOSTILE: dict[str, Callable[[Path], Files]] = {
    "embeddings too long": reference(lambda rows: rows * 3),
    "embeddings that are no numbers": reference(lambda rows: rows * np.nan),
    "embeddings of other length": reference(lambda rows: np.ones((5, 1), np.float32)),
    "no embeddings": reference(lambda rows: rows[:0]),
    "embeddings of whole numbers": reference(lambda rows: np.eye(4, dtype=np.int64)),
    "embeddings in one row": reference(lambda rows: rows[0]),
    "no safetensors": lambda _: {REFERENCE: b"hello, this is no file of tensors"},
    "an empty reference": lambda _: {REFERENCE: b""},
    "no network": lambda _: {NETWORK: b"hello"},
    "half a network": lambda revision: {NETWORK: (revision / NETWORK).read_bytes()[:5000]},
    "a loop": network(with_node("Loop")),
    "an operator of nobody": network(with_node("Conv", "evil.example")),
    "weights in another file": network(with_outside_weights),
    "weights that are no numbers": network(with_nan),
    "probabilities that add up to 2": network(times("probabilities", 2.0)),
    "negative probabilities": network(times("probabilities", -1.0)),
    "answers of the network that are too long": network(times("embedding", 1.5)),
    "no embedding": network(without("embedding")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_python_refuses_of_a_model_is_refused(
    name: str, prebuilt: Revision, small_site: Path, caller: SitePage, tmp_path: Path
) -> None:
    files = HOSTILE[name](prebuilt.folder)
    revision = advising(prebuilt.folder, tmp_path / "revision")
    card = json.loads((change_site(small_site, tmp_path / "site", files) / "model" / "model.json").read_text())
    (revision / "model.json").write_text(json.dumps(card))
    for file, content in files.items():
        (revision / file).write_bytes(content)
    with pytest.raises(BrokenModel):
        Predictor(read_bundle(revision))
    assert load_error(caller, tmp_path / "site") == ("BrokenModel", "")


@pytest.mark.parametrize(
    "more",
    [
        {"format": 2},
        {"labels": ["disc", "disc", "cross"]},
        {"labels": ["disc", "cross"]},
        {"size": 100_000},
        {"threshold": 2},
        {"views": 10**6},
        {"examples": {"disc": "../../example.jpg"}},
    ],
    ids=str,
)
def test_what_python_refuses_of_a_card_is_refused(
    more: dict[str, Any], prebuilt: Revision, small_site: Path, caller: SitePage, tmp_path: Path
) -> None:
    with pytest.raises(BrokenModel):
        Predictor(read_bundle(advising(prebuilt.folder, tmp_path / "revision", **more)))
    assert load_error(caller, change_site(small_site, tmp_path / "site", **more)) == ("BrokenModel", "")


def test_thumbnails_of_nonsense_are_refused_when_they_are_shown(small_site: Path, page: Page, tmp_path: Path) -> None:
    with serving_site(change_site(small_site, tmp_path / "site", {THUMBNAILS: b"nonsense"})) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        assert told_by(lambda: api.ask("nearest", encode(draw("disc", 2)), 3)) == ("BrokenModel", "")
        assert api.ask("classify", encode(draw("disc", 2)))["closest"] == "disc"


# Broken downloads

PACKED = f"model/{NETWORK}.gz"


def altered(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize("path", ["model/model.json", PACKED, f"model/{REFERENCE}.gz"])
def test_a_file_that_is_changed_missing_or_cut(path: str, small_site: Path, caller: SitePage) -> None:
    content = (small_site / path).read_bytes()
    replies = [altered(content), 404]
    if path == PACKED:
        replies += [content[:-20], content + b"0" * 20, b""]
    for reply in replies:
        assert load_error(caller, small_site, replies={path: reply}) == ("BrokenModel", ""), reply
    broken = ("CannotRun", "no-network")
    assert load_error(caller, small_site, cut={path: len(content) // 2}) == broken
    assert load_error(caller, small_site, replies={path: 503}) == broken


def test_a_file_of_an_earlier_version_in_the_cache_is_fetched_again(small_site: Path, page: Page) -> None:
    stale = {path: altered((small_site / path).read_bytes()) for path in ("model/model.json", PACKED)}
    with serving_site(small_site, stale=stale, headers={"Cache-Control": "max-age=600"}) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        assert not server.stale


def test_another_model_of_the_same_names_is_refused(small_site: Path, caller: SitePage, tmp_path: Path) -> None:
    other = change_site(small_site, tmp_path / "other", summary="Never wrong.")
    model_json = (other / "model" / "model.json").read_bytes()
    assert load_error(caller, small_site, replies={"model/model.json": model_json}) == ("BrokenModel", "")
    seal(other, contents="0" * 40)
    assert load_error(caller, other) == ("BrokenModel", "")


@pytest.mark.parametrize("told", [b"", b"[]", b"{", b'{"format": 1}', b'{"format": 2, "files": {}}'])
def test_a_site_json_that_is_none(told: bytes, small_site: Path, caller: SitePage) -> None:
    assert load_error(caller, small_site, replies={"site.json": told}) == ("BrokenModel", "")


def test_what_unpacks_to_more_than_promised_is_stopped(small_site: Path, caller: SitePage, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(30_000_000), 9)
    site = Path(shutil.copytree(small_site, tmp_path / "site"))
    (site / PACKED).write_bytes(bomb)
    told = json.loads((site / "site.json").read_text())
    told["files"][PACKED]["bytes"] = len(bomb)
    (site / "site.json").write_text(json.dumps(told))
    assert load_error(caller, site) == ("BrokenModel", "")
    told["files"][PACKED]["unpacked"] = 2**40
    (site / "site.json").write_text(json.dumps(told))
    assert load_error(caller, site) == ("BrokenModel", "")


# The code of the network, of which a visit fetches what networks of ours run
USED, WHOLE = "ort/used.wasm.gz", "ort/ort-wasm-simd-threaded.wasm.gz"


def code_fetched(server: SiteServer) -> list[str]:
    return [path for path in server.asked if path.startswith("ort/") and path.endswith(".gz")]


def check_answer(page: Page, site: Path, predictor: Predictor) -> list[str]:
    """A site answers as Python does; what code it fetched for that."""
    content = encode(draw("cross", 5))
    with serving_site(site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        assert api.ask("classify", content)["probabilities"] == pytest.approx(
            predictor.predict(content).probabilities, abs=1e-3
        )
    return code_fetched(server)


def test_the_code_that_a_network_of_ours_runs_is_enough(small_site: Path, page: Page) -> None:
    with serving_site(small_site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        for number in range(3):
            content = encode(draw("disc", number))
            assert api.ask("classify", content)["closest"] == "disc"
            api.ask("explain", content)
            api.ask("nearest", content, 3)
        assert code_fetched(server) == [USED]


def with_odd_arithmetic(model: onnx.ModelProto) -> None:
    """Let the probabilities go through two functions that undo each other, and that no network of ours has."""
    times("probabilities", 1.0)(model)
    *_, product = model.graph.node
    (product.output[0],) = ("before",)
    model.graph.node.append(helper.make_node("Sinh", ["before"], ["between"]))
    model.graph.node.append(helper.make_node("Asinh", ["between"], ["probabilities"]))


def with_odd_numbers(model: onnx.ModelProto) -> None:
    """Let the probabilities be multiplied as numbers of eight bytes: ours have none of that kind."""
    times("probabilities", 1.0)(model)
    *_, product = model.graph.node
    (initializer,) = (each for each in model.graph.initializer if each.name == "factor")
    initializer.CopyFrom(numpy_helper.from_array(np.array(1.0), "factor"))
    product.input[0], product.output[0] = "wide", "product"
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Cast", ["as_it_was"], ["wide"], to=onnx.TensorProto.DOUBLE)
    )
    model.graph.node.append(helper.make_node("Cast", ["product"], ["probabilities"], to=onnx.TensorProto.FLOAT))


@pytest.mark.parametrize(
    "change", [with_odd_arithmetic, with_odd_numbers], ids=["an operator left out", "a function left out"]
)
def test_a_network_that_needs_more_code_gets_all_of_it(
    change: Callable[[onnx.ModelProto], None],
    prebuilt: Revision,
    small_site: Path,
    page: Page,
    predictor: Predictor,
    tmp_path: Path,
) -> None:
    site = change_site(small_site, tmp_path / "site", network(change)(prebuilt.folder))
    assert check_answer(page, site, predictor) == [USED, WHOLE]


NOTHING = f"""
import {{ gunzipSync, gzipSync }} from "node:zlib";
import {{ readFileSync, writeFileSync }} from "node:fs";
import {{ trim }} from {json.dumps((WEB / "trim.mjs").as_uri())};
const [, whole, part] = process.argv;
writeFileSync(part, gzipSync(trim(gunzipSync(readFileSync(whole)), [])));
"""


def test_code_that_cannot_even_start_is_no_loss(
    small_site: Path, page: Page, predictor: Predictor, tmp_path: Path
) -> None:
    if not (node := shutil.which("node")):
        pytest.skip("node is not on this machine")
    site = shutil.copytree(small_site, tmp_path / "site")
    subprocess.run([node, "--input-type=module", "-e", NOTHING, site / WHOLE, site / USED], check=True)
    seal(site)
    assert check_answer(page, site, predictor) == [USED, WHOLE]


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["packed", "unpacked"])
def test_code_that_was_changed_is_refused(
    pack: Callable[[bytes], bytes], small_site: Path, page: Page, tmp_path: Path
) -> None:
    reply = pack(reworded(gzip.decompress((small_site / USED).read_bytes())))
    with serving_site(small_site, replies={USED: reply}) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        assert told_by(api.load) == ("BrokenModel", "")
        # It may have been the browser's own copy.
        assert code_fetched(server) == [USED, USED]
        server.replies[USED] = pack(gzip.decompress((small_site / USED).read_bytes()))
        assert api.load()["labels"]
    # Sites of before do not tell a hash of it.
    before = Path(shutil.copytree(small_site, tmp_path / "before"))
    told = json.loads((before / "site.json").read_text())
    for entry in told["files"].values():
        entry.pop("unpacked_sha256", None)
    (before / "site.json").write_text(json.dumps(told))
    assert load_error_at_home(page, before, replies={USED: reply}) == ("", "")


def test_code_of_an_earlier_version_in_the_cache_is_fetched_again(small_site: Path, page: Page) -> None:
    stale = {USED: gzip.compress(reworded(gzip.decompress((small_site / USED).read_bytes())))}
    headers = {"Cache-Control": "max-age=600"}
    assert load_error_at_home(page, small_site, stale=stale, headers=headers) == ("", "")
    assert not stale


@pytest.mark.parametrize("path", ["worker.js", "ort/start.mjs", "ort/ort-wasm-simd-threaded.mjs"])
def test_a_script_that_is_changed_missing_or_cut(path: str, small_site: Path, page: Page) -> None:
    content = (small_site / path).read_bytes()
    for reply in (broken_off(content), b"export {};" if path == "ort/start.mjs" else b"}" + content, 404):
        assert load_error_at_home(page, small_site, replies={path: reply}) == ("BrokenModel", ""), reply
    broken = ("CannotRun", "no-network")
    assert load_error_at_home(page, small_site, cut={path: len(content) // 2}) == broken
    assert load_error_at_home(page, small_site, replies={path: 503}) == broken


def test_no_server(small_site: Path, page: Page) -> None:
    with serving_site(small_site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        with serving_site(small_site) as other:
            gone = other.url()
        assert told_by(lambda: api.load(gone)) == ("CannotRun", "no-network")


def test_it_tells_how_much_is_here(small_site: Path, page: Page) -> None:
    for unpacks in (False, True):
        with serving_site(small_site, unpacks=unpacks) as server:
            api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
            assert api.load()["title"]
            told = page.evaluate("progress")
            assert told == sorted(told)
            assert told[-1][0] == told[-1][1] > 1_000_000


# Browsers


def test_a_compilation_that_never_ends_is_done_once_more(page: Page, small_site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(small_site, tmp_path / "site")
    # As Firefox does now and then.
    never = "WebAssembly.compile = () => new Promise(() => undefined);"
    (site / "worker.js").write_text(never + (site / "worker.js").read_text())
    with serving_site(site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        assert api.load()["labels"]
        assert api.ask("selfTest")["agrees"]


WITHOUT = {
    "no-wasm": "delete globalThis.WebAssembly",
    "no-simd": "void (WebAssembly.validate = () => false)",
    "insecure": "Object.defineProperty(crypto, 'subtle', { value: undefined })",
    "no-worker": "delete globalThis.Worker",
}


@pytest.mark.parametrize("reason", WITHOUT)
def test_a_browser_that_lacks_something_is_told_what(reason: str, small_site: Path, page: Page) -> None:
    assert load_error_at_home(page, small_site, WITHOUT[reason]) == ("CannotRun", reason)


def test_a_page_that_forbids_it_is_told_so(small_site: Path, page: Page) -> None:
    policy = {"Content-Security-Policy": "script-src 'self'"}
    assert load_error_at_home(page, small_site, headers=policy) == ("CannotRun", "no-wasm")
    policy = {"Content-Security-Policy": "script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'"}
    assert load_error_at_home(page, small_site, headers=policy) == ("CannotRun", "no-worker")


def test_the_policy_of_our_own_page_is_enough(small_site: Path, page: Page) -> None:
    assert load_error_at_home(page, small_site, path="index.html") == ("", "")


def test_a_page_of_another_origin(small_site: Path, page: Page, predictor: Predictor) -> None:
    content = encode(draw("cross", 5))
    with (
        serving_site(small_site, headers={"Access-Control-Allow-Origin": "*"}) as server,
        serving_site(small_site) as foreign,
    ):
        api = SitePage(page, server.url("spotter.js")).open(foreign.url("blank.html", "localhost"))
        api.load()
        assert api.ask("classify", content)["probabilities"] == pytest.approx(
            predictor.predict(content).probabilities, abs=1e-3
        )


def test_a_reference_of_rounded_numbers_is_put_back_into_its_order(
    prebuilt: Revision, small_site: Path, page: Page, predictor: Predictor, tmp_path: Path
) -> None:
    rounded = reference(lambda rows: np.rint(rows * STEPS).astype(np.float32) / np.float32(STEPS))
    site = change_site(small_site, tmp_path / "site", rounded(prebuilt.folder))
    assert json.loads((site / "site.json").read_text())["files"][f"model/{REFERENCE}.gz"]["steps"] == STEPS
    content = encode(draw("cross", 5))
    with serving_site(site) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        api.load()
        familiarity = api.ask("classify", content)["familiarity"]
    # A hundredth of a step in each of many numbers.
    assert familiarity == pytest.approx(predictor.predict(content).familiarity, abs=1e-3)


def test_several_threads_on_an_isolated_page(small_site: Path, page: Page, predictor: Predictor) -> None:
    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    content = encode(draw("cross", 5))
    with serving_site(small_site, headers=isolated) as server:
        api = SitePage(page, server.url("spotter.js")).open(server.url("blank.html"))
        assert page.evaluate("crossOriginIsolated")
        api.load(threads=2)
        assert api.ask("classify", content)["probabilities"] == pytest.approx(
            predictor.predict(content).probabilities, abs=1e-3
        )
