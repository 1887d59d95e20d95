"""Explanations: where in a picture the evidence for a label lies, drawn over it as a heat map."""

import numpy as np
from PIL import Image

COLOUR = (255, 120, 0)
STRONGEST = 0.65
UNSEEN = 0.45


def draw_evidence(picture: Image.Image, evidence: np.ndarray, box: tuple[int, int, int, int]) -> Image.Image:
    """Lay evidence over a picture: orange where it speaks for the label, dim where the network did not look.

    Args:
        picture: RGB. evidence: float (h, w), over `box`: (left, top, right, bottom) in pixels of the picture.

    Returns:
        A picture of the same size.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    left, top, right, bottom = box
    positive = np.clip(evidence, 0, None).astype(np.float32)
    strength = positive / positive.max() if positive.max() > 0 else positive
    smooth = Image.fromarray(strength).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    seen = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    # Where the box reaches beyond the picture, its evidence is about padding.
    smooth = smooth.crop((seen[0] - left, seen[1] - top, seen[2] - left, seen[3] - top))
    alpha = STRONGEST * np.clip(np.asarray(smooth), 0, 1)[..., None]
    drawn = pixels * (1 - UNSEEN)
    inside = (slice(seen[1], seen[3]), slice(seen[0], seen[2]))
    drawn[inside] = pixels[inside] * (1 - alpha) + np.array(COLOUR, dtype=np.float32) * alpha
    return Image.fromarray(drawn.round().astype(np.uint8))
