"""What a link to the page shows where it is shared: the classifier's title, a sentence about it, and a picture."""

import functools
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from PIL import Image, ImageDraw, ImageOps
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spotter.errors import BadPicture
from spotter.images import load_picture
from spotter.serve.about import error_sentence
from spotter.serve.forwarded import public_address
from spotter.serve.page.translations import join_labels, translate
from spotter.serve.service import ModelInfo
from spotter.utils.templates import render_template

# The size that most sites ask for.
SIZE = (1200, 630)
PICTURE = "/preview.jpg"
EDGE, GAP, MOST = 60, 30, 3
# Twice the size that it is shown in is too much for what it is worth.
THUMBNAIL, MOST_EXAMPLES = 138, 12
GROUND, GREEN = "#f7f5f0", "#2f5d4a"


def describe(info: ModelInfo, language: str) -> str:
    """What the classifier tells apart, and how often it is wrong."""
    told = (info.about and error_sentence(info.about, language)) or info.summary
    known = translate("knows", language, labels=join_labels(info.labels, language)) if info.labels else ""
    return " ".join(filter(None, (known, told)))


def draw_preview(info: ModelInfo) -> bytes:
    """Draw the picture, a JPEG: up to three of the examples, or the app's sign."""
    sheet = Image.new("RGB", SIZE, GROUND)
    pictures = [picture for path, _ in info.examples[:MOST] if (picture := _open(path))]
    if pictures:
        width = (SIZE[0] - 2 * EDGE - (len(pictures) - 1) * GAP) // len(pictures)
        side = (width, SIZE[1] - 2 * EDGE)
        for place, picture in enumerate(pictures):
            tile = ImageOps.fit(picture, side)
            sheet.paste(tile, (EDGE + place * (width + GAP), EDGE), _rounded(side))
    else:
        _draw_sign(sheet)
    return _jpeg(sheet, 85)


def render_head(
    info: ModelInfo, scope: Mapping[str, Any], headers: Mapping[str, str], language: str, style: str, script: str
) -> str:
    """The head of the page: what it is called, what a shared link shows, and the page's own style and script."""
    address = public_address(scope, headers)
    return render_template(
        "serve",
        "head.html",
        title=info.title,
        sentence=describe(info, language),
        address=address,
        picture=f"{address}{PICTURE}?v={quote((info.revision or '')[:12])}",
        size=SIZE,
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704
    )


def preview_route(info: ModelInfo) -> Route:
    """Serves the picture. It is drawn when it is first asked for."""
    draw = functools.cache(lambda: draw_preview(info))

    def show(request: Request) -> Response:
        headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "max-age=3600"}
        return Response(draw(), media_type="image/jpeg", headers=headers)

    return Route(PICTURE, show)


def thumbnail_route(info: ModelInfo) -> Route:
    """Serves the examples as small as the page shows them: whole ones would be half of what it loads."""

    @functools.cache
    def draw(number: int) -> bytes:
        picture = _open(info.examples[number][0]) or Image.new("RGB", (1, 1), GROUND)
        return _jpeg(ImageOps.fit(picture, (THUMBNAIL, THUMBNAIL)), 75)

    def show(request: Request) -> Response:
        number = request.path_params["number"]
        if not 0 <= number < len(info.examples[:MOST_EXAMPLES]):
            return JSONResponse({"error": "There is no such example."}, 404)
        return Response(draw(number), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    return Route("/example/{number:int}.jpg", show)


def _open(path: str) -> Image.Image | None:
    try:
        return load_picture(path)
    except BadPicture:
        # The others will do.
        return None


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _rounded(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 36, fill=255)
    return mask


def _draw_sign(sheet: Image.Image) -> None:
    """The magnifying glass of `serve/static/icon.svg`."""
    draw, (width, height) = ImageDraw.Draw(sheet), SIZE
    unit = height / 32
    left = (width - height) / 2

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * unit, y * unit

    draw.rectangle((0, 0, *SIZE), fill=GREEN)
    draw.ellipse((*at(6, 6), *at(22, 22)), fill=GROUND)
    draw.ellipse((*at(9, 9), *at(19, 19)), fill=GREEN)
    draw.line((at(19, 19), at(25, 25)), fill=GROUND, width=round(3 * unit))
