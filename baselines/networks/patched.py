"""Networks that see squares of pixels as one position (space to depth)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from genbench.api.errors import UsageError


class Patched(nn.Module):
    """``network(x, time, labels=None)`` of x ``(B, C, *space)``, by an inner network that is given
    ``(B, C * patch^d, *(space / patch))``: the ``patch`` positions along each of d sides come as
    channels, and its output goes back to where they were (as in Hoogeboom et al. 2023, "simple
    diffusion", section 3.3)."""

    def __init__(self, network: nn.Module, patch: int, sides: int) -> None:
        super().__init__()
        self.network = network
        self.patch = patch
        self.sides = sides

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        out: Tensor = self.network(fold(x, self.patch), time, labels)
        return unfold(out, self.patch, self.sides)


def fold(x: Tensor, patch: int) -> Tensor:
    """``(B, C, *space)`` → ``(B, C * patch^d, *(space / patch))``."""
    sides = x.ndim - 2
    split = [part for side in x.shape[2:] for part in (side // patch, patch)]
    within = [3 + 2 * side for side in range(sides)]
    across = [2 + 2 * side for side in range(sides)]
    return x.reshape(*x.shape[:2], *split).permute(0, 1, *within, *across).flatten(1, 1 + sides)


def unfold(x: Tensor, patch: int, sides: int) -> Tensor:
    """The inverse of ``fold``, of any multiple of its channels."""
    x = x.reshape(len(x), -1, *[patch] * sides, *x.shape[2:])
    order = [axis for side in range(sides) for axis in (2 + sides + side, 2 + side)]
    x = x.permute(0, 1, *order)
    space = [x.shape[2 + 2 * side] * patch for side in range(sides)]
    return x.reshape(*x.shape[:2], *space)


def patched_shape(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """The shape that the inner network sees.

    Raises:
        UsageError: Points, or a side that is no multiple of ``patch``.
    """
    channels, *space = shape
    if not space or any(side % patch for side in space):
        sides: Sequence[int] = space or shape
        raise UsageError(
            f"patch = {patch} needs sides that are multiples of it; the samples are "
            f"{'×'.join(map(str, sides))}"
        )
    return (channels * patch ** len(space), *(side // patch for side in space))
