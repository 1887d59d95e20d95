import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spotter.config import TrainConfig
from spotter.errors import TrainingFailed
from spotter.learner import fit_head, negative_log_likelihood, softmax
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


def blobs(classes: int, per_class: int = 40, features: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(size=(classes, features))
    points = centres[targets] + rng.normal(size=(len(targets), features)) * 2
    return points.astype(np.float32), targets, np.arange(len(targets)) % 5


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_head_learns_and_its_folds_are_honest(classes: int) -> None:
    features, targets, folds = blobs(classes)
    head, held_out = fit_head(features, targets, folds, TrainConfig())
    assert head.weight.shape == (classes, 64)
    own = head.probabilities(features)
    assert own.sum(axis=1) == pytest.approx(np.ones(len(own)))
    assert (own.argmax(axis=1) == targets).mean() > 0.95
    assert (held_out.argmax(axis=1) == targets).mean() > 0.8
    # A head that has seen a picture is surer of it: were these equal, a fold would have leaked.
    assert negative_log_likelihood(own, targets) < negative_log_likelihood(held_out, targets)


def test_labels_without_meaning_cannot_be_learnt() -> None:
    features, targets, folds = blobs(2)
    shuffled = np.random.default_rng(1).permutation(targets)
    _, held_out = fit_head(features, shuffled, folds, TrainConfig())
    assert 0.3 < (held_out.argmax(axis=1) == shuffled).mean() < 0.7
    assert negative_log_likelihood(held_out, shuffled) < 0.8


def test_features_that_are_no_numbers_are_told() -> None:
    features, targets, folds = blobs(2)
    features[3, 3] = np.nan
    with pytest.raises(TrainingFailed, match="not numbers"):
        fit_head(features, targets, folds, TrainConfig())


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([[1000.0, 0.0]])) == pytest.approx(np.array([[1.0, 0.0]]))


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
