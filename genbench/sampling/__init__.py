"""Weights → samples; and, of the models that offer them, likelihoods and trajectories to be shown.

``blocks`` draws, ``likelihood`` and ``trajectory`` ask a model for what it may offer beyond that.
"""

from __future__ import annotations

from genbench.sampling.blocks import (
    BLOCK,
    VERSION,
    ConditionOfBlock,
    GeneratedSamples,
    codec_id,
    codec_of,
    draw,
    padded,
    seconds_per_block,
)

__all__ = [
    "BLOCK",
    "VERSION",
    "ConditionOfBlock",
    "GeneratedSamples",
    "codec_id",
    "codec_of",
    "draw",
    "padded",
    "seconds_per_block",
]
