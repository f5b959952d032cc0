"""Every random stream of genbench, derived from (seed, purpose, index).

Two streams never share a state: the purpose and the index go through a hash, so that neighbouring
seeds or indices give unrelated streams.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str, *index: int) -> int:
    """A seed in [0, 2⁶³) for the stream ``(seed, purpose, *index)``."""
    text = ":".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int, purpose: str, *index: int) -> None:
    """Seed the global generators of torch (every device), numpy and Python for one stream."""
    import numpy as np
    import torch

    value = derive(seed, purpose, *index)
    if _has_accelerator():
        torch.manual_seed(value)
    else:  # which without a device formats stack traces: 0.4 ms at every step
        torch.default_generator.manual_seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - for plugins that draw from the global one
    random.seed(value)


@cache
def _has_accelerator() -> bool:
    """Cached, since each query loads the driver's library."""
    import torch

    return torch.accelerator.is_available()


def generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A separate CPU generator for one stream; the global ones do not change."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, *index))
