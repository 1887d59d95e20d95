"""What page and API share: how long an answer took, and which answers are remembered."""

import asyncio
import os
import platform
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from spotter.inference.prediction import Prediction
from spotter.monitor.log import AnswerLog
from spotter.serve import service as module
from spotter.serve.service import AT_ONCE, Answer, AppOptions, ModelInfo, Service, withheld
from tests.helpers.pictures import BLUE, LABELS, encode, plain, predict_by_color

PICTURE = encode(plain(BLUE))


def test_the_time_that_an_answer_took_includes_the_wait_for_its_turn() -> None:
    begun, go_on = [], threading.Event()

    def predict(picture: Image.Image) -> Prediction:
        begun.append(picture)
        go_on.wait(240)
        return predict_by_color(picture)

    async def ask() -> list[Answer]:
        service = Service(predict, ModelInfo("Bears?", LABELS))
        asked = [asyncio.create_task(service.classify(PICTURE)) for _ in range(AT_ONCE + 1)]
        while len(begun) < AT_ONCE:
            await asyncio.sleep(0.01)
        time.sleep(0.1)
        go_on.set()
        return await asyncio.gather(*asked)

    *first, last = asyncio.run(ask())
    assert all(answer.timings_ms["predict"] >= 100 for answer in first)
    spans = last.timings_ms
    assert spans["total"] - spans["decode"] - spans["predict"] >= 100


def test_the_latest_pictures_are_remembered_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    with AnswerLog(tmp_path / "log", "r-1") as log:
        service = Service(predict_by_color, ModelInfo("Bears?", LABELS, options=AppOptions(log=log)))

        async def ask() -> list[str]:
            return [(await service.classify(path, "page")).id for path in paths]

        for path in paths:
            path.write_bytes(PICTURE)
        ids = asyncio.run(ask())
    assert len(set(ids)) == 3
    assert [service.logged(path) for path in paths] == ["", *ids[1:]]
    assert service.logged(tmp_path / "other.png") == ""


@pytest.mark.parametrize(("stage", "told"), [(None, True), ("gradual", True), ("shadow", False), ("supervised", False)])
def test_what_may_not_go_out_says_nothing_and_keeps_its_keys(stage: str | None, told: bool) -> None:
    prediction = predict_by_color(plain(BLUE))
    answer = Answer(prediction, {}, "id", stage)
    said = withheld(answer).prediction
    if told:
        assert said is prediction
    else:
        assert (said.label, said.closest, said.familiar, said.familiarity) == ("not sure", "not sure", False, 0.0)
        assert said.probabilities == dict.fromkeys(LABELS, 0.0)


on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory in other ways")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def given_back_mb(service: Service) -> float:
    """How much goes back with an answer, of 140 MB that are free, and that glibc keeps: after each 3 MB of them comes a
    block that is in use."""
    blocks = [bytearray(b"x" * 60_000) for _ in range(2400)]
    kept = blocks[::50]
    del blocks
    before = resident_mb()
    await service.classify(PICTURE)
    given = before - resident_mb()
    del kept
    return given


@on_glibc
def test_the_memory_of_pictures_is_given_back_where_nobody_waits_and_not_all_the_time() -> None:
    async def ask() -> tuple[float, float]:
        service = Service(predict_by_color, ModelInfo("Bears?", LABELS))
        return await given_back_mb(service), await given_back_mb(service)

    first, soon_after = asyncio.run(ask())
    assert first > 100
    assert soon_after < 40


@on_glibc
def test_nobody_waits_while_memory_is_given_back_for_another() -> None:
    go_on = threading.Event()

    def predict(picture: Image.Image) -> Prediction:
        if picture.size == (9, 9):
            go_on.wait(240)
        return predict_by_color(picture)

    async def ask() -> float:
        service = Service(predict, ModelInfo("Bears?", LABELS))
        waiting = asyncio.create_task(service.classify(encode(Image.new("RGB", (9, 9), BLUE))))
        await asyncio.sleep(0)
        found = await given_back_mb(service)
        go_on.set()
        await waiting
        return found

    assert asyncio.run(ask()) < 40
