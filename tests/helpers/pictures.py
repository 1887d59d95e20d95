"""Small pictures drawn on the spot, a stand-in for a model that goes by colour, and an app on a free port."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn
from fastapi import FastAPI
from PIL import Image

from spotter.config import ServeConfig
from spotter.inference.prediction import Prediction
from spotter.serve.server import uvicorn_settings
from tests.helpers.ports import free_port

LABELS = ("grizzly", "black", "teddy")
RED, BLUE, GREEN, GREY, WHITE = (200, 30, 30), (30, 30, 200), (30, 200, 30), (128, 128, 128), (255, 255, 255)


def plain(color: tuple[int, ...] = RED, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture of one colour; four numbers give one with transparency."""
    return Image.new("RGBA" if len(color) == 4 else "RGB", size, color)


def encode(picture: Image.Image, kind: str = "PNG", orientation: int | None = None) -> bytes:
    """Encode `picture`, with an EXIF orientation if one is given."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    picture.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def predict_by_color(picture: Image.Image) -> Prediction:
    """Red is a grizzly, blue a black bear, anything else a teddy; grey is nothing it knows."""
    red, green, blue = picture.resize((1, 1)).getpixel((0, 0))
    label = "grizzly" if red > max(green, blue) + 20 else "black" if blue > max(red, green) + 20 else "teddy"
    familiar = max(red, green, blue) - min(red, green, blue) > 20
    probabilities = {name: 0.97 if name == label else 0.015 for name in LABELS}
    return Prediction(label, probabilities, 0.9 if familiar else 0.2, familiar, threshold=0.5)


@contextmanager
def serving(app: FastAPI, port: int | None = None) -> Iterator[str]:
    """Serve `app` in a thread, with the settings of `serve`, on a free port or on one; yields its address."""
    port = port or free_port()
    # A test may put a function of its own before the app.
    config = replace(getattr(getattr(app, "state", None), "config", ServeConfig()), port=port)
    server = uvicorn.Server(uvicorn_settings(app, config, log_level="critical", grace_s=1))
    ready = threading.Event()
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets)
        ready.set()

    server.startup = startup
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    if not ready.wait(240):
        raise RuntimeError("The app did not start.")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    # Not for ever: a request that never ends fails its own test, not the whole run.
    thread.join(240)
