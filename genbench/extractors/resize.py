"""How pictures are resized, by name: over one network, two rules give two scores.

Source: G. Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.api.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Rule:
    """One way to resize."""

    name: str
    """What the protocol calls it."""
    apply: Callable[[Tensor, int], Tensor]
    """Pictures ``(B, C, H, W)``, float32 levels, and a side → ``(B, C, side, side)``. The whole
    picture is kept, its aspect ratio is not; nothing is rounded."""


def antialiased_bicubic(pictures: Tensor, side: int) -> Tensor:
    """Bicubic (a = -0.5) over the area that a new pixel covers, as Pillow resizes a channel of
    floats, clamped to 0 … 255: as clean-fid does."""
    resized = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True)
    return resized.clamp(0, 255)


def tensorflow_bilinear(pictures: Tensor, side: int) -> Tensor:
    """``tf.image.resize_bilinear`` of TensorFlow 1, which the graph of the published Inception
    begins with: corners of pixels are aligned, not their centres, and smaller pictures are
    aliased. The numbers are torch-fidelity's, bit for bit."""
    wide = _interpolate(pictures, side, 3)
    return _interpolate(wide, side, 2)


def _interpolate(pictures: Tensor, side: int, axis: int) -> Tensor:
    size = pictures.shape[axis]
    # In float32, since TensorFlow rounds the positions.
    at = torch.arange(side, dtype=torch.float32, device=pictures.device)
    at = at * torch.tensor(size / side, dtype=torch.float32, device=pictures.device)
    low = at.long()
    high = (low + 1).clamp_max(size - 1)
    weight = (at - low).view([side if a == axis else 1 for a in range(4)])
    below, above = pictures.index_select(axis, low), pictures.index_select(axis, high)
    return below + (above - below) * weight


ANTIALIASED = Rule("antialiased bicubic (clean-fid)", antialiased_bicubic)
LEGACY = Rule("torch-fidelity bilinear (TF1)", tensorflow_bilinear)
RULES: Mapping[str, Rule] = {"antialiased": ANTIALIASED, "legacy": LEGACY}


def choose_rule(name: str) -> Rule:
    """The rule of that name. Raises ``UsageError``."""
    if name not in RULES:
        raise UsageError(f"unknown resize rule {name!r}{did_you_mean(name, RULES)}")
    return RULES[name]
