"""The whole training loop against a bare one over the same network: the quickstart's.

Ours draws batches, counts FLOPs, averages weights, keeps a history, snapshots and checkpoints;
theirs does nothing but forward, loss, backward, clip and Adam.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from race import fastest
from ratio import Ratio
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from baselines.ddpm import Ddpm, ddpm
from baselines.networks import NetworkOptions
from genbench.api import Samples, SampleSpec
from genbench.data.digits import digits
from genbench.training import loop

BATCH, TIMESTEPS = 32, 100


def measure(tiny: bool = False) -> list[Ratio]:
    """Images a second over the quickstart's whole training of its DDPM, in float32."""
    steps, rounds = (4, 1) if tiny else (60_000 // BATCH, 3)
    samples = digits("train", Path())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the quickstart's
    seconds = fastest(
        {"ours": whole(samples, steps), "theirs": bare(samples, steps)},
        rounds,
    )
    torch.set_num_threads(threads)
    rates = {name: BATCH * steps / spent for name, spent in seconds.items()}
    what = "quickstart's DDPM: whole loop against a bare one"
    return [Ratio(what, rates["ours"], rates["theirs"], "examples/s", True, 1.0)]


def build(spec: SampleSpec) -> Ddpm:
    network = NetworkOptions(channels=24)
    return ddpm(spec, timesteps=TIMESTEPS, schedule="cosine", prediction="v", network=network)


def whole(samples: Samples, steps: int) -> Callable[[], None]:
    fabric = Fabric(accelerator="cpu", devices=1)
    plan = loop.TrainingConfig(steps=steps, batch=BATCH, ema_halflife=5_000, snapshots=4, seed=0)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            loop.train(
                fabric, lambda: build(samples.spec), samples, plan, Path(folder), lambda _: None
            )

    return run


def bare(samples: Samples, steps: int) -> Callable[[], None]:
    spec = samples.spec
    data = spec.encode(samples.take(torch.arange(len(samples))).data)
    alpha, sigma = (x.float() for x in build(spec).schedule(torch.arange(1, TIMESTEPS + 1)))

    def run() -> None:
        network = build(spec).players["denoiser"]
        optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99), fused=True)
        for _ in range(steps):
            x_0 = data[torch.randint(len(data), (BATCH,))]
            t = torch.randint(TIMESTEPS, (BATCH,))
            noise = torch.randn_like(x_0)
            alpha_t, sigma_t = alpha[t].view(-1, 1, 1, 1), sigma[t].view(-1, 1, 1, 1)
            v = alpha_t * noise - sigma_t * x_0
            x_t = alpha_t * x_0 + sigma_t * noise
            loss = F.mse_loss(network(x_t, (t + 1) / TIMESTEPS), v)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run
