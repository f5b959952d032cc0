"""diffusers' ``UNet2DModel``, the layout in which the networks of Ho et al. 2020 are published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, PositiveInt, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional as F

from baselines.networks.blocks import Attention, Block, Style
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
from baselines.networks.published import Design, PublishedUNet
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import UsageError

NAMES = Names(("norm1", "norm2"), ("conv1", "conv2"), "conv_shortcut", "time_emb_proj")
OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""What the layers of attention were called at first, and what they are called now."""

Sizes: TypeAlias = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class Config(BaseModel):
    """A ``config.json`` as far as it decides the network; what it lacks is diffusers' default."""

    kind: Literal["UNet2DModel"] = Field(alias="_class_name")
    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    center_input_sample: Literal[False] = False
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: None = None
    freq_shift: Annotated[int, Field(ge=0, le=1)] = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[
        Literal["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"], ...
    ] = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: Literal["UNetMidBlock2D"] = "UNetMidBlock2D"
    up_block_types: tuple[Literal["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"], ...] = (
        "AttnUpBlock2D",
        "AttnUpBlock2D",
        "AttnUpBlock2D",
        "UpBlock2D",
    )
    block_out_channels: Sizes = (224, 448, 672, 896)
    layers_per_block: PositiveInt = 2
    mid_block_scale_factor: Annotated[float, Field(ge=1, le=1)] = 1
    downsample_padding: Annotated[int, Field(ge=0, le=1)] = 1
    downsample_type: Literal["conv", "resnet"] = "conv"
    upsample_type: Literal["conv", "resnet"] = "conv"
    act_fn: Literal["silu", "swish"] = "silu"
    attention_head_dim: PositiveInt | None = 8
    norm_num_groups: PositiveInt = 32
    attn_norm_num_groups: PositiveInt | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: Literal[True] = True
    class_embed_type: None = None
    num_class_embeds: PositiveInt | None = None

    @model_validator(mode="after")
    def _are_one_design(self) -> Config:
        down, up = self.down_block_types, self.up_block_types[::-1]
        if not len(down) == len(up) == len(self.block_out_channels):
            raise ValueError("there are not as many blocks down as up, or as channels")
        if ["Attn" in kind for kind in down] != ["Attn" in kind for kind in up]:
            raise ValueError("the levels that attend differ on the ways down and up")
        if len(self.resampling()) > 1:
            raise ValueError("some levels change the sides by convolutions, some in blocks")
        groups = self.attn_norm_num_groups
        plain = self.resnet_time_scale_shift == "default" and groups is None
        if not plain and groups != self.norm_num_groups:
            raise ValueError("the attention in the middle is not normalised as the rest is")
        return self

    def resampling(self) -> set[str]:
        """How the sides change, "conv" or "resnet": one way, or none of a single level."""
        ways = {
            "DownBlock2D": "conv",
            "AttnDownBlock2D": self.downsample_type,
            "ResnetDownsampleBlock2D": "resnet",
            "UpBlock2D": "conv",
            "AttnUpBlock2D": self.upsample_type,
            "ResnetUpsampleBlock2D": "resnet",
        }
        return {ways[kind] for kind in (*self.down_block_types[:-1], *self.up_block_types[:-1])}

    def design(self) -> Design:
        style = Style(
            scaled=self.resnet_time_scale_shift == "scale_shift",
            head=self.attention_head_dim,
            groups=self.norm_num_groups,
            group_size=1,
            eps=self.norm_eps,
        )
        design = Design(
            style,
            resampling="centred" if self.downsample_padding else "shifted",
            offset=1.0,
            endpoint=self.freq_shift == 1,
            cosines_first=self.flip_sin_to_cos,
        )
        return replace(design, resampling="blocks") if "resnet" in self.resampling() else design

    def shape(self, sides: tuple[int, ...]) -> tuple[int, ...]:
        """Of its samples, which any ``sides`` may be if it does not say."""
        size = self.sample_size
        if size is None:
            return (self.in_channels, *sides)
        return (self.in_channels, *(size if isinstance(size, tuple) else (size, size)))


def load(
    stored: Stored, text: bytes, spec: SampleSpec, *, conditional: bool, outputs: int
) -> PublishedUNet:
    """The network that ``text``, a ``config.json``, describes, with the weights that are stored.

    Of as many rows for labels as the samples have classes, none is for no class: it becomes 0.

    Raises:
        UsageError: As ``load_pretrained`` does.
    """
    try:
        config = Config.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise UsageError(f"{stored.folder}/config.json: {where}{first['msg']}") from None
    label = spec.condition.get("label")
    rows = config.num_class_embeds or 0
    null = isinstance(label, Categorical) and rows == label.count + 1
    classes = rows - 1 if null else rows
    check_fit(
        stored.folder,
        spec,
        config.shape(spec.shape[1:]),
        classes=classes,
        conditional=conditional,
        made=config.out_channels,
        outputs=outputs,
    )
    network = PublishedUNet(
        spec.shape,
        config.design(),
        channels=config.block_out_channels[0],
        widths=config.block_out_channels,
        blocks=config.layers_per_block,
        dropout=0.0,
        attention=[level for level, kind in enumerate(config.down_block_types) if "Attn" in kind],
        classes=classes,
        outputs=outputs,
    )
    stored.tensors = {_today(name): tensor for name, tensor in stored.tensors.items()}
    stored.fill(network, _entries(network, null=null))
    return network


def _entries(network: PublishedUNet, *, null: bool) -> Iterator[Entry]:
    def name(way: str, level: int, index: int) -> str:
        if way == "middle":
            return f"mid_block.resnets.{index}"
        if way == "up":
            changes = index > network.blocks
            return f"up_blocks.{level}." + ("upsamplers.0" if changes else f"resnets.{index}")
        if index:
            return f"down_blocks.{level}.resnets.{index - 1}"
        return f"down_blocks.{level - 1}.downsamplers.0" if level else "conv_in"

    yield from layer("out.0", "conv_norm_out")
    yield from layer("out.1", "conv_out")
    walk = places(network, name)
    for place in walk:
        ours, module, theirs = place.ours, place.module, place.theirs
        if not isinstance(module, Block):
            inner = "" if theirs == "conv_in" else ".conv"
            yield from layer(ours + inner, theirs + inner)
            continue
        yield from residual(ours, module, theirs, NAMES)
        if isinstance(module.attention, Attention):
            attention = theirs.replace("resnets", "attentions")
            yield from layer(f"{ours}.attention.norm", f"{attention}.group_norm")
            parts = [f"{attention}.{part}" for part in ("to_q", "to_k", "to_v")]
            yield from joined(f"{ours}.attention.queries_keys_values", parts, dense=True)
            yield from joined(f"{ours}.attention.out", [f"{attention}.to_out.0"], dense=True)
    yield from layer("signals.layers.0", "time_embedding.linear_1")
    yield from layer("signals.layers.2", "time_embedding.linear_2")
    blocks = [place.theirs for place in walk if isinstance(place.module, Block)]
    yield from joined("signals.layers.4", [f"{block}.{NAMES.time}" for block in blocks])
    if network.signals.labels is not None:
        rows = same if null else _and_null
        yield "signals.labels.weight", ["class_embedding.weight"], rows


def _and_null(rows: Tensor) -> Tensor:
    return F.pad(rows, (0, 0, 0, 1))


def _today(name: str) -> str:
    for old, new in OLD.items():
        name = name.replace(old, new)
    return name
