"""Tone mapping: films of high dynamic range (HDR), as phones write them, in the colours and brightness of others.

Their numbers mean other light than those of JPEG: as they stand, they look flat and grey. There are two ways to write
them, both of ITU-R BT.2100 and with the colours of BT.2020: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67).
"""

import functools

import numpy as np
from PIL import Image, ImageFilter

# What FFmpeg calls the two (AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67).
PQ, HLG = 16, 18
# The light of white paper, and of the brightest light that HLG is shown with, in candela per square metre (ITU-R
# BT.2408). What is brighter than paper are lamps and reflections.
PAPER, BRIGHTEST = 203.0, 1000.0
# From this share of paper on, light is compressed, so that what is brighter than paper has room.
KNEE = 0.8
# Of each colour, as many values as Pillow takes: more of them are nearer to the curves.
STEPS = 65
# From linear light of BT.2020 to that of sRGB (ITU-R BT.2087).
TO_SRGB = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
# The share of each colour in the brightness, of BT.2020.
BRIGHTNESS = np.array([0.2627, 0.6780, 0.0593])


def to_standard_range(picture: Image.Image, transfer: int) -> Image.Image:
    """An RGB picture of sRGB, from one whose numbers are those of PQ or HLG; others come back as they are."""
    return picture.filter(_table(transfer)) if transfer in (PQ, HLG) else picture


@functools.cache
def _table(transfer: int) -> ImageFilter.Color3DLUT:
    steps = np.linspace(0, 1, STEPS)
    # Red changes first.
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    signal = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    light = _compress((_light_of_pq(signal) if transfer == PQ else _light_of_hlg(signal)) @ TO_SRGB.T)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    return ImageFilter.Color3DLUT(STEPS, values.astype(np.float32).ravel().tolist())


def _light_of_pq(signal: np.ndarray) -> np.ndarray:
    """The light, in shares of paper, of PQ's numbers in [0, 1] (ITU-R BT.2100, table 4)."""
    root = signal ** (32 / 2523)
    share = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    light: np.ndarray = 10_000 / PAPER * share ** (16384 / 2610)
    return light


def _light_of_hlg(signal: np.ndarray) -> np.ndarray:
    """The light, in shares of paper, of HLG's numbers, (n, 3) in [0, 1], on a screen (ITU-R BT.2100, table 5)."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    brightness = np.maximum(scene @ BRIGHTNESS, 1e-9)[:, None]
    light: np.ndarray = BRIGHTEST / PAPER * brightness**0.2 * scene
    return light


def _compress(light: np.ndarray) -> np.ndarray:
    """Light in [0, 1]: above the knee less and less brighter, up to `BRIGHTEST`."""
    room, end = 1 - KNEE, BRIGHTEST / PAPER - KNEE
    above = np.clip(light - KNEE, 0, end)
    # From slope 1 at the knee to 1 at the brightest.
    return np.clip(np.minimum(light, KNEE) + above * (1 + above * room / end**2) / (1 + above / room), 0, 1)
