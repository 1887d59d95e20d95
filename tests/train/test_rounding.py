"""The packaged backbone is rounded before anything is learnt on it, and to tune it starts from what it was."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fastai.vision.learner import TimmBody
from onnx import numpy_helper
from timm.layers import BatchNormAct2d
from torch import nn

from spotter.config import TrainConfig
from spotter.train.backbone import load_backbone
from spotter.train.body import (
    SIGNIFICANT_BITS,
    FeatureNetwork,
    fold_and_round,
    load_modules,
    load_modules_to_tune,
    round_to_bits,
)
from spotter.train.export import ServingNetwork, export_serving
from spotter.train.features import Backbone


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(TrainConfig())


def test_numbers_keep_so_many_bits() -> None:
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-20, 20).repeat(25)
    rounded = round_to_bits(values)
    assert (rounded.astype(np.float32) == rounded).all()
    assert not (rounded.astype("<f4").view("<u4") & (2 ** (24 - SIGNIFICANT_BITS) - 1)).any()
    assert (np.abs(rounded - values) <= np.abs(values) * 2.0**-SIGNIFICANT_BITS).all()
    assert np.array_equal(round_to_bits(rounded), rounded)
    assert np.array_equal(round_to_bits(np.array([0.0, -1.0, 1e-30])), [0, -1, round_to_bits(np.array(1e-30))])


def test_folding_alone_changes_no_answer() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, bias=False),
        BatchNormAct2d(8, eps=1e-3),
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.get_buffer("running_mean"))
            nn.init.uniform_(module.get_buffer("running_var"), 0.1, 3)
    pixels = torch.randn(2, 3, 9, 9)
    with torch.inference_mode():
        before = network.eval()(pixels)
        fold_and_round(network)
        after = network(pixels)
    # Of each product a 512th at most.
    assert torch.allclose(before, after, atol=0.03)
    assert not torch.equal(before, after)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.get_buffer("running_var") + module.eps, torch.ones(8))


def test_what_is_written_holds_the_rounded_weights(backbone: Backbone, tmp_path: Path) -> None:
    body, pool = load_modules(backbone)
    mine = [module.weight.detach().numpy() for module in body.modules() if isinstance(module, nn.Conv2d)]
    head = nn.Linear(backbone.width, 2)
    features = FeatureNetwork(body, nn.Sequential(pool, nn.Flatten()), torch.zeros(3), torch.ones(3), backbone.size)
    path = tmp_path / "model.onnx"
    export_serving(ServingNetwork(features, head, True), path, backbone.size)
    assert len(mine) == 49
    for content in (backbone.body.onnx, path.read_bytes()):
        written = {numpy_helper.to_array(each).tobytes() for each in onnx.load_from_string(content).graph.initializer}
        assert {weight.tobytes() for weight in mine} <= written
    assert not any((weight.view(np.uint32) & 0xFFFF).any() for weight in mine)


def test_tuning_starts_from_the_pretrained_network(backbone: Backbone) -> None:
    body, pool = load_modules_to_tune(backbone)
    assert isinstance(body, TimmBody)
    frozen = load_modules(backbone)[0].state_dict()
    own = body.state_dict()
    assert list(own) == list(frozen)
    variance = "model.bn1.running_var"
    assert len(own[variance].unique()) > 1 == len(frozen[variance].unique())
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        given, rounded = pool(body(pixels)).flatten(), pool(load_modules(backbone)[0](pixels)).flatten()
    assert torch.nn.functional.cosine_similarity(given, rounded, dim=0) > 0.99
    assert not torch.equal(given, rounded)
