"""Spectral normalisation (Miyato et al. 2018): layers of norm 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

WARM_UP = 15
"""Steps of power iteration before the first pass: the initial weights need not wait for theirs."""


def normalise_spectra(network: nn.Module) -> None:
    """Divide every matrix of weights in ``network`` by its norm from now on: those of its linear
    and convolutional layers, seen as output features by all the rest, and of its embeddings."""
    for module in list(network.modules()):
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1:
            parametrize.register_parametrization(module, "weight", SpectralNorm(weight))


class SpectralNorm(nn.Module):
    """W to W/σ(W), σ the largest singular value (Miyato et al. 2018, eq. 8).

    It is found by one step of power iteration each time the weight is used in training (algorithm
    1), from the left singular vector that the last step has left in the buffer ``u``. The gradient
    passes through σ = uᵀ W v with u and v held (eq. 10).
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        start = torch.randn(len(weight), dtype=weight.dtype, device=weight.device)
        self.register_buffer("u", normalize(start, dim=0))
        for _ in range(WARM_UP):
            self.forward(weight.detach())

    def forward(self, weight: Tensor) -> Tensor:
        # Power iteration in a lower precision does not find the vectors.
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            with torch.no_grad():
                u = self.u
                v = normalize(matrix.T @ u, dim=0)
                if self.training:
                    u = normalize(matrix @ v, dim=0)
                    self.u.copy_(u)
            sigma = u @ (matrix @ v)
        return weight / sigma
