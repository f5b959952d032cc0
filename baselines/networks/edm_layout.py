"""The state dicts of Karras et al. 2022 (their released code): DDPM++, NCSN++ and ADM.

There is no configuration file: names and shapes of the weights define the network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count, takewhile

from torch import Tensor
from torch.nn import functional as F

from baselines.networks.blocks import BOX, Attention, Block
from baselines.networks.layout import (
    Entry,
    Names,
    Stored,
    check_fit,
    joined,
    layer,
    places,
    residual,
    same,
)
from baselines.networks.published import ADM, DDPMPP, Design, PublishedUNet
from genbench.api import SampleSpec
from genbench.api.errors import UsageError

NAMES = Names(("norm0", "norm1"), ("conv0", "conv1"), "skip", "affine")

NEEDLESS = re.compile(r"map_augment\..*|.*\.resample_filter")
"""The branch for augmentations, without which they sample, and the filters, once they are known."""


def load(stored: Stored, spec: SampleSpec, *, conditional: bool, outputs: int) -> PublishedUNet:
    """The network of a state dict, whose names may begin with "model.", its preconditioning's.

    Raises:
        UsageError: As ``load_pretrained`` does.
    """
    stored.tensors = {name.removeprefix("model."): it for name, it in stored.tensors.items()}
    grids = _grids(stored.tensors)
    if not grids:
        raise UsageError(f"{stored.folder} holds no network of Karras et al. 2022")
    top = f"enc.{grids[0]}"
    channels, in_channels = stored[f"{top}_conv.weight"].shape[:2]
    out = _out(stored.tensors, grids)
    labelled = "map_label.weight" in stored.tensors
    classes = stored["map_label.weight"].shape[1] if labelled else 0
    side = int(grids[0].partition("x")[0])
    check_fit(
        stored.folder,
        spec,
        (in_channels, side, side),
        classes=classes,
        conditional=conditional,
        made=len(stored[f"{out[1]}.weight"]),
        outputs=outputs,
    )
    blocks = takewhile(lambda n: f"{top}_block{n}.conv0.weight" in stored.tensors, count())
    network = PublishedUNet(
        spec.shape,
        _design(stored, grids),
        channels=channels,
        widths=[len(stored[f"enc.{grid}_block0.conv0.weight"]) for grid in grids],
        blocks=len(list(blocks)),
        dropout=0.0,
        attention=[
            level
            for level, grid in enumerate(grids)
            if f"enc.{grid}_block0.qkv.weight" in stored.tensors
        ],
        classes=classes,
        outputs=outputs,
        time_scale=1.0,
    )
    stored.tensors = {n: it for n, it in stored.tensors.items() if not NEEDLESS.fullmatch(n)}
    stored.fill(network, _entries(network, grids, out))
    return network


def _grids(tensors: dict[str, Tensor]) -> list[str]:
    """The levels as their names have them, "32x32" first, say."""
    stems = [re.fullmatch(r"enc\.(\d+)x\1_conv\.weight", name) for name in tensors]
    side = max((int(stem[1]) for stem in stems if stem), default=0)
    sides = takewhile(bool, (side >> level for level in count()))
    grids = [f"{n}x{n}" for n in sides]
    return list(takewhile(lambda grid: f"enc.{grid}_block0.conv0.weight" in tensors, grids))


def _out(tensors: dict[str, Tensor], grids: list[str]) -> tuple[str, str]:
    """The last normalisation and the last convolution."""
    if "out_conv.weight" in tensors:
        return "out_norm", "out_conv"
    return f"dec.{grids[0]}_aux_norm", f"dec.{grids[0]}_aux_conv"


def _design(stored: Stored, grids: list[str]) -> Design:
    if "out_conv.weight" in stored.tensors:
        return ADM
    taps = BOX
    if len(grids) > 1:
        first_row = stored[f"enc.{grids[1]}_down.conv0.resample_filter"][0, 0, 0]
        taps = tuple((first_row / first_row[0]).round().int().tolist())
    return replace(
        DDPMPP,
        style=replace(DDPMPP.style, taps=taps),
        pyramid=any("aux_residual" in name for name in stored.tensors),
        fourier="map_noise.freqs" in stored.tensors,
    )


def _entries(network: PublishedUNet, grids: list[str], out: tuple[str, str]) -> Iterator[Entry]:
    def name(way: str, level: int, index: int) -> str:
        if way == "middle":
            return f"dec.{grids[-1]}_in{index}"
        if way == "up":
            changes = index > network.blocks
            return (
                f"dec.{grids[-2 - level]}_up"
                if changes
                else f"dec.{grids[-1 - level]}_block{index}"
            )
        if index:
            return f"enc.{grids[level]}_block{index - 1}"
        return f"enc.{grids[level]}_" + ("down" if level else "conv")

    yield from layer("out.0", out[0])
    yield from layer("out.1", out[1])
    for level in range(len(network.pyramid)):
        yield from layer(f"pyramid.{level}.conv", f"enc.{grids[level + 1]}_aux_residual")
    blocks = []
    for place in places(network, name):
        if not isinstance(place.module, Block):
            yield from layer(place.ours, place.theirs)
            continue
        blocks.append(place.theirs)
        yield from residual(place.ours, place.module, place.theirs, NAMES)
        attention = place.module.attention
        if isinstance(attention, Attention):
            ours, theirs = f"{place.ours}.attention", place.theirs
            yield from layer(f"{ours}.norm", f"{theirs}.norm2")
            yield from layer(f"{ours}.out", f"{theirs}.proj")
            apart = partial(_apart, heads=attention.heads)
            for kind in ("weight", "bias"):
                yield f"{ours}.queries_keys_values.{kind}", [f"{theirs}.qkv.{kind}"], apart
    yield from layer("signals.layers.0", "map_layer0")
    yield from layer("signals.layers.2", "map_layer1")
    yield from joined("signals.layers.4", [f"{block}.{NAMES.time}" for block in blocks])
    if network.signals.labels is not None:
        names = ["map_label.weight", "map_label.bias"][: 2 if network.signals.entry == 0 else 1]
        yield "signals.labels.weight", names, _rows
    if "embedding.frequencies" in network.signals.state_dict():
        yield "signals.embedding.frequencies", ["map_noise.freqs"], same


def _apart(weight: Tensor, *, heads: int) -> Tensor:
    """Queries, keys and values one after the other, which they have side by side for each channel
    of each head."""
    return weight.view(heads, -1, 3, *weight.shape[1:]).movedim(2, 0).flatten(0, 2)


def _rows(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What their layer makes of each class, and of none: of one-hot vectors, which have a length of
    √K if there is a bias, and of 0."""
    rows = F.pad(weight.T, (0, 0, 0, 1))
    return rows if bias is None else rows * math.sqrt(weight.shape[1]) + bias
