"""Spotter: from a list of things to tell apart to a live, honest image classifier."""

from spotter.predictor import Prediction, Predictor

__version__ = "0.1.0"

__all__ = ["Prediction", "Predictor"]
