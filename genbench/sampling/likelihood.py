"""Weights and data → bits per dimension, for the models that offer them.

Data come in blocks of 64 by index, each reseeded from (seed, "likelihood", block): what the
dequantisation and a trace estimator draw is the same for every number of devices.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genbench.api import GenerativeModel, ProgressCallback, ProgressEvent, Samples
from genbench.api.seeding import seed_all
from genbench.devices.layout import to_device
from genbench.devices.ranks import gather
from genbench.sampling.blocks import BLOCK

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VERSION = 2
"""Raised whenever the same weights, data and seed would give other numbers."""


def offered(model: GenerativeModel) -> bool:
    """Whether the model has a likelihood."""
    return callable(getattr(model, "bits_per_dim", None))


@torch.no_grad()
def bits_per_dim(
    fabric: Fabric,
    model: GenerativeModel,
    samples: Samples,
    *,
    count: int,
    seed: int,
    report: ProgressCallback,
) -> Tensor:
    """Of the first ``count`` of ``samples``: ``(count,)`` float64 on the CPU, on every device of
    ``fabric``, which share the blocks. In float32, whatever the precision of the training.

    ``model`` is one with ``bits_per_dim``, never a wrapped one.
    """
    offers: Any = model
    to_device(model, fabric.device)
    model.train(False)
    blocks = ceil(count / BLOCK)
    rounds = ceil(blocks / fabric.world_size)
    mine = []
    for turn in range(rounds):
        # A device without a block of its own computes the last one again, which is ignored.
        block = min(turn * fabric.world_size + fabric.global_rank, blocks - 1)
        rows = torch.arange(block * BLOCK, min((block + 1) * BLOCK, count))
        batch = samples.take(rows).to(fabric.device)
        seed_all(seed, "likelihood", block)
        bits = offers.bits_per_dim(batch).double()
        if tuple(bits.shape) != (len(rows),):
            raise ValueError(f"bits_per_dim() returned {tuple(bits.shape)}, not {(len(rows),)}")
        mine.append(torch.nn.functional.pad(bits, (0, BLOCK - len(rows))))
        report(
            ProgressEvent("likelihood", min((turn + 1) * fabric.world_size * BLOCK, count), count)
        )
    everyone = gather(fabric, torch.stack(mine)).transpose(0, 1).reshape(-1, BLOCK)[:blocks]
    return everyone.flatten()[:count].cpu()
