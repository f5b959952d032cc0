"""DDPM++, NCSN++ and ADM of diffusers' blocks, wired and named as in Karras et al. 2022.

diffusers has the blocks, not these networks: what is written here is the way from block to block.
"""

from __future__ import annotations

import math

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import FirDownsample2D
from diffusers.models.embeddings import GaussianFourierProjection, TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F


class Reference(nn.Module):
    """``network(x, time, one_hot)``; ``kind`` is "ddpmpp", "ncsnpp" or "adm"."""

    def __init__(
        self,
        kind: str,
        side: int,
        channels: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: set[int],
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.kind, self.classes = kind, classes
        self.hidden = 4 * channels
        adm, ncsnpp = kind == "adm", kind == "ncsnpp"
        features = 2 * channels if ncsnpp else channels
        self.times = (
            GaussianFourierProjection(channels, scale=16.0, log=False)
            if ncsnpp
            else Timesteps(channels, flip_sin_to_cos=adm, downscale_freq_shift=0 if adm else 1)
        )
        self.mapping = TimestepEmbedding(features, self.hidden)
        if classes:
            self.labels = nn.Linear(classes, self.hidden if adm else features, bias=not adm)

        grids = [f"{side >> level}x{side >> level}" for level in range(len(multipliers))]
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        self.attention, self.pyramid = nn.ModuleDict(), nn.ModuleDict()
        into, above, skips = channels, 3, [channels]
        self.encoder[f"{grids[0]}_conv"] = nn.Conv2d(3, channels, 3, padding=1)
        for level, (grid, multiplier) in enumerate(zip(grids, multipliers, strict=True)):
            if level > 0:
                self.encoder[f"{grid}_down"] = self.block(into, into, down=True)
                skips.append(into)
                if ncsnpp:
                    self.pyramid[grid] = FirDownsample2D(above, into, use_conv=True)
                    above = into
            for index in range(blocks):
                width = channels * multiplier
                name = f"{grid}_block{index}"
                self.encoder[name] = self.block(into, width)
                if side >> level in attention:
                    self.attention[f"enc {name}"] = self.attending(width)
                skips.append(width)
                into = width
        self.decoder[f"{grids[-1]}_in0"] = self.block(into, into)
        self.attention[f"dec {grids[-1]}_in0"] = self.attending(into)
        self.decoder[f"{grids[-1]}_in1"] = self.block(into, into)
        for level, (grid, multiplier) in reversed(
            list(enumerate(zip(grids, multipliers, strict=True)))
        ):
            if level < len(grids) - 1:
                self.decoder[f"{grid}_up"] = self.block(into, into, up=True)
            for index in range(blocks + 1):
                width = channels * multiplier
                name = f"{grid}_block{index}"
                self.decoder[name] = self.block(into + skips.pop(), width)
                if side >> level in attention and (adm or index == blocks):
                    self.attention[f"dec {name}"] = self.attending(width)
                into = width
        self.norm = nn.GroupNorm(min(32, into // 4), into, eps=1e-5 if adm else 1e-6)
        self.out = nn.Conv2d(into, 3, 3, padding=1)
        self.grids = grids

    def block(self, into: int, width: int, *, up: bool = False, down: bool = False) -> nn.Module:
        adm = self.kind == "adm"
        return ResnetBlock2D(
            in_channels=into,
            out_channels=width,
            temb_channels=self.hidden,
            groups=min(32, into // 4),
            groups_out=min(32, width // 4),
            eps=1e-5 if adm else 1e-6,
            time_embedding_norm="scale_shift" if adm else "default",
            output_scale_factor=1.0 if adm else math.sqrt(2),
            use_in_shortcut=into != width or (not adm and (up or down)),
            kernel="fir" if self.kind == "ncsnpp" else "sde_vp",
            up=up,
            down=down,
        )

    def attending(self, width: int) -> nn.Module:
        adm = self.kind == "adm"
        return Attention(
            width,
            heads=width // 64 if adm else 1,
            dim_head=64 if adm else width,
            rescale_output_factor=1.0 if adm else math.sqrt(2),
            eps=1e-5 if adm else 1e-6,
            norm_num_groups=min(32, width // 4),
            residual_connection=True,
            bias=True,
            _from_deprecated_attn_block=True,
        )

    def forward(self, x: Tensor, time: Tensor, one_hot: Tensor | None = None) -> Tensor:
        emb = self.times(time)
        if one_hot is not None and self.kind != "adm":
            emb = emb + self.labels(one_hot * math.sqrt(self.classes))
        emb = self.mapping(emb)
        if one_hot is not None and self.kind == "adm":
            emb = emb + self.labels(one_hot)
        h, small, skips = x, x, []
        for name, module in self.encoder.items():
            h = module(h) if name.endswith("conv") else module(h, emb)
            if f"enc {name}" in self.attention:
                h = self.attention[f"enc {name}"](h)
            grid = name.partition("_")[0]
            if name.endswith("down") and grid in self.pyramid:
                small = h = (h + self.pyramid[grid](small)) / math.sqrt(2)
            skips.append(h)
        for name, module in self.decoder.items():
            if "block" in name:
                h = torch.cat([h, skips.pop()], dim=1)
            h = module(h, emb)
            if f"dec {name}" in self.attention:
                h = self.attention[f"dec {name}"](h)
        return self.out(F.silu(self.norm(h)))

    def published_state(self) -> dict[str, Tensor]:
        """As a state dict of Karras et al. 2022 has it."""
        state: dict[str, Tensor] = {}

        def layer(name: str, module: nn.Module) -> None:
            state.update({f"model.{name}.{key}": it for key, it in module.state_dict().items()})

        last = ("out_norm", "out_conv")
        if self.kind != "adm":
            last = (f"dec.{self.grids[0]}_aux_norm", f"dec.{self.grids[0]}_aux_conv")
        layer(last[0], self.norm)
        layer(last[1], self.out)
        layer("map_layer0", self.mapping.linear_1)
        layer("map_layer1", self.mapping.linear_2)
        if self.classes:
            layer("map_label", self.labels)
        if self.kind == "ncsnpp":
            state["model.map_noise.freqs"] = self.times.weight.detach().clone()
        for grid, module in self.pyramid.items():
            layer(f"enc.{grid}_aux_residual", module.Conv2d_0)
        for way, modules in ("enc", self.encoder), ("dec", self.decoder):
            for name, module in modules.items():
                place = f"{way}.{name}"
                if name.endswith("conv"):
                    layer(place, module)
                    continue
                layer(f"{place}.norm0", module.norm1)
                layer(f"{place}.conv0", module.conv1)
                layer(f"{place}.affine", module.time_emb_proj)
                layer(f"{place}.norm1", module.norm2)
                layer(f"{place}.conv1", module.conv2)
                if module.conv_shortcut is not None:
                    layer(f"{place}.skip", module.conv_shortcut)
                if name.endswith(("up", "down")):
                    taps = [1.0, 3.0, 3.0, 1.0] if self.kind == "ncsnpp" else [1.0, 1.0]
                    line = torch.tensor(taps) / sum(taps)
                    for part in ("conv0", "skip"):
                        state[f"model.{place}.{part}.resample_filter"] = line.outer(line)[
                            None, None
                        ]
                attention = f"{way} {name}"
                if attention in self.attention:
                    attends = self.attention[attention]
                    layer(f"{place}.norm2", attends.group_norm)
                    parts = (attends.to_q, attends.to_k, attends.to_v)
                    for kind in ("weight", "bias"):
                        # Side by side: the query, the key and the value of each channel.
                        joint = torch.stack([getattr(p, kind) for p in parts], dim=1).flatten(0, 1)
                        sides = joint.detach()[..., None, None]
                        state[f"model.{place}.qkv.{kind}"] = (
                            sides.clone() if kind == "weight" else joint.detach().clone()
                        )
                    layer(f"{place}.proj", attends.to_out[0])
                    weight = f"model.{place}.proj.weight"
                    state[weight] = state[weight][..., None, None]
        return {name: it.detach().contiguous() for name, it in state.items()}
