"""Spotter: from a list of things to tell apart to a live, honest image classifier."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotter.errors import SpotterError
    from spotter.inference.prediction import Prediction
    from spotter.inference.predictor import Predictor
    from spotter.search import get_backend
    from spotter.stores import open_store

# ONNX Runtime would tell its maker about this machine as soon as it is imported: a number that it makes for it, the
# processor, the path of Python. Nobody who visits a page or trains a model was asked. "0" lets it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Prediction", "Predictor", "SpotterError", "__version__", "get_backend", "open_store"]

__version__ = "0.1.0"

# Loaded at their first use: `spotter --help` needs none of them, and an app cannot load the picture sources.
_HOMES = {
    "Prediction": "spotter.inference.predictor",
    "Predictor": "spotter.inference.predictor",
    "SpotterError": "spotter.errors",
    "get_backend": "spotter.search",
    "open_store": "spotter.stores",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
