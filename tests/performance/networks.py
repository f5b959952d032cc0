"""A U-Net trained and sampled, against diffusers' of the same structure.

32×32 pictures, 64, 128 and 128 channels, two residual blocks a level on the way down, attention at
16×16: 6.5 M parameters. diffusers runs in each of its own settings (either memory layout, compiled
or not), ours eager and compiled, and the best of each counts. By default diffusers' attention has
heads 8 wide; with one head, as here and in Ho et al. 2020, the networks are the same, and diffusers
is faster. Both comparisons are shown; of a training step also its share of what products of large
matrices reach in this precision.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from race import fastest
from ratio import Ratio
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from baselines.ddpm import ddpm
from baselines.networks import NetworkOptions
from baselines.optimizers import OptimizerConfig
from genbench.api import Batch, Progress, SampleSpec
from genbench.devices.compiling import compile_networks

# Every contestant is compiled by itself: beyond the default of 8, those that follow would not be.
torch._dynamo.config.recompile_limit = 64

TIMESTEPS = 1000
TARGETS = {"float32": 1.25, "bfloat16": 2.0}


@dataclass(frozen=True)
class Setting:
    """How diffusers may be told to run."""

    layout: torch.memory_format = torch.contiguous_format
    compiled: bool = False

    def __str__(self) -> str:
        layout = "channels last" if self.layout == torch.channels_last else "contiguous"
        return f"{layout}, compiled" if self.compiled else layout


@dataclass(frozen=True)
class Scale:
    side: int
    channels: tuple[int, ...]
    blocks: int
    batch: int
    steps: int
    """Of DDIM."""
    rounds: int
    product: int
    """The side of the matrices whose products a training step is compared with."""
    settings: tuple[Setting, ...]
    """Of diffusers."""
    colours: int = 3
    device: str = "cpu"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.colours, self.side, self.side)


FULL = Scale(
    side=32,
    channels=(64, 128, 128),
    blocks=2,
    batch=64,
    steps=2,
    rounds=3,
    product=2048,
    settings=tuple(
        Setting(layout, compiled)
        for layout in (torch.contiguous_format, torch.channels_last)
        # Compiling takes a minute or two, each time, and a C++ compiler.
        for compiled in ((False, True) if shutil.which("c++") else (False,))
    ),
)
TINY = Scale(
    side=8,
    channels=(32, 32),
    blocks=1,
    batch=2,
    steps=1,
    rounds=1,
    product=64,
    settings=(Setting(),),
)


@dataclass(frozen=True)
class Contestant:
    network: nn.Module
    step: Callable[[], None]
    sample: Callable[[], None]


def measure(tiny: bool = False) -> Iterator[Ratio]:
    """Images a second in a training step and through DDIM, in float32 and under bfloat16 autocast;
    no average of the weights on either side."""
    scale = TINY if tiny else FULL
    for precision in TARGETS:
        yield from compare(scale, precision)


def compare(scale: Scale, precision: str) -> Iterator[Ratio]:
    # Our layout is our own; an eager one is always there, whose FLOPs can be counted.
    mine = {
        compiled: ours(scale, precision, compiled=compiled)
        for compiled in sorted({it.compiled for it in scale.settings})
    }
    peers = {
        heads: {it: diffusers(scale, precision, it, head=head) for it in scale.settings}
        for heads, head in {"the same heads": scale.channels[1], "its default heads": 8}.items()
    }
    products = matrix_products(precision, scale)
    for what, images in (("training step", scale.batch), ("DDIM step", scale.batch * scale.steps)):
        trains = what == "training step"
        runs: dict[object, Callable[[], None]] = {
            (heads, it): peer.step if trains else peer.sample
            for heads, its in peers.items()
            for it, peer in its.items()
        }
        for compiled, each in mine.items():
            runs["ours", compiled] = each.step if trains else each.sample
        rates = {key: images / seconds for key, seconds in fastest(runs, scale.rounds).items()}
        rate, compiled = max((rates["ours", compiled], compiled) for compiled in mine)
        for heads, its in peers.items():
            best = max(its, key=lambda it: rates[heads, it])
            theirs = its[scale.settings[0]]  # an uncompiled one, whose FLOPs can be counted
            sizes = f"{size(mine[False], scale)} against {size(theirs, scale)}"
            how = "compiled" if compiled else "eager"
            note = f"ours {how}, diffusers with {heads}, {best}; {sizes}"
            if trains:
                shares = [
                    reached * counted(contestant.step) / scale.batch / products
                    for reached, contestant in ((rate, mine[False]), (rates[heads, best], theirs))
                ]
                note += "; {:.0%} against {:.0%} of the matrix products' rate".format(*shares)
            yield Ratio(
                f"U-Net, {what}, {precision}",
                rate,
                rates[heads, best],
                "examples/s",
                True,
                TARGETS[precision],
                note,
            )


def ours(scale: Scale, precision: str, *, compiled: bool = False) -> Contestant:
    """``compiled`` as ``[train] compile`` does it."""
    model = ddpm(
        SampleSpec("image", scale.shape),
        timesteps=TIMESTEPS,
        network=NetworkOptions(
            "ddpm",
            channels=scale.channels[0],
            multipliers=tuple(width // scale.channels[0] for width in scale.channels),
            blocks=scale.blocks,
            attention=(scale.side // 2,),
        ),
        optimizer=OptimizerConfig(1e-4),
    )
    model.to(scale.device)
    network = model.players["denoiser"]
    how = model.optimization("denoiser")
    optimizer = how.optimizer(network.named_parameters())
    if compiled:
        compile_networks([network], "benchmark")
    batch = Batch(torch.randn(scale.batch, *scale.shape, device=scale.device), {})

    def step() -> None:
        with autocast(precision, scale.device):
            (turn,) = model.losses(batch, Progress(0, 0, 1))
        update(turn.loss, network, optimizer)

    @torch.no_grad()
    def sample() -> None:
        with autocast(precision, scale.device):
            model.sample(torch.randn_like(batch.data), {}, sampler="ddim", steps=scale.steps)

    return Contestant(network, step, sample)


def diffusers(scale: Scale, precision: str, setting: Setting, *, head: int) -> Contestant:
    attends = [level == 1 for level in range(len(scale.channels))]
    network = UNet2DModel(
        sample_size=scale.side,
        in_channels=scale.colours,
        out_channels=scale.colours,
        block_out_channels=scale.channels,
        layers_per_block=scale.blocks,
        down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        attention_head_dim=head,
        downsample_padding=0,
    ).to(scale.device, memory_format=setting.layout)
    if setting.compiled:
        network.compile()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    noising = DDPMScheduler(TIMESTEPS)
    pipeline = DDIMPipeline(network, DDIMScheduler(TIMESTEPS))
    pipeline.set_progress_bar_config(disable=True)
    x_0 = torch.randn(scale.batch, *scale.shape)
    x_0 = x_0.to(scale.device, memory_format=setting.layout)

    def step() -> None:
        noise = torch.randn_like(x_0)
        t = torch.randint(TIMESTEPS, (len(x_0),), device=scale.device)
        with autocast(precision, scale.device):
            predicted = network(noising.add_noise(x_0, noise, t), t).sample
            loss = F.mse_loss(predicted.float(), noise)
        update(loss, network, optimizer)

    def sample() -> None:
        with autocast(precision, scale.device):
            pipeline(len(x_0), num_inference_steps=scale.steps, output_type="np")

    return Contestant(network, step, sample)


def update(loss: Tensor, network: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def autocast(precision: str, device: str = "cpu") -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def matrix_products(precision: str, scale: Scale) -> float:
    """FLOPs a second of a product of two square matrices."""
    side = scale.product
    a, b = torch.randn(2, side, side).to(getattr(torch, precision))
    return 2 * side**3 / fastest({"product": lambda: a @ b}, scale.rounds)["product"]


@cache
def counted(step: Callable[[], None]) -> int:
    """FLOPs of a training step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


@cache
def size(contestant: Contestant, scale: Scale) -> str:
    parameters = sum(p.numel() for p in contestant.network.parameters()) / 1e6
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        x, t = torch.randn(1, *scale.shape), torch.ones(1)
        contestant.network(x.to(scale.device), t.to(scale.device))
    return f"{parameters:.2f} M, {counter.get_total_flops() / 1e9:.2f} GFLOP"
