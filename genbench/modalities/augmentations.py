"""Augmentations that come with genbench."""

from __future__ import annotations

from dataclasses import replace

import torch

from genbench.api import Augmentation, Batch, SampleSpec
from genbench.api.errors import UsageError


def horizontal_flip(spec: SampleSpec) -> Augmentation:
    """Each picture or clip mirrored left to right with probability 1/2.

    Raises:
        UsageError: Samples whose last axis is not from left to right.
    """
    if spec.modality not in ("image", "video"):
        raise UsageError(f"horizontal_flip is for images and videos, not for {spec.modality}")
    return _flip


def _flip(batch: Batch) -> Batch:
    mirrored = torch.rand(len(batch), device=batch.data.device) < 0.5
    mask = mirrored.view(-1, *[1] * (batch.data.dim() - 1))
    return replace(batch, data=torch.where(mask, batch.data.flip(-1), batch.data))
