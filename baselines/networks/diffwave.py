"""DiffWave: dilated convolutions over a waveform (Kong, Ping, Huang, Zhao & Catanzaro 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from baselines.networks.layers import Sinusoids, TimeSignals, zero
from genbench.api.errors import UsageError

TIME_FEATURES, TIME_HIDDEN, LABEL_FEATURES = 128, 512, 128
"""As in the paper."""


class DiffWave(nn.Module):
    """``network(x, time, labels=None)``: x ``(B, C, T)`` → ``(B, outputs * C, T)``.

    ``depth`` residual layers of ``width`` channels, each a gated convolution of three taps, whose
    dilation doubles from layer to layer: 1, 2, 4, …, up to about a quarter of the length, and
    again from 1. The sum of what they pass on, by two more layers, is the output, which starts at
    zero.

    Layers see frames of ``frame`` samples each, in the paper of 1; a longer frame costs as many
    times less.

    ``time`` ``(B,)`` is embedded as 128 features of ``time_scale * time``, at frequencies from 1
    down to 1e-4. The paper's go from 1 up to 1e4 times the timestep: those for integers and a
    ``time_scale`` of 1e4. With ``classes`` = K, labels ``(B,)`` int64 in 0…K, K for none; a bias of
    each layer's convolution depends on them.

    Raises:
        UsageError: Not one side, or a length that is no multiple of ``frame``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        frame: int,
        width: int,
        depth: int,
        classes: int = 0,
        outputs: int = 1,
        time_scale: float = 1000.0,
    ) -> None:
        super().__init__()
        if len(shape) != 2:
            raise UsageError(f"network 'diffwave' needs samples of one side, not {len(shape) - 1}")
        channels, length = shape
        if length % frame:
            raise UsageError(
                f"the length must be a multiple of the frame's {frame} samples, and it is {length}"
            )
        self.frame = frame
        self.stem = nn.Conv1d(channels, width, frame, stride=frame)
        cycle = max(1, int(math.log2(length // frame)) - 1)
        self.layers = nn.ModuleList(ResidualLayer(width, 2 ** (i % cycle)) for i in range(depth))
        self.skip = nn.Conv1d(width, width, 1)
        self.out = zero(nn.Conv1d(width, frame * outputs * channels, 1))
        times = Sinusoids(TIME_FEATURES, scale=time_scale)
        self.signals = TimeSignals(times, TIME_HIDDEN, [width] * depth)
        self.labels: nn.Sequential | None = None
        if classes:
            self.labels = nn.Sequential(
                nn.Embedding(classes + 1, LABEL_FEATURES),
                nn.Linear(LABEL_FEATURES, 2 * width * depth),
            )
        self._initialise()

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        h = relu(self.stem(x))
        biases = [None] * len(self.layers)
        if self.labels is not None:
            biases = self.labels(labels).chunk(len(self.layers), dim=1)
        total: Tensor | None = None
        for layer, shift, bias in zip(self.layers, self.signals(time), biases, strict=True):
            h, skip = layer(h, shift, bias)
            total = skip if total is None else total + skip
        assert total is not None
        out: Tensor = self.out(relu(self.skip(total / math.sqrt(len(self.layers)))))
        # (B, C * frame, T / frame) → (B, C, T)
        return out.view(len(x), -1, self.frame, out.shape[2]).transpose(2, 3).flatten(2)

    def _initialise(self) -> None:
        """Convolutions as in He et al. 2015, eq. 10; dense layers as PyTorch does."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and module is not self.out:
                nn.init.kaiming_normal_(module.weight)
        last = self.signals.layers[-1]
        assert isinstance(last, nn.Linear)
        last.reset_parameters()


class ResidualLayer(nn.Module):
    """A gated, dilated convolution on a residual path (van den Oord et al. 2016, eq. 2)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.out = nn.Conv1d(width, 2 * width, 1)

    def forward(self, x: Tensor, shift: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """x ``(B, width, T)``, shifted before the convolution by ``(B, width)`` and after it by
        ``(B, 2 width)`` → x for the next layer, and what this one passes on."""
        h = self.conv(x + shift[:, :, None])
        if bias is not None:
            h = h + bias[:, :, None]
        gate, signal = h.chunk(2, dim=1)
        residual, skip = self.out(torch.sigmoid(gate) * torch.tanh(signal)).chunk(2, dim=1)
        return (x + residual) * math.sqrt(0.5), skip
