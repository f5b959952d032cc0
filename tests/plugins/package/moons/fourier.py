"""Random Fourier features of a Gaussian kernel (Rahimi & Recht 2007)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench import SampleSpec


class Fourier:
    """(2/D)^½ cos(xW + b), W and b drawn once and for all."""

    def __init__(self, count: int, bandwidth: float) -> None:
        self.id = f"fourier@{count}-{bandwidth:g}"
        stream = torch.Generator().manual_seed(0)
        self.frequencies = torch.randn(2, count, generator=stream, dtype=torch.float64) / bandwidth
        self.phases = 2 * math.pi * torch.rand(count, generator=stream, dtype=torch.float64)

    def supports(self, spec: SampleSpec) -> str | None:
        return None if spec.shape == (2,) else f"it sees points of the plane, not {spec.shape}"

    def to(self, device: torch.device | str) -> Fourier:
        self.frequencies, self.phases = self.frequencies.to(device), self.phases.to(device)
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> dict[str, Tensor]:
        angles = stored.to(self.phases) @ self.frequencies + self.phases
        return {"features": math.sqrt(2 / len(self.phases)) * angles.cos()}


def fourier(*, count: int = 32, bandwidth: float = 0.5) -> Fourier:
    """Random Fourier features of points of the plane."""
    return Fourier(count, bandwidth)
