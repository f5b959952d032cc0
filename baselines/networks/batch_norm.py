"""Batch normalisation for the networks of GANs (Ioffe & Szegedy 2015), with or without labels.

In training each call normalises by the moments of its own rows: those of one device, of one
minibatch of one call, as in the papers. No running average is kept. It would belong to the weights
as they were trained, and the weights that are sampled are mostly an average of those, of other
moments; nor would DDP, which broadcasts buffers at each call, let a network be called twice before
its backward pass. For sampling, ``StandingStatistics`` takes the moments of the weights that are
sampled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

PASSES, ROWS = 16, 64
"""How many batches of how many rows of noise give the standing moments."""


class BatchNorm(nn.Module):
    """``(B, C, *space)`` to the same, each channel of mean 0 and variance 1, then scaled and
    shifted: by numbers of its own, or by those of each row's label, if there are ``classes``
    (Dumoulin et al. 2017, eq. 5)."""

    def __init__(self, channels: int, classes: int = 0) -> None:
        super().__init__()
        shape = (classes, channels) if classes else (channels,)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.moments: tuple[Tensor, Tensor] | None = None
        """Mean and variance ``(C,)`` in evaluation, from ``StandingStatistics``."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.training:
            mean, variance = None, None
        else:
            assert self.moments is not None, "StandingStatistics must be called before"
            mean, variance = self.moments
        if labels is None:
            return batch_norm(x, mean, variance, self.weight, self.bias, self.training)
        h = batch_norm(x, mean, variance, training=self.training)
        shape = (*h.shape[:2], *[1] * (h.ndim - 2))
        scale = self.weight[labels].to(h.dtype).view(shape)
        shift = self.bias[labels].to(h.dtype).view(shape)
        return torch.addcmul(shift, h, scale)


class StandingStatistics(nn.Module):
    """Gives a generator its standing moments (Brock et al. 2019, section 3, with appendix B), once
    for the weights that it has: a sample then depends on weights, noise and label alone."""

    label_counts: Tensor | None
    """``(classes,)``: how often each label came in training, on this device."""

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.latent = latent
        counts = torch.zeros(classes, dtype=torch.int64) if classes else None
        self.register_buffer("label_counts", counts)
        self._state: list[tuple[int, int]] = []

    def count(self, labels: Tensor) -> None:
        """Add the labels ``(B,)`` of a training batch."""
        if self.label_counts is not None:
            self.label_counts.index_add_(0, labels, torch.ones_like(labels))

    @torch.no_grad()
    def forward(self, generator: nn.Module) -> None:
        """Leave in each ``BatchNorm`` of ``generator`` the mean and the variance of what reaches it
        in training, over ``PASSES`` batches of fixed noise and, if there are classes, labels drawn
        as often as they came in training; evenly before any has come."""
        norms = [module for module in generator.modules() if isinstance(module, BatchNorm)]
        state = [(x.data_ptr(), x._version) for x in (*generator.parameters(), *self.buffers())]
        if not norms or state == self._state:
            return
        device = next(generator.parameters()).device
        stream = torch.Generator().manual_seed(0)
        shares = self._shares()
        seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

        def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double()
            variance, mean = torch.var_mean(x, (0, *range(2, x.ndim)), correction=0)
            seen[norm].append(torch.stack([mean, variance + mean.square()]))

        handles = [norm.register_forward_pre_hook(look) for norm in norms]
        training = generator.training
        generator.train(True)
        with torch.autocast(device.type, enabled=False):
            for _ in range(PASSES):
                noise = torch.randn(ROWS, self.latent, generator=stream).to(device)
                labels = None
                if shares is not None:
                    labels = shares.multinomial(ROWS, replacement=True, generator=stream).to(device)
                # Past its hooks: whoever counts evaluations counts those of samples. And past a
                # compiled ``forward`` of its own, in which the hooks of the norms cannot look.
                type(generator).forward(generator, noise, labels)
        generator.train(training)
        for handle in handles:
            handle.remove()
        for norm in norms:
            mean, square = torch.stack(seen[norm]).mean(0)
            norm.moments = mean.float(), (square - mean.square()).float()
        self._state = state

    def _shares(self) -> Tensor | None:
        """Of each label, on the CPU, where draws do not depend on the device."""
        if self.label_counts is None:
            return None
        counts = self.label_counts.double().cpu()
        return counts if counts.any() else torch.ones_like(counts)
