"""A training step and DDIM sampling at the architecture of a diffusers U-Net of 6.5 M parameters.

Equal convolutions and attention, batch and optimiser. The peer runs as users of diffusers may set
it, contiguous and channels last, and the better of the two counts, in each precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from ratio import Ratio
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.denoisers import NetworkDenoiser
from baselines.networks.unet import UNet
from baselines.samplers import DDIM, integrate, strided_times
from baselines.schedules import LinearBetas

SHAPE = (3, 32, 32)
TARGETS = {torch.float32: 1.25, torch.bfloat16: 2.0}


def measure(tiny: bool = False) -> list[Ratio]:
    """Images a second, the best of turns that alternate."""
    batch, turns, steps = (2, 1, 2) if tiny else (32, 4, 5)
    about = f"{describe(our_network())}; theirs {describe(their_network())}"
    ratios = []
    for dtype, target in TARGETS.items():
        name = str(dtype).removeprefix("torch.")
        for what, ours, theirs in (
            ("training step", our_training, their_training),
            ("DDIM sampling", our_sampling, their_sampling),
        ):
            runs = {"ours": ours(batch, steps, dtype)}
            runs |= {layout: theirs(batch, steps, dtype, layout) for layout in LAYOUTS}
            rates = race(runs, batch, turns)
            peer = max(LAYOUTS, key=lambda layout: rates[layout])
            note = "; ".join(filter(None, (f"diffusers, {peer}", about)))
            ratios.append(
                Ratio(f"{what}, {name}", rates["ours"], rates[peer], "images/s", True, target, note)
            )
            about = ""
    return ratios


LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def our_network() -> UNet:
    return UNet(
        SHAPE,
        channels=64,
        multipliers=(1, 2, 2),
        blocks=2,
        dropout=0.0,
        attention=[1],
        published=True,
    )


def their_network() -> UNet2DModel:
    return UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        block_out_channels=(64, 128, 128),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=128,
    )


def describe(network: nn.Module) -> str:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *SHAPE), torch.ones(1))
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    return f"{parameters:.2f} M parameters, {counter.get_total_flops() / 1e9:.2f} GFLOP"


def training(
    network: nn.Module, x: Tensor, time: Tensor, dtype: torch.dtype
) -> Callable[[], object]:
    """One step of AdamW on the loss of Ho et al. 2020."""
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    noise = torch.randn_like(x)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            predicted: Any = network(x, time)
            predicted = getattr(predicted, "sample", predicted)
            loss = (predicted.float() - noise).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def our_training(batch: int, steps: int, dtype: torch.dtype) -> Callable[[], object]:
    return training(our_network(), torch.randn(batch, *SHAPE), torch.rand(batch), dtype)


def their_training(batch: int, steps: int, dtype: torch.dtype, layout: str) -> Callable[[], object]:
    network = their_network().to(memory_format=LAYOUTS[layout])
    x = torch.randn(batch, *SHAPE).contiguous(memory_format=LAYOUTS[layout])
    return training(network, x, torch.randint(0, 1000, (batch,)), dtype)


def our_sampling(batch: int, steps: int, dtype: torch.dtype) -> Callable[[], object]:
    schedule = LinearBetas(1000)
    sampler = DDIM(NetworkDenoiser(our_network().eval(), schedule), schedule)

    @torch.no_grad()
    def sample() -> object:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return integrate(sampler, torch.randn(batch, *SHAPE), strided_times(1000, steps))

    return sample


def their_sampling(batch: int, steps: int, dtype: torch.dtype, layout: str) -> Callable[[], object]:
    network = their_network().eval().to(memory_format=LAYOUTS[layout])
    pipeline = DDIMPipeline(network, DDIMScheduler(1000))
    pipeline.set_progress_bar_config(disable=True)

    def sample() -> object:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return pipeline(batch_size=batch, num_inference_steps=steps, output_type="np")

    return sample


def race(runs: dict[str, Callable[[], object]], batch: int, turns: int) -> dict[str, float]:
    """Each run's best rate over ``turns``, in which they alternate, after one to warm up."""
    best = dict.fromkeys(runs, 0.0)
    for turn in range(turns + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                best[name] = max(best[name], batch / (time.perf_counter() - start))
    return best
