"""Drawing where in a picture the evidence for a label lies."""

import numpy as np
from PIL import Image

COLOUR = (255, 120, 0)
STRONGEST = 0.65
UNSEEN = 0.45


def draw_evidence(picture: Image.Image, evidence: np.ndarray) -> Image.Image:
    """Lay evidence over a picture: orange where it speaks for the label, dim where the network did not look.

    Args:
        picture: RGB. evidence: float (h, w), over the largest centred square of the picture.

    Returns:
        A picture of the same size.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    positive = np.clip(evidence, 0, None).astype(np.float32)
    strength = positive / positive.max() if positive.max() > 0 else positive
    smooth = Image.fromarray(strength).resize((side, side), Image.Resampling.BICUBIC)
    alpha = STRONGEST * np.clip(np.asarray(smooth), 0, 1)[..., None]
    drawn = pixels * (1 - UNSEEN)
    square = (slice(top, top + side), slice(left, left + side))
    drawn[square] = pixels[square] * (1 - alpha) + np.array(COLOUR, dtype=np.float32) * alpha
    return Image.fromarray(drawn.round().astype(np.uint8))
