"""What must not depend on the number of devices, for every contestant; run by each of its ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from genbench import registry, sampling
from genbench.api import Batch, Condition, Progress, ProgressEvent, Samples
from genbench.api.seeding import seed_all
from genbench.data import open_samples
from genbench.devices.layout import to_device
from genbench.devices.ranks import Ranks
from genbench.testing.model_under_test import brisk
from genbench.training import batches, loop

STEPS, BATCH, SEED = 5, 12, 3
"""Two of these steps have the lazy penalties of step 0 and of every fourth."""
COUNT = 150
"""Three blocks of samples, the last one cut."""

TINY: dict[str, dict[str, Any]] = {
    "ddpm": {"timesteps": 25, "channels": 4},
    "score-sde": {"channels": 4},
    "edm": {"channels": 4, "dropout": 0.1},
    "flow-matching": {"channels": 4, "conditional": True},
    "consistency": {"channels": 4},
    "gan": {"channels": 2, "r1_interval": 2},
    "dcgan": {"channels": 4, "latent": 4},
    "wgan-gp": {"channels": 4, "latent": 4},
    "sngan": {"channels": 4, "latent": 4, "conditional": True},
    "stylegan2-ada": {"channels": 2, "max_channels": 4, "latent": 6, "path_length": 2.0},
    "r3gan": {"channels": 4, "max_channels": 8, "blocks": 1, "latent": 6},
    "df-gan": {"channels": 2, "latent": 4, "text_width": 4, "text_layers": 1},
    "vae": {"channels": 2},
    "diffwave": {"channels": 4, "layers": 3, "frame": 32, "timesteps": 10},
    "wavegan": {"channels": 2, "latent": 4},
    "specgan": {"channels": 2, "latent": 4, "bands": 16, "inversion_steps": 2},
}
"""Every contestant that trains, by its options."""
DATA = {
    "df-gan": "shapes:held-out",
    "diffwave": "notes:test",
    "wavegan": "notes:test",
    "specgan": "notes:test",
}
"""Other than digits."""
SAMPLING: dict[str, dict[str, Any]] = {
    "ddpm": {"sampler": "ddim", "steps": 3},
    "score-sde": {"steps": 3},
    "edm": {"steps": 3},
    "flow-matching": {"sampler": "heun", "steps": 3},
}


class Seen(NamedTuple):
    """What one number of devices gave."""

    looped: pd.DataFrame
    """The history of the loop."""
    defined: pd.DataFrame
    """That of the definition."""
    samples: Tensor


def see(ranks: Ranks, name: str, report: Callable[[ProgressEvent], None]) -> Seen:
    """``name`` trained by the loop and by the definition, then sampled with given weights."""
    torch.set_num_threads(1)
    data = open_samples(DATA.get(name, "digits:train"), Path("data"))
    factory = registry.models.get(name)
    options = registry.check_options(name, factory, TINY[name])
    build = partial(registry.call, factory, data.spec, **options)
    plan = loop.TrainingConfig(steps=STEPS, batch=BATCH, ema_halflife=50, snapshots=1, seed=SEED)
    with TemporaryDirectory() as given:
        folder = Path(ranks.on_rank_zero(lambda: given))
        with brisk():
            loop.train(ranks.fabric, build, data, plan, folder, report)
        looped = ranks.on_rank_zero(lambda: pd.read_csv(folder / "history.csv"))
    return Seen(looped, defined(ranks, build, data), drawn(ranks, build, data, name))


def defined(ranks: Ranks, build: Callable[[], Any], data: Samples) -> pd.DataFrame:
    """Each rank takes its share of the batch with its own randomness, and the gradients are
    averaged. Buffers are those of the first rank. Written without the loop, Fabric and DDP."""
    seed_all(SEED, "init")
    model = build().train()
    to_device(model, torch.device("cpu"))
    optimizers = {n: model.optimization(n).optimizers(model.players[n]) for n in model.players}
    groups = {n: [g for o in own for g in o.param_groups] for n, own in optimizers.items()}
    rates = {name: [group["lr"] for group in own] for name, own in groups.items()}

    def shared(module: nn.Module, *_: Any) -> None:
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, 0)

    if ranks.world > 1:
        for player in model.players.values():
            player.register_forward_pre_hook(shared)
    order = batches.EpochSampler(len(data), BATCH, SEED)
    rows = []
    for step in range(STEPS):
        seed_all(SEED, "train", step, ranks.rank)
        taken = data.take(order.indices(step)[ranks.rank :: ranks.world])
        batch = Batch(data.spec.encode(taken.data), taken.condition)
        progress = Progress(step, step * BATCH, STEPS * BATCH)
        for turn in model.losses(batch, progress):
            own, how = groups[turn.player], model.optimization(turn.player)
            parameters = [parameter for group in own for parameter in group["params"]]
            for group, rate in zip(own, rates[turn.player], strict=True):
                group["lr"] = rate * how.schedule(progress)
            for parameter in parameters:
                parameter.grad = None
            turn.loss.backward()
            loss = mean(ranks, turn.loss.detach().clone())
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = mean(ranks, parameter.grad)
            clip = math.inf if how.clip_norm is None else how.clip_norm
            norm = nn.utils.clip_grad_norm_(parameters, clip)
            for optimizer in optimizers[turn.player]:
                optimizer.step()
            rows.append({"player": turn.player, "loss": float(loss), "norm": float(norm)})
    return pd.DataFrame(rows)


def mean(ranks: Ranks, value: Tensor) -> Tensor:
    if ranks.world > 1:
        torch.distributed.all_reduce(value)
    return value / ranks.world


def drawn(ranks: Ranks, build: Callable[[], Any], data: Samples, name: str) -> Tensor:
    """Samples of weights that every number of devices has."""
    seed_all(SEED, "init")
    model = build()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)

    def given(block: int) -> Condition:
        if not model.conditions:
            return {}
        return data.take(torch.arange(sampling.BLOCK) + block).condition

    return sampling.draw(
        ranks.fabric,
        model,
        data.spec,
        count=COUNT,
        seed=SEED,
        options=registry.check_options("sample", model.sample, SAMPLING.get(name, {})),
        report=lambda event: None,
        given=given,
    ).data


def see_all(ranks: Ranks, report: Callable[[ProgressEvent], None]) -> dict[str, Seen]:
    return {name: see(ranks, name, report) for name in TINY}
