"""Rounds the weights of a pretrained network, once, before anything is learnt on it.

Training, `export.pkl`, ONNX and the browser then all use the same rounded numbers, and these pack to less than half.
"""

import numpy as np
import torch
from torch import nn

# As many as bfloat16 has: the two lower bytes of each weight are 0.
SIGNIFICANT_BITS = 8


def fold_and_round(model: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, and round the convolutions' weights.

    The normalisations stay, and then only add. They have to be folded first, as an export to ONNX folds them, and
    products of rounded numbers are not rounded.

    Args:
        model: changed in place. Each of its convolutions is without bias, and followed by a normalisation.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for convolution, norm in zip(convolutions, norms, strict=True):
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
            folded = convolution.weight.double() * scale.view(-1, 1, 1, 1)
            convolution.weight.copy_(torch.from_numpy(round_to_bits(folded.numpy())))
            norm.bias.copy_(norm.bias.double() - mean.double() * scale)
            norm.weight.fill_(1)
            mean.fill_(0)
            # So that it divides by exactly 1.
            variance.fill_(1 - norm.eps)


def round_to_bits(values: np.ndarray, bits: int = SIGNIFICANT_BITS) -> np.ndarray:
    """The nearest numbers with so many significant bits, of any shape."""
    fractions, exponents = np.frexp(values)
    return np.ldexp(np.rint(fractions * 2**bits), exponents - bits)
