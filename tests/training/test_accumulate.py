"""``accumulate``: a step whose batch is processed in parts is the step of the whole batch.

Run as a script, this file is what torchrun starts: the same training on two ranks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from genbench.api import (
    Batch,
    Condition,
    GenerativeModel,
    Optimization,
    PlayerStep,
    Progress,
    SampleSpec,
    TensorSamples,
)
from genbench.api.errors import GenbenchError, UsageError
from genbench.devices.hardware import Hardware
from genbench.devices.ranks import Ranks
from genbench.training import checkpoint, loop

STEPS, BATCH = 10, 12
SPEC = SampleSpec("points", (2,), levels=None)


class Pair(nn.Module):
    """A generator and one that judges it: mean losses, no randomness, two turns of which the second
    goes backward through a graph that was recorded before the first, as in a GAN."""

    players: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        networks = {
            name: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)) for name in "ab"
        }
        self.players = nn.ModuleDict(networks)
        self.noise_shape = (2,)
        self.sizes: list[int] = []

    def optimization(self, player: str) -> Optimization:
        return Optimization(partial(torch.optim.Adam, lr=1e-2), clip_norm=0.5)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        self.sizes.append(len(batch))
        made = self.players["a"](batch.data)
        judged = self.players["b"](batch.data) - made.detach()
        yield PlayerStep("b", judged.square().mean(), {"judged": judged.mean()})
        # After the step of b, whose new weights count.
        judged = self.players["b"](batch.data).detach() - made
        yield PlayerStep("a", judged.square().mean() + (made - 1).square().mean())

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        out: Tensor = self.players["a"](noise)
        return out


def fit(
    folder: Path, *, accumulate: int, devices: int = 1, build: Callable[[], GenerativeModel] = Pair
) -> loop.TrainingResult:
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) + 3
    plan = loop.TrainingConfig(
        steps=STEPS, batch=BATCH, accumulate=accumulate, ema_halflife=50, snapshots=1, seed=5
    )
    ranks = Ranks(Hardware(folder, "cpu", devices).fabric("32-true"))
    data = TensorSamples(SPEC, "points", points)
    result = loop.train(ranks.fabric, build, data, plan, folder, lambda event: None)
    ranks.close()
    return result


def require_equal(one: Path, other: Path) -> None:
    histories = [pd.read_csv(folder / checkpoint.HISTORY) for folder in (one, other)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    assert (histories[0].gradient_norm > 0.5).any()  # some were clipped
    weights = [checkpoint.load_snapshot(folder, STEPS * BATCH, "raw") for folder in (one, other)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4, 12])
def test_parts_of_a_batch_are_the_step_of_the_batch(tmp_path: Path, accumulate: int) -> None:
    models: list[Pair] = []

    def build() -> Pair:
        models.append(Pair())
        return models[-1]

    outcomes = [fit(tmp_path / "whole", accumulate=1)]
    outcomes += [fit(tmp_path / "parts", accumulate=accumulate, build=build)]
    require_equal(tmp_path / "whole", tmp_path / "parts")
    assert models[0].sizes == [BATCH // accumulate] * (STEPS * accumulate)
    assert outcomes[0].flops == outcomes[1].flops
    assert outcomes[0].examples == outcomes[1].examples == STEPS * BATCH


def test_parts_on_two_ranks_are_the_step_of_the_batch(tmp_path: Path) -> None:
    """The first turn's forward passes all come before the second's backward passes: DDP by itself
    would reduce after the first of them."""
    fit(tmp_path / "whole", accumulate=1)
    port = str(29900 + os.getpid() % 90)
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    done = subprocess.run(
        [sys.executable, *command, __file__, str(tmp_path / "parts")],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    require_equal(tmp_path / "whole", tmp_path / "parts")


class Moody(Pair):
    """Who moves depends on the data."""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        for player in "ab" if batch.data[0, 0] > 3 else "a":
            yield PlayerStep(player, self.players[player](batch.data).square().mean())


def test_players_must_move_alike_on_every_part(tmp_path: Path) -> None:
    with pytest.raises(GenbenchError, match="who moves must depend on the progress alone"):
        fit(tmp_path, accumulate=4, build=Moody)


def test_parts_must_be_of_one_size() -> None:
    hardware = Hardware(Path(), "cpu", devices=2)
    hardware.require_shares(64, 4)
    with pytest.raises(UsageError, match="accumulate = 3 must divide the batch of each device, 32"):
        hardware.require_shares(64, 3)


if __name__ == "__main__":
    fit(Path(sys.argv[1]), accumulate=3, devices=2)
