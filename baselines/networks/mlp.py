"""A denoising MLP for points."""

from __future__ import annotations

from torch import Tensor, nn

from baselines.networks.layers import TimeSignals, zero


class MLP(nn.Module):
    """``network(x, time)``: x ``(B, D)`` and time ``(B,)`` in [0, 1] → ``(B, D)``.

    ``blocks`` residual blocks of ``width``, each shifted by the time. The output starts at zero.
    No normalisation before it: where x is nearly all noise the answer is x, whatever its size.
    """

    def __init__(self, features: int, *, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Linear(features, width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.out = zero(nn.Linear(width, features))
        self.signals = TimeSignals(width, [width] * blocks)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h: Tensor = self.stem(x)
        for block, shift in zip(self.blocks, self.signals(time), strict=True):
            h = block(h, shift)
        out: Tensor = self.out(h)
        return out


class Block(nn.Module):
    """Two dense layers on a residual path; the time shifts what is between them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.after = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        change: Tensor = self.after(self.before(x) + shift)
        return x + change
