"""Augmentation of what a discriminator sees, real and generated alike (Karras et al. 2020,
"Training generative adversarial networks with limited data"), and its adaptive probability.

The set is the paper's ``bgc`` (appendix B): pixel blitting, general geometric and colour
transformations, in that order, each drawn for every sample and applied with probability p. As
long as p is well under 1 they do not leak: the generator's best answer is the data themselves.
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor, nn

INTERVAL = 4
"""Steps between two updates of p (appendix D)."""
SHIFT = 0.125
"""Of integer translations the range, of fractional ones the deviation; as a share of the side."""


def augment(x: Tensor, p: Tensor | float, *, colour: float = 1.0, cutout: bool = False) -> Tensor:
    """Samples ``(B, C, *space)`` in [-1, 1], each transformed at random; at p = 0 they are what
    they were, bit for bit. It can be differentiated twice by x, as R1 through it requires.

    Pictures (two sides) undergo the whole set: mirrored left and right, turned by quarters, shifted
    by whole pixels; scaled, turned, stretched, shifted by fractions; brightness, contrast, luma
    flip, hue (of three channels), saturation. Other signals are mirrored along their last side and
    shifted by whole positions along every one; points ``(B, D)`` stay as they are. What comes from
    beyond a border is the reflection of what is within. The paper's code interpolates at twice the
    resolution, by wavelet filters of 12 taps; here it is done linearly, at the resolution there is.

    Args:
        x: The samples.
        p: The probability of each transformation, at least 0; over 1 is as 1.
        colour: p of the colour transformations is ``colour * p``.
        cutout: Whether a square of half the side is blanked too, with probability p.
    """
    if x.dim() == 2:
        return x
    with torch.autocast(x.device.type, enabled=False):
        x = resample(x, *_geometry(x, p))
        if x.dim() == 4:
            x = _recolour(x, colour * p)
        if cutout:
            x = cut_out(x, p)
    return x


class AdaptiveProbability(nn.Module):
    """p, raised while the discriminator has memorised the training set, else lowered.

    The heuristic is r_t = E[sign(D(real))] over the last four steps: 0 if the discriminator cannot
    tell, 1 if it recognises every real sample (eq. 1). If it is above ``target``, p grows, from 0
    to 1 in ``examples`` at most; else it falls, not below 0.
    """

    p: Tensor
    signs: Tensor

    def __init__(self, *, target: float, examples: int) -> None:
        super().__init__()
        self.target = target
        self.examples = examples
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))

    @torch.no_grad()
    def update(self, logits: Tensor, step: int) -> None:
        """Adapt p after ``step`` (from 0), given its logits ``(B,)`` of real samples."""
        self.signs += over_ranks(logits.float().sign().mean()) / INTERVAL
        if (step + 1) % INTERVAL == 0:
            batch = len(logits) * ranks()
            self.p += (self.signs - self.target).sign() * (INTERVAL * batch / self.examples)
            self.p.clamp_(min=0)
            self.signs.zero_()


def ranks() -> int:
    """The number of processes that train together."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1


def over_ranks(x: Tensor) -> Tensor:
    """The mean of ``x`` over the processes: what decides something must be the same on all."""
    if ranks() > 1:
        x = x.clone()
        torch.distributed.all_reduce(x)
        x = x / ranks()
    return x


# A transformation of the plane is given by its inverse: the position from which each output
# comes is ``matrix @ output + offset``, in pixels from the middle, axes in the order of the sides.


def blit(mirror: Tensor, quarters: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrored along the last side where ``mirror`` ``(B,)`` is 1, not 0; if there are two sides,
    turned by ``quarters``; shifted by ``shift`` ``(B, d)``: ``(B, d, d)`` and ``(B, d)``."""
    signs = torch.ones_like(shift)
    signs[:, -1] -= 2 * mirror
    matrix = torch.diag_embed(signs)
    if shift.shape[1] == 2:  # rounded, so that it leads from pixels to pixels
        matrix = matrix @ rotation(-quarters * (math.pi / 2)).round()
    return matrix, -(matrix @ shift[..., None])[..., 0]


def warp(
    scale: Tensor, before: Tensor, stretch: Tensor, after: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Of pictures: scaled by 2 to the power of ``scale`` ``(B,)``, turned by the angle ``before``,
    stretched by 2 to the power of ``stretch`` along the first axis and shrunk by as much along the
    second, turned by ``after``, shifted by ``shift`` ``(B, 2)``."""
    matrix = (
        torch.diag_embed(torch.exp2(torch.stack([-scale, -scale], -1)))
        @ rotation(-before)
        @ torch.diag_embed(torch.exp2(torch.stack([-stretch, stretch], -1)))
        @ rotation(-after)
    )
    return matrix, -(matrix @ shift[..., None])[..., 0]


def rotation(angle: Tensor) -> Tensor:
    """From the first axis towards the second: ``(B,)`` to ``(B, 2, 2)``."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _geometry(x: Tensor, p: Tensor | float) -> tuple[Tensor, Tensor]:
    """A random transformation of each sample."""
    sides = _sides(x)
    count, dimensions = len(x), len(sides)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=x.device, dtype=x.dtype)

    uniform = torch.rand(count, dimensions, device=x.device, dtype=x.dtype) * 2 - 1
    matrix, offset = blit(
        mirror=_maybe(_integers(x, 2), p),
        quarters=_maybe(_integers(x, 4), p),
        shift=_maybe((SHIFT * uniform * sides).round(), p),
    )
    if dimensions != 2:
        return matrix, offset
    # Two rotations, each with a probability such that either happens with p.
    once = 1 - (1 - torch.as_tensor(p, device=x.device)).clamp(min=0).sqrt()
    warped, moved = warp(
        scale=_maybe(0.2 * normal(), p),
        before=_maybe(_angles(x), once),
        stretch=_maybe(0.2 * normal(), p),
        after=_maybe(_angles(x), once),
        shift=_maybe(SHIFT * sides * normal(2), p),
    )
    return matrix @ warped, (matrix @ moved[..., None])[..., 0] + offset


def resample(x: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Linear interpolation at the positions from which the outputs come. By ``gather``, which can
    be differentiated twice, as ``grid_sample`` cannot."""
    sides = x.shape[2:]
    lines = [torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1) / 2 for n in sides]
    outputs = torch.stack(torch.meshgrid(*lines, indexing="ij")).flatten(1)
    middle = (_sides(x) - 1) / 2
    positions = matrix @ outputs + (offset + middle)[..., None]
    low = positions.floor()
    part = positions - low

    flat = x.flatten(2)
    total = torch.zeros_like(flat)
    for corner in product((0, 1), repeat=len(sides)):
        index = torch.zeros_like(low[:, 0], dtype=torch.long)
        weight = torch.ones_like(low[:, 0])
        for axis, (step, side) in enumerate(zip(corner, sides, strict=True)):
            index = index * side + _reflected(low[:, axis].long() + step, side)
            weight = weight * (part[:, axis] if step else 1 - part[:, axis])
        total = total + weight[:, None] * flat.gather(2, index[:, None].expand_as(flat))
    return total.view_as(x)


def recoloured(
    x: Tensor,
    *,
    brightness: Tensor,
    contrast: Tensor,
    flip: Tensor,
    angle: Tensor,
    saturation: Tensor,
) -> Tensor:
    """Pictures made brighter by ``brightness`` ``(B,)``, their contrast 2 to the power of
    ``contrast``, their luma negated where ``flip`` is 1, their hue (of three channels) turned by
    ``angle``, their saturation 2 to the power of ``saturation``.

    The paper's matrices act on a pixel's mean over the channels, its luma, and on the rest, its
    chroma, apart. Each change is added, so that none is exactly none.
    """

    def each(value: Tensor) -> Tensor:
        return value[:, None, None, None]

    x = (x + each(brightness)) * torch.exp2(each(contrast))
    luma = x.mean(1, keepdim=True)
    x = x - 2 * each(flip) * luma
    if x.shape[1] == 3:
        # Rodrigues' formula about (1, 1, 1) / √3, along which the luma lies.
        chroma = x - x.mean(1, keepdim=True)
        across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / math.sqrt(3)
        x = x + (each(angle).cos() - 1) * chroma + each(angle).sin() * across
    chroma = x - x.mean(1, keepdim=True)
    return x + (torch.exp2(each(saturation)) - 1) * chroma


def _recolour(x: Tensor, p: Tensor | float) -> Tensor:
    """Each with its own draw, and its own chance of none."""

    def normal() -> Tensor:
        return torch.randn(len(x), device=x.device, dtype=x.dtype)

    return recoloured(
        x,
        brightness=_maybe(0.2 * normal(), p),
        contrast=_maybe(0.5 * normal(), p),
        flip=_maybe(_integers(x, 2), p),
        angle=_maybe(_angles(x), p),
        saturation=_maybe(normal(), p),
    )


def cut_out(x: Tensor, p: Tensor | float) -> Tensor:
    """Blanks a box of half the sides about a random middle, part of which may lie beyond."""
    inside = _maybe(x.new_ones(len(x)), p).bool().view(-1, *[1] * (x.dim() - 1))
    for axis, side in enumerate(x.shape[2:], start=2):
        shape = [1] * x.dim()
        shape[axis] = side
        line = ((torch.arange(side, device=x.device, dtype=x.dtype) + 0.5) / side).view(shape)
        middle = torch.rand(len(x), device=x.device, dtype=x.dtype).view(-1, *[1] * (x.dim() - 1))
        inside = inside & ((line - middle).abs() < 0.25)
    return x.masked_fill(inside, 0)


def _maybe(value: Tensor, p: Tensor | float) -> Tensor:
    """``value`` ``(B, …)`` in a share p of the samples, elsewhere 0."""
    chosen = torch.rand(len(value), device=value.device) < p
    return value * chosen.view(-1, *[1] * (value.dim() - 1))


def _integers(x: Tensor, below: int) -> Tensor:
    return torch.randint(below, (len(x),), device=x.device).to(x.dtype)


def _angles(x: Tensor) -> Tensor:
    return (torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1) * math.pi


def _reflected(index: Tensor, side: int) -> Tensor:
    """Positions beyond the borders, however far, folded back at the first and the last one."""
    period = max(2 * (side - 1), 1)
    index = index % period
    return torch.minimum(index, period - index).clamp(max=side - 1)


def _sides(x: Tensor) -> Tensor:
    return torch.tensor(x.shape[2:], device=x.device, dtype=x.dtype)
