"""Group normalisation that is fast where channels lie last in memory, in bfloat16 too.

Convolutions want channels last (``torch.channels_last``). There, on a CPU, PyTorch's own GroupNorm
does well in float32, but in bfloat16 takes up to 7 ns an element forward and 12 backward (one core
of an AMD EPYC 9005), as long as the convolutions around it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MANY_POSITIONS = 1024
"""From here on PyTorch's own forward pass over channels that lie last is fast in bfloat16 too."""


class Norm(nn.GroupNorm):
    """GroupNorm (Wu & He 2018), the time's scale and shift, SiLU: ``(B, C, *space)`` to the same.

    Groups of at least 4 channels, 32 groups at the most, unless ``groups`` are given.
    """

    def __init__(
        self, channels: int, *, silu: bool = True, groups: int | None = None, eps: float = 1e-5
    ) -> None:
        super().__init__(groups or math.gcd(32, channels // 4), channels, eps)
        self.silu = silu

    def forward(self, x: Tensor, signal: Tensor | None = None) -> Tensor:
        """``signal`` ``(B, 2 C)``: how to scale and to shift each channel after its normalisation
        (Dhariwal & Nichol 2021, section 3.1)."""
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and not x.is_contiguous():
            return self._channels_last(x, signal)
        h = super().forward(x)
        if signal is not None:
            scale, shift = along(signal, x).chunk(2, dim=1)
            h = torch.addcmul(shift, h, 1 + scale)
        # Without gradients nobody needs h again, and memory is half of what SiLU costs.
        return F.silu(h, inplace=not torch.is_grad_enabled()) if self.silu else h

    def _channels_last(self, x: Tensor, signal: Tensor | None) -> Tensor:
        scale: Tensor = self.weight
        shift: Tensor = self.bias
        if signal is not None:
            by_time, shift_by_time = signal.float().chunk(2, dim=1)
            scale = scale * (1 + by_time)
            shift = torch.addcmul(shift_by_time, shift, 1 + by_time)
        out: Tensor = ChannelsLastNorm.apply(x, scale, shift, self.num_groups, self.eps, self.silu)
        return out


class ChannelsLastNorm(torch.autograd.Function):
    """``silu(scale x̂ + shift)``, x̂ the normalised x, in few passes over memory.

    x ``(B, C, *space)`` with channels last; scale and shift ``(C,)`` or ``(B, C)``. Whatever has a
    number a position keeps x's dtype; whatever has one a channel is at least float32.

    Raises:
        NotImplementedError: When its gradient is asked for with ``create_graph``.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, groups: int, eps: float, silu: bool
    ) -> Tensor:
        flat = positions_first(x)
        size, count, channels = flat.shape
        precise = torch.promote_types(x.dtype, torch.float32)
        scale, shift = scale.to(precise), shift.to(precise)
        if scale.dim() == 1 and count >= MANY_POSITIONS:
            h, *moments = torch.native_group_norm(
                x, scale, shift, size, channels, count, groups, eps
            )
            h = positions_first(h)
            mean, rstd = (each(moment, channels) for moment in moments)
        else:
            # Less a mean that is rounded as x is: in the sums of what is left nothing cancels.
            near = group_mean(flat.sum(1), groups, count).to(x.dtype)
            centred = flat - near
            rest = group_mean(centred.sum(1), groups, count)
            mean = near + rest
            variance = group_mean(centred.square().sum(1), groups, count) - rest.square()
            rstd = (variance + eps).rsqrt()
            slope = each(scale, channels) * rstd
            offset = each(shift, channels) - rest * slope
            h = torch.addcmul(offset.to(x.dtype), centred, slope.to(x.dtype))
        ctx.groups, ctx.shape = groups, x.shape
        ctx.save_for_backward(flat, h if silu else None, scale, mean, rstd)
        if silu:
            h = F.silu(h)
        return channels_second(h, x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # only where the caller has asked for create_graph
            raise NotImplementedError("ChannelsLastNorm cannot be differentiated twice")
        flat, h, scale, mean, rstd = ctx.saved_tensors
        count, channels = flat.shape[1:]
        grad = positions_first(grad)
        if h is not None:
            grad = torch.ops.aten.silu_backward(grad, h)
        near = mean.to(flat.dtype)
        centred, rest = flat - near, mean - near
        by_shift = grad.sum(1, keepdim=True).to(mean.dtype)
        by_scale = ((grad * centred).sum(1, keepdim=True) - rest * by_shift) * rstd
        # With g = scale · grad: dx = rstd (g - ⟨g⟩ - x̂ ⟨g x̂⟩), ⟨·⟩ the mean over a group.
        factor = each(scale, channels)
        g = group_mean(factor * by_shift, ctx.groups, count)
        gx = group_mean(factor * by_scale, ctx.groups, count)
        slope = -rstd.square() * gx
        offset = -rstd * g - slope * rest
        dx = torch.addcmul(offset.to(grad.dtype), centred, slope.to(grad.dtype))
        dx.addcmul_(grad, (factor * rstd).to(grad.dtype))
        if scale.dim() == 1:
            by_scale, by_shift = by_scale.sum(0), by_shift.sum(0)
        return (
            channels_second(dx, ctx.shape),
            by_scale.view_as(scale),
            by_shift.view_as(scale),
            *(None, None, None),
        )


def positions_first(x: Tensor) -> Tensor:
    """``(B, C, *space)`` to ``(B, P, C)``: a view where channels lie last."""
    return x.movedim(1, -1).flatten(1, -2)


def channels_second(flat: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of ``positions_first``."""
    return flat.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def group_mean(sums: Tensor, groups: int, count: int) -> Tensor:
    """Of ``C`` sums over ``count`` positions a sample: each channel's group's mean, ``(B, 1, C)``,
    at least float32."""
    channels = sums.shape[-1]
    precise = torch.promote_types(sums.dtype, torch.float32)
    total = sums.reshape(-1, groups, channels // groups).sum(2, dtype=precise)
    return each(total * (groups / (count * channels)), channels)


def each(numbers: Tensor, channels: int) -> Tensor:
    """One number a channel ``(C,)``, ``(B, C)``, or a group ``(B, G)``: ``(1 or B, 1, C)``."""
    numbers = numbers.reshape(-1, numbers.shape[-1])
    return numbers.repeat_interleave(channels // numbers.shape[1], dim=1)[:, None]


def along(signal: Tensor, x: Tensor) -> Tensor:
    """``signal`` ``(B, C)``, ready to scale x ``(B, C, *space)``."""
    return signal.view(*signal.shape, *[1] * (x.ndim - 2))
