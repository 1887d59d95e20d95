import io
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from spotter.bundle.format import SERVING_FILES
from spotter.bundle.reading import read_bundle
from spotter.config import ParityConfig
from spotter.errors import ParityError
from spotter.images import load_picture
from spotter.inference.predictor import Predictor
from spotter.publish.parity import check_parity, parity_pictures
from spotter.train.export import PART, predict_with_pickle
from tests.conftest import Revision


def constant(*row: float):
    def answer(pictures: Sequence[Image.Image]) -> np.ndarray:
        return np.tile(np.array(row), (len(pictures), 1))

    return answer


@pytest.fixture(scope="module")
def pictures(prebuilt: Revision) -> list[bytes]:
    return parity_pictures(sorted(prebuilt.pictures.glob("*/*")))


def test_parity_pictures_vary(pictures: list[bytes]) -> None:
    assert len(pictures) >= ParityConfig().min_pictures == 64
    opened = [Image.open(io.BytesIO(content)) for content in pictures]
    assert {"RGB", "RGBA", "L", "LA", "P", "1", "CMYK"} <= {picture.mode for picture in opened}
    assert {picture.getexif().get(0x0112) for picture in opened} >= set(range(1, 9))
    assert len({picture.size for picture in opened}) >= 8
    assert all(load_picture(content).mode == "RGB" for content in pictures)


def test_the_published_files_answer_like_fastai(prebuilt: Revision, pictures: list[bytes]) -> None:
    report = check_parity(
        lambda decoded: predict_with_pickle(prebuilt.folder / "export.pkl", decoded),
        Predictor(read_bundle(prebuilt.folder)).probabilities,
        pictures,
    )
    assert report.pictures >= 64
    assert report.largest_difference < 1e-3


def test_the_gate_holds_few_decoded_pictures_at_a_time(prebuilt: Revision, pictures: list[bytes]) -> None:
    alive: list[weakref.ref[Image.Image]] = []
    most = 0

    def decode(content: bytes) -> Image.Image:
        nonlocal most
        picture = load_picture(content)
        alive.append(weakref.ref(picture))
        most = max(most, sum(each() is not None for each in alive))
        return picture

    answers = predict_with_pickle(prebuilt.folder / "export.pkl", map(decode, pictures))
    assert len(answers) == len(pictures) == len(alive)
    assert most <= PART < len(pictures) / 2


def test_the_gate_refuses_differences(pictures: list[bytes]) -> None:
    good = constant(0.5, 0.3, 0.2)
    assert check_parity(good, good, pictures).largest_difference == 0
    with pytest.raises(ParityError, match=r"differ by up to 0\.002"):
        check_parity(good, constant(0.502, 0.298, 0.2), pictures)
    with pytest.raises(ParityError, match="other labels"):
        check_parity(constant(0.4001, 0.3999, 0.2), constant(0.3999, 0.4001, 0.2), pictures)
    with pytest.raises(ParityError, match="nan"):
        check_parity(good, constant(float("nan"), 0.3, 0.2), pictures)
    with pytest.raises(ParityError, match="shape"):
        check_parity(good, constant(0.5, 0.5), pictures)
    with pytest.raises(ParityError, match="needs 64 pictures"):
        check_parity(good, good, pictures[:10])


def test_serving_needs_no_pickle(prebuilt: Revision, tmp_path) -> None:
    for name in SERVING_FILES:
        (tmp_path / name).write_bytes((prebuilt.folder / name).read_bytes())
    assert Predictor(read_bundle(tmp_path)).labels == ("disc", "cross", "stripes")
