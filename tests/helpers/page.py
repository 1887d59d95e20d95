"""A page with everything on it, over a stand-in for the model."""

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from spotter.bundle.thumbnails import Thumbnail
from spotter.inference.prediction import Prediction
from spotter.inference.predictor import Neighbour
from spotter.serve.about import About, ClassRow
from spotter.serve.service import AppOptions, ModelInfo
from tests.helpers.pictures import BLUE, GREEN, LABELS, RED, encode, plain, predict_by_color


def explain(picture: Image.Image) -> Image.Image:
    drawn = picture.copy()
    ImageDraw.Draw(drawn).ellipse((10, 10, 40, 40), fill=(255, 120, 0))
    return drawn


def nearest(picture: Image.Image, count: int) -> list[Neighbour]:
    evil = '"><img src=x onerror=alert(1)>'
    thumbnails = [
        Thumbnail(
            encode(plain(RED, (40, 30)), "JPEG"), "grizzly", "Ann Bär", "CC-BY-4.0", "https://l.test", "https://p.test"
        ),
        Thumbnail(encode(plain(BLUE, (30, 40)), "JPEG"), "black", evil, "CC0-1.0", "", "javascript:alert(1)"),
        Thumbnail(encode(plain(GREEN, (30, 30)), "JPEG"), "teddy"),
    ]
    rows = [Neighbour(row, 0.9 - row / 100, thumbnail) for row, thumbnail in enumerate(thumbnails)]
    return [Neighbour(9, 0.95, None), *rows][:count]


def make_info(folder: Path) -> ModelInfo:
    examples = []
    for label, color in zip(LABELS, (RED, BLUE, GREEN), strict=True):
        path = folder / f"{label}.png"
        path.write_bytes(encode(plain(color, (640, 400))))
        examples.append((str(path), label))
    about = About(
        arch="tf_efficientnet_lite0",
        size=224,
        learnt_from=376,
        revision="0123456789abcdef0123456789abcdef01234567",
        error=0.0186,
        interval=(0.009, 0.038),
        pictures=376,
        accepted=0.965,
        classes=tuple(ClassRow(label, 125, right) for label, right in zip(LABELS, (121, 124, 124), strict=True)),
        origins=(("openverse", "CC-BY-4.0", 200), ("wikimedia", "CC0-1.0", 176)),
    )
    return ModelInfo(
        "Which bear is this?",
        LABELS,
        "r-1",
        0.5,
        tuple(examples),
        "Wrong on 2 % of unseen pictures",
        AppOptions(explain, nearest),
        about,
    )


def predict(picture: Image.Image) -> Prediction:
    """Tell by the colour; of a picture that is twice as wide as high, by that of a part."""
    answer = predict_by_color(picture)
    return replace(answer, looked_at=[0.1, 0.2, 0.4, 0.8]) if picture.width == 2 * picture.height else answer


TABS = ("One picture", "Many", "About", "Embed & API")
