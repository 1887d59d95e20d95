"""Explanations: where in a picture the evidence for a label lies, drawn over it as a heat map."""

import numpy as np
from PIL import Image

COLOUR = (255, 120, 0)
STRONGEST = 0.65
UNSEEN = 0.45
# Of the longest side, each of a frame's two lines takes so much.
LINES = 192


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


def draw_frame(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Draw a frame along the inside of a box: black, and white within, so that it shows on what is dark or bright.

    Args:
        picture: RGB. box: (left, top, right, bottom) in pixels, inside of the picture.

    Returns:
        A picture of the same size.
    """
    drawn = np.array(picture)
    left, top, right, bottom = box
    line = max(1, min(max(2, max(picture.size) // LINES), (right - left) // 6, (bottom - top) // 6))
    inside = (slice(top + 2 * line, max(0, bottom - 2 * line)), slice(left + 2 * line, max(0, right - 2 * line)))
    kept = drawn[inside].copy()
    drawn[top:bottom, left:right] = 0
    drawn[top + line : bottom - line, left + line : right - line] = 255
    drawn[inside] = kept
    return Image.fromarray(drawn)
