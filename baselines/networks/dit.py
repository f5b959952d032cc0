"""DiT: a transformer over patches, for signals of one to three dimensions (Peebles & Xie 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.networks.attention import Context, CrossAttention, attend
from baselines.networks.blocks import CONVOLUTIONS, check_sides
from baselines.networks.layers import Sinusoids, TimeSignals, glorot, zero
from baselines.networks.text import Encoder
from genbench.api.errors import UsageError

HEAD = 64
TIME_FEATURES = 256


class DiT(nn.Module):
    """``network(x, time, labels=None)``: x ``(B, C, *space)`` → ``(B, outputs * C, *space)``.

    Patches of ``2**halvings`` along each side become tokens of ``width`` channels, to which their
    position is added. ``depth`` blocks follow, each attention and two dense layers, each of the two
    shifted, scaled and gated by the time (adaLN-Zero). Heads are 64 channels wide, or as many as
    they have in common with the width. The output starts at zero.

    ``time`` ``(B,)`` is embedded as 256 features of ``time_scale * time``. With ``classes`` = K,
    labels ``(B,)`` int64 in 0…K, K for none. With ``text``, labels are what it reads, as
    tokens ``(B, T)``: the blocks then attend to the text between their two parts (Chen et al. 2024,
    "PixArt-α", section 2.3), and a vector of the whole text joins the time.

    Raises:
        UsageError: Not one to three sides, a side that cannot be halved so often, or a width that
            is not a multiple of 4.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        halvings: int,
        width: int,
        depth: int,
        dropout: float,
        classes: int = 0,
        text: Encoder | None = None,
        outputs: int = 1,
        time_scale: float = 1000.0,
    ) -> None:
        super().__init__()
        in_channels, *space = shape
        check_sides(space, halvings)
        if width % 4:
            raise UsageError(f"the width of a DiT must be a multiple of 4, got {width}")
        self.patch = 2**halvings
        self.grid = [side // self.patch for side in space]
        self.stem = CONVOLUTIONS[len(space)](in_channels, width, self.patch, stride=self.patch)
        self.positions: Tensor
        self.register_buffer("positions", sincos_positions(self.grid, width), persistent=False)
        context = 0 if text is None else text.width
        self.blocks = nn.ModuleList(Block(width, dropout, context) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.out = nn.Linear(width, self.patch ** len(space) * outputs * in_channels)
        times = Sinusoids(TIME_FEATURES, scale=time_scale, endpoint=False, cosines_first=True)
        signals = [6 * width] * depth + [2 * width]
        self.signals = TimeSignals(times, width, signals, classes=classes, text=context)
        self._initialise()
        self.text = text

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        context = None
        if self.text is not None:
            context, labels = self.text(labels)
        signals = iter(self.signals(time, labels))
        h = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            h = block(h, next(signals), context)
        shift, scale = next(signals).chunk(2, dim=1)
        out: Tensor = self.out(modulated(self.norm(h), shift, scale))
        # (B, *grid, *patch, C) → (B, C, grid, patch, grid, patch, …)
        sides = len(self.grid)
        out = out.view(len(x), *self.grid, *[self.patch] * sides, -1)
        order = [axis for side in range(1, sides + 1) for axis in (side, side + sides)]
        return out.permute(0, -1, *order).reshape(len(x), -1, *x.shape[2:])

    def _initialise(self) -> None:
        """As the authors' released code does."""
        self.apply(glorot)
        with torch.no_grad():  # as if it were a dense layer
            nn.init.xavier_uniform_(self.stem.weight.flatten(1))
        first, _, second, _, last = self.signals.layers
        for layer in (first, second, self.signals.labels):
            if isinstance(layer, (nn.Linear, nn.Embedding)):
                nn.init.normal_(layer.weight, std=0.02)
        zero(last)
        zero(self.out)


class Block(nn.Module):
    """Attention, then two dense layers, each on a residual path that the time modulates; between
    them attention to a ``context`` of so many channels, unless it has none."""

    def __init__(self, width: int, dropout: float, context: int = 0) -> None:
        super().__init__()
        self.heads = width // math.gcd(width, HEAD)
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.crossed: CrossAttention | None = None
        if context:
            self.crossed = CrossAttention(width, context)
            zero(self.crossed.out)

    def forward(self, x: Tensor, signal: Tensor, context: Context | None = None) -> Tensor:
        shift, scale, gate, shift_dense, scale_dense, gate_dense = signal.chunk(6, dim=1)
        q, k, v = self.queries_keys_values(modulated(self.norm(x), shift, scale)).chunk(3, dim=2)
        x = torch.addcmul(x, gate[:, None], self.mixed(attend(q, k, v, heads=self.heads)))
        if self.crossed is not None and context is not None:
            x = self.crossed(x, context)
        h: Tensor = self.dense(modulated(self.norm(x), shift_dense, scale_dense))
        return torch.addcmul(x, gate_dense[:, None], h)


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens ``(B, T, C)`` scaled and shifted by ``(B, C)``."""
    return torch.addcmul(shift[:, None], tokens, 1 + scale[:, None])


def sincos_positions(grid: Sequence[int], width: int) -> Tensor:
    """A fixed code ``(positions, width)`` for each position of a grid.

    Each side, the last one first, has its share of the channels: sines, then cosines, of the place
    along it at frequencies from 1 down to 1e-4 (Vaswani et al. 2017, section 3.5).
    """
    places = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    code = []
    for place, pairs in zip(
        places[::-1], torch.arange(width // 2).tensor_split(len(grid)), strict=True
    ):
        frequencies = torch.logspace(0, -4, len(pairs) + 1)[:-1]
        angles = place.flatten()[:, None] * frequencies
        code += [angles.sin(), angles.cos()]
    return torch.cat(code, dim=1)
