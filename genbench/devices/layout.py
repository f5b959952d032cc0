"""Moving a model to its device, where its weights are laid out in memory as is fastest there."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from genbench.api import Codec, GenerativeModel

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the dimensions of a convolution's weights."""


def to_device(module: GenerativeModel | Codec, device: torch.device) -> None:
    """Move a model or a codec; on a CPU, the weights of convolutions get channels last in memory.

    Convolutions are faster so on a CPU, and what they return is laid out like their weights. No
    weight changes its value, but sums have another order, and other last bits.
    """
    module.to(device)
    if device.type == "cpu":
        for weight in module.parameters():
            if weight.ndim in CHANNELS_LAST:
                weight.data = weight.data.contiguous(memory_format=CHANNELS_LAST[weight.ndim])


def match_layout(optimizer: Optimizer) -> None:
    """Lay out an optimizer's state in memory as its weights are.

    Fused optimizers walk over both by address, and a state that was read may come from another kind
    of device.
    """
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
