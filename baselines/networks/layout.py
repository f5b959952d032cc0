"""Weights under other people's names, and their places in our published U-Nets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from baselines.networks.blocks import Block, Doubled, Resampled
from baselines.networks.published import PublishedUNet
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import UsageError

Entry: TypeAlias = tuple[str, Sequence[str], Callable[..., Tensor]]
"""A weight of ours, the names of those that it is made of, and how."""


class Stored:
    """The tensors of a folder by name, each of which must find its place."""

    def __init__(self, folder: str, tensors: dict[str, Tensor]) -> None:
        self.folder = folder
        self.tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise UsageError(f"{self.folder} has no weight {name!r}")
        return self.tensors[name].float()

    def fill(self, network: nn.Module, entries: Iterable[Entry]) -> None:
        """Fill every parameter and persistent buffer of ``network`` as its entry describes.

        Raises:
            UsageError: A weight that is missing, of another shape, or left over: the first by name.
        """
        places = network.state_dict()
        state: dict[str, Tensor] = {}
        left = set(self.tensors)
        for ours, theirs, make in entries:
            parts = [self[name] for name in theirs]
            left -= set(theirs)
            try:
                state[ours] = make(*parts)
                fits = state[ours].shape == places[ours].shape
            except RuntimeError:
                fits = False
            if not fits:
                raise UsageError(
                    f"{self.folder}: the weight {theirs[0]!r} of shape {tuple(parts[0].shape)} "
                    "does not fit"
                )
        if left:
            raise UsageError(f"{self.folder}: there is no place for the weight {min(left)!r}")
        network.load_state_dict(state)


@dataclass(frozen=True)
class Names:
    """What the layers of a residual block are called."""

    norms: tuple[str, str]
    convolutions: tuple[str, str]
    skip: str
    time: str


@dataclass(frozen=True)
class Place:
    """A module that x passes through, by our path, with its name elsewhere."""

    ours: str
    module: nn.Module
    theirs: str


def places(network: PublishedUNet, name: Callable[[str, int, int], str]) -> list[Place]:
    """In the order in which x comes by; ``name`` is given the way ("down", "middle" or "up"), the
    level, counted from where that way begins, and the index there."""
    ways = [
        ("down", network.down, network.blocks + 1),
        ("middle", network.middle, 2),
        ("up", network.up, network.blocks + 2),
    ]
    return [
        Place(f"{way}.{index}", module, name(way, *divmod(index, count)))
        for way, modules, count in ways
        for index, module in enumerate(modules)
    ]


def same(weight: Tensor) -> Tensor:
    return weight


def layer(ours: str, theirs: str) -> Iterator[Entry]:
    """A layer that is the same on both sides."""
    for kind in ("weight", "bias"):
        yield f"{ours}.{kind}", [f"{theirs}.{kind}"], same


def joined(ours: str, theirs: Sequence[str], *, dense: bool = False) -> Iterator[Entry]:
    """One layer in the place of several, whose outputs are concatenated; a convolution of single
    pixels in the place of ``dense`` layers."""
    names = {kind: [f"{name}.{kind}" for name in theirs] for kind in ("weight", "bias")}
    yield f"{ours}.weight", names["weight"], _pixelwise if dense else _following
    yield f"{ours}.bias", names["bias"], _following


def _following(*parts: Tensor) -> Tensor:
    return torch.cat(parts)


def _pixelwise(*parts: Tensor) -> Tensor:
    return torch.cat(parts)[..., None, None]


def residual(ours: str, block: Block, theirs: str, names: Names) -> Iterator[Entry]:
    """A residual block without its attention and its share of the time's projection."""
    inner = ".conv" if isinstance(block.before[1], (Doubled, Resampled)) else ""
    yield from layer(f"{ours}.before.0", f"{theirs}.{names.norms[0]}")
    yield from layer(f"{ours}.before.1{inner}", f"{theirs}.{names.convolutions[0]}")
    yield from layer(f"{ours}.norm", f"{theirs}.{names.norms[1]}")
    yield from layer(f"{ours}.after.1", f"{theirs}.{names.convolutions[1]}")
    if not isinstance(block.skip, nn.Identity):
        yield from layer(f"{ours}.skip", f"{theirs}.{names.skip}")


def check_fit(
    folder: str,
    spec: SampleSpec,
    shape: tuple[int, ...],
    *,
    classes: int,
    conditional: bool,
    made: int,
    outputs: int,
) -> None:
    """Raises ``UsageError`` if a network for samples of ``shape``, with so many ``classes`` and
    ``made`` output channels, is not the one that is asked for."""
    if spec.shape != shape:
        theirs, ours = ("×".join(map(str, sides)) for sides in (shape, spec.shape))
        raise UsageError(f"{folder} is for samples of {theirs}; these are {ours}")
    if conditional != bool(classes):
        learned = f"{classes} classes" if classes else "no classes"
        raise UsageError(
            f"{folder} was trained with {learned}: set conditional = {str(bool(classes)).lower()}"
        )
    label = spec.condition.get("label")
    count = label.count if isinstance(label, Categorical) else 0
    if conditional and count != classes:
        raise UsageError(f"{folder} was trained with {classes} classes; the samples have {count}")
    if made != outputs * shape[0]:
        raise UsageError(
            f"{folder} makes {made} channels of {shape[0]}, where {outputs * shape[0]} are needed"
        )
