"""Bring HDR pictures to sRGB: their values mean brightness in another way, and would look dull."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Code points of ITU-T H.273 (CICP).
PQ, HLG = 16, 18
BT_2020 = 9
# SMPTE ST 2084, equation 4.1.
_M1, _M2, _C1, _C2, _C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
#: Brightness in candela per square metre of white paper (ITU-R BT.2408), and of the brightest HLG value.
_WHITE, _HLG_PEAK = 203.0, 1_000.0
#: ITU-R BT.2087, from BT.2020 to the primaries of sRGB.
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
#: The share of white's brightness up to which nothing is changed. What is brighter is compressed.
_KNEE = 0.7

_Floats = NDArray[np.float32]


def to_sdr(image: Image.Image, primaries: int, transfer: int) -> Image.Image:
    """Return ``image`` (RGB), whose values are PQ or HLG, in sRGB."""
    table = _linear((np.arange(256) / 255).astype(np.float32), transfer)
    light = table[np.asarray(image.convert("RGB"))]
    if transfer == HLG:  # the system gamma depends on the brightness of the pixel
        luma = light @ np.array([0.2627, 0.678, 0.0593], np.float32)
        light *= (luma ** np.float32(0.2))[:, :, None]
        light *= np.float32(_HLG_PEAK / _WHITE)
    brightest = light.max(2, keepdims=True)
    compressed = _KNEE + (1 - _KNEE) * (1 - np.exp(-(brightest - _KNEE) / (1 - _KNEE)))
    light *= np.where(brightest > _KNEE, compressed / np.maximum(brightest, 1e-6), 1).astype(np.float32)
    if primaries == BT_2020:
        light = light @ _TO_709.T
    light = light.clip(0, 1)
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return Image.fromarray((values * 255 + 0.5).astype(np.uint8))


def _linear(values: _Floats, transfer: int) -> _Floats:
    """Return the light of each value: for PQ as a share of white's, for HLG of the scene's."""
    if transfer == PQ:
        power = values ** (1 / _M2)
        light = 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1) / _WHITE
    else:
        light = np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    linear: _Floats = light.astype(np.float32)
    return linear
