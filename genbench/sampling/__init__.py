"""Weights → samples; and, of the models that offer them, likelihoods and trajectories to be shown.

``blocks`` draws samples; ``likelihood`` and ``trajectories`` call capabilities that only some
models have; ``imported`` is the model whose samples were made elsewhere.
"""

from __future__ import annotations

from genbench.sampling.blocks import (
    BLOCK,
    VERSION,
    ConditionOfBlock,
    GeneratedSamples,
    TextsOfBlock,
    codec_id,
    codec_of,
    draw,
    padded,
    place,
    require_memory,
    seconds_per_block,
    words_of,
    wrapped_decode,
)
from genbench.sampling.reconstruction import reconstruct

__all__ = [
    "BLOCK",
    "VERSION",
    "ConditionOfBlock",
    "GeneratedSamples",
    "TextsOfBlock",
    "codec_id",
    "codec_of",
    "draw",
    "padded",
    "place",
    "reconstruct",
    "require_memory",
    "seconds_per_block",
    "words_of",
    "wrapped_decode",
]
