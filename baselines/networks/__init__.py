"""Networks that the contestants share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypedDict

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import nn

from baselines.networks.diffwave import DiffWave
from baselines.networks.dit import DiT
from baselines.networks.mlp import MLP
from baselines.networks.patched import Patched, patched_shape
from baselines.networks.published import ADM, DDPM, DDPMPP, NCSNPP, PublishedUNet
from baselines.networks.text import TEXT_LAYERS, encoder_of
from baselines.networks.unet import UNet
from baselines.sentences import Sentences
from genbench.api import SampleSpec, Text
from genbench.api.errors import UsageError

DESIGNS = {"ddpm": DDPM, "ddpmpp": DDPMPP, "ncsnpp": NCSNPP, "adm": ADM}


@dataclass(frozen=True)
class NetworkOptions:
    """Options of a denoising network."""

    network: Literal["unet", "ddpm", "ddpmpp", "ncsnpp", "adm", "dit", "diffwave"] = "unet"
    """``unet``, our own; the networks of Ho et al. 2020 (``ddpm``), Song et al. 2021 (``ddpmpp``
    and ``ncsnpp``), Dhariwal & Nichol 2021 (``adm``), Peebles & Xie 2023 (``dit``), Kong et al.
    2021 (``diffwave``, for sounds). Points take an MLP."""
    channels: PositiveInt = 16
    """Of a U-Net's first level, a multiple of 4; an MLP's width over 8."""
    multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2)
    """Of the channels, one a level; each level below the first halves every side. A DiT is as wide
    as a U-Net's lowest level, and has a token for each position there; so is ``diffwave``, which
    has a frame of samples for each."""
    blocks: PositiveInt = 1
    """Residual blocks a level on the way down; ``unet`` has as many on the way up, the published
    ones have one more. An MLP, a DiT or ``diffwave`` has as many in all as ``unet`` would have."""
    patch: PositiveInt = 1
    """The network sees squares of so many positions along each side as one position, with their
    values as its channels. A U-Net of patches of 2 does at its first level what it would else do at
    its second."""
    attention: tuple[PositiveInt, ...] | None = None
    """The sides of the maps that attend, by their longest: 16 for maps of 16×16. None for the
    network's own choice: the lowest level's; the largest up to 16 in ``ddpm``, ``ddpmpp`` and
    ``ncsnpp``; all up to 32 in ``adm``."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Inside the residual blocks."""
    text_width: PositiveInt = 64
    """Where samples are conditioned on a text: of the vectors that stand for its tokens."""
    text_layers: NonNegativeInt = TEXT_LAYERS
    """Of the transformer that learns to read the text; 0: each token is read by itself."""


def denoising_network(
    spec: SampleSpec,
    *,
    options: NetworkOptions,
    classes: int = 0,
    text: Text | Sentences | None = None,
    outputs: int = 1,
    time_scale: float = 1000.0,
) -> nn.Module:
    """A network ``(x, time, labels=None)`` → ``outputs`` times x's channels.

    ``time`` ``(B,)`` is any float. ``labels`` ``(B,)`` int64 in 0…K, K for no class, are given
    if ``classes`` = K is not 0; of a ``text``, in their place, the tokens ``(B, T)`` int64 or the
    vectors ``(B, S, 384)`` of ``Sentences``, all 0 for no text.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points ``(D,)``.
        options: Which network, and its size.
        classes: K of the labels.
        text: What texts are to it; of ``unet`` and ``dit`` alone.
        outputs: How many times C channels come out.
        time_scale: What the time is multiplied by before sines and cosines are taken of it; the
            default is for times in [0, 1], and 1 for Karras et al. 2022's c_noise. ``ncsnpp`` takes
            it as it is.

    Raises:
        UsageError: Samples, channels or texts that the network cannot take, or no map of a side in
            ``attention``.
    """
    if options.patch > 1:
        inner = denoising_network(
            replace(spec, shape=patched_shape(spec.shape, options.patch)),
            options=replace(options, patch=1),
            classes=classes,
            text=text,
            outputs=outputs,
            time_scale=time_scale,
        )
        return Patched(inner, options.patch, len(spec.shape) - 1)
    network, channels, blocks = options.network, options.channels, options.blocks
    multipliers, attention = options.multipliers, options.attention
    features, *space = spec.shape
    widths = [channels * multiplier for multiplier in multipliers]
    in_all = 2 * blocks * len(multipliers)
    shared = _Shared(
        dropout=options.dropout, classes=classes, outputs=outputs, time_scale=time_scale
    )
    encoder = None
    if text is not None:
        if network not in ("unet", "dit") or not space:
            raise UsageError("texts are for network 'unet' or 'dit', and for samples with sides")
        encoder = encoder_of(text, width=options.text_width, layers=options.text_layers)
    if attention is not None and (network in ("dit", "diffwave") or not space):
        raise UsageError("attention is an option of the U-Nets")
    if not space:
        if network != "unet":
            raise UsageError(f"network {network!r} needs samples with sides; points have none")
        return MLP(features, width=8 * channels, blocks=in_all, **shared)
    halvings = len(multipliers) - 1
    if network == "dit":
        return DiT(
            spec.shape, halvings=halvings, width=widths[-1], depth=in_all, text=encoder, **shared
        )
    if network == "diffwave":
        if options.dropout:
            raise UsageError("dropout is no option of network 'diffwave'")
        return DiffWave(
            spec.shape,
            frame=2**halvings,
            width=widths[-1],
            depth=in_all,
            classes=classes,
            outputs=outputs,
            time_scale=time_scale,
        )
    sides = [max(space) // 2**level for level in range(len(multipliers))]
    levels = _attending(network, sides) if attention is None else _levels(sides, attention)
    if network == "unet":
        return UNet(
            spec.shape,
            channels=channels,
            multipliers=multipliers,
            blocks=blocks,
            attention=levels,
            text=encoder,
            **shared,
        )
    return PublishedUNet(
        spec.shape,
        DESIGNS[network],
        channels=channels,
        widths=widths,
        blocks=blocks,
        attention=levels,
        **shared,
    )


class _Shared(TypedDict):
    dropout: float
    classes: int
    outputs: int
    time_scale: float


def _attending(network: str, sides: Sequence[int]) -> list[int]:
    """The levels that attend by default."""
    if network == "unet":
        return [len(sides) - 1]
    if network == "adm":
        return [level for level, side in enumerate(sides) if side <= 32]
    return [level for level, side in enumerate(sides) if side <= 16][:1]


def _levels(sides: Sequence[int], attention: Collection[int]) -> list[int]:
    unknown = sorted(set(attention) - set(sides))
    if unknown:
        maps = ", ".join(map(str, sides))
        raise UsageError(f"attention: no map has a side of {unknown[0]}; the sides are {maps}")
    return [level for level, side in enumerate(sides) if side in attention]
