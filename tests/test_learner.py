import subprocess
import sys
from pathlib import Path

import pytest

from spotter.predictor import Predictor
from tests.conftest import Published

OUTSIDER = """
import sys
from fastai.vision.all import load_learner
learn = load_learner(sys.argv[1])
label, index, probabilities = learn.predict(sys.argv[2])
assert not any(name.partition(".")[0] == "spotter" for name in sys.modules)
print(label, *learn.dls.vocab, *[f"{p:.6f}" for p in probabilities.tolist()])
learn.dls.test_dl([sys.argv[2]])
"""


def test_the_pickle_is_an_ordinary_fastai_learner(published: Published, tmp_path: Path) -> None:
    picture = published.folder / "example-2.jpg"
    command = [sys.executable, "-W", "ignore", "-c", OUTSIDER, str(published.folder / "export.pkl"), str(picture)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    label, *rest = finished.stdout.split()[-7:]
    prediction = Predictor.load(published.store).predict(picture)
    assert label == prediction.label == "cross"
    assert rest[:3] == ["disc", "cross", "stripes"]
    assert [float(value) for value in rest[3:]] == pytest.approx(list(prediction.probabilities.values()), abs=1e-3)


def test_features_are_cached(published: Published) -> None:
    caches = list(published.data.rglob("features/*.safetensors"))
    assert len(caches) == 1
    assert caches[0].name.startswith("tf_efficientnet_lite0-224-")
