"""Samples → the same after a codec, which is the best that a model in its latent space can give."""

from __future__ import annotations

from contextlib import nullcontext
from math import ceil
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from genbench.api import Codec, ProgressCallback, ProgressEvent, Samples
from genbench.api.errors import NonFiniteSamples
from genbench.api.seeding import seed_all
from genbench.devices.layout import to_device
from genbench.devices.ranks import gather
from genbench.sampling.blocks import BLOCK, GeneratedSamples, padded

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@torch.no_grad()
def reconstruct(
    fabric: Fabric, codec: Codec, samples: Samples, *, report: ProgressCallback
) -> GeneratedSamples:
    """All ``samples`` encoded and decoded, with the costs of decoding, on every device of
    ``fabric``, which share the blocks. In float32, whatever the precision of the training; each
    block, of 64 samples, has a seed of its own.

    Raises ``NonFiniteSamples`` when the codec returns NaN or infinity.
    """
    to_device(codec, fabric.device)
    spec, count = samples.spec, len(samples)
    rounds = ceil(ceil(count / BLOCK) / fabric.world_size)
    mine = []
    counter = FlopCounterMode(display=False)
    for turn in range(rounds):
        block = turn * fabric.world_size + fabric.global_rank
        # A block is whole, as those of a model: what is beyond the last sample is not looked at.
        rows = torch.arange(block * BLOCK, (block + 1) * BLOCK) % count
        x = spec.encode(samples.take(rows).data.to(fabric.device))
        seed_all(0, "reconstruct", block)
        z = codec.encode(x)
        with counter if turn == 0 else nullcontext():
            decoded = codec.decode(z)
        if decoded.shape != x.shape:
            raise ValueError(f"decode() returned {tuple(decoded.shape)}, not {tuple(x.shape)}")
        mine.append(decoded.float())
        done = min((turn + 1) * fabric.world_size * BLOCK, count)
        report(ProgressEvent("reconstruct", done, count))
    x = gather(fabric, torch.stack(mine)).transpose(0, 1).reshape(-1, *spec.shape)[:count]
    bad = int((~x.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise NonFiniteSamples(f"{bad} of {count} reconstructions are not finite")
    condition = samples.take(torch.arange(count)).condition
    return GeneratedSamples(
        data=padded(spec, spec.decode(x).cpu(), condition),
        condition=condition,
        nfe=0.0,
        flops=counter.get_total_flops() / BLOCK,
        parameters=sum(p.numel() for p in codec.parameters()),
    )
