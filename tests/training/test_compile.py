"""``compile``: a compiled training is the eager one to tolerance, resumes exactly, and its samples
cost what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from stopped import stopped_after
from torch import Tensor, nn

from genbench import sampling
from genbench.api import (
    Batch,
    Condition,
    Optimization,
    PlayerStep,
    Progress,
    ProgressEvent,
    SampleSpec,
    TensorSamples,
)
from genbench.devices.compiling import compile_networks, compiled_forward
from genbench.training import checkpoint, loop

SPEC = SampleSpec("points", (2,), levels=None)
STEPS, STOP = 24, 20
"""Beyond the eager first ones."""


class Single(nn.Module):
    players: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        network = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 2))
        self.players = nn.ModuleDict({"a": network})
        self.noise_shape = (2,)

    def optimization(self, player: str) -> Optimization:
        return Optimization(lambda named: torch.optim.Adam(named, lr=1e-2))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        noise = torch.randn_like(batch.data)
        yield PlayerStep("a", (self.players["a"](noise) - batch.data).square().mean())

    def sample(self, noise: Tensor, condition: Condition, *, steps: int = 3) -> Tensor:
        x = noise
        for _ in range(steps):
            x = self.players["a"](x) + 0.1 * torch.randn_like(x)
        return x


def quiet(event: ProgressEvent) -> None:
    pass


def fit(folder: Path, *, compile: bool, build: Callable[[], Any] = Single) -> loop.TrainingResult:
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) + 3
    plan = loop.TrainingConfig(
        steps=STEPS, batch=8, ema_halflife=50, snapshots=1, seed=5, compile=compile
    )
    samples = TensorSamples(SPEC, "points", points)
    fabric = Fabric(accelerator="cpu", devices=1)
    return loop.train(fabric, build, samples, plan, folder, quiet)


def weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load_snapshot(folder, STEPS * 8, "raw")


def test_it_is_the_eager_training_to_tolerance_and_resumes_exactly(
    tmp_path: Path,
) -> None:
    eager = fit(tmp_path / "eager", compile=False)
    models: list[Single] = []

    def build() -> Single:
        models.append(Single())
        return models[-1]

    outcome = fit(tmp_path / "whole", compile=True, build=build)
    assert outcome.flops == eager.flops > 0
    assert outcome.parameters == eager.parameters
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("eager", "whole")]
    torch.testing.assert_close(
        *(torch.tensor(h.loss.to_numpy()) for h in histories), rtol=1e-4, atol=1e-6
    )
    wrapped: Any = models[0].players["a"]
    assert compiled_forward(wrapped.module) is not None

    with stopped_after(STOP):
        fit(tmp_path / "broken", compile=True)
    fit(tmp_path / "broken", compile=True)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == weights(tmp_path / "eager").keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_compiled_samples_are_the_eager_ones_to_tolerance_at_the_same_cost() -> None:
    torch.manual_seed(0)
    eager, compiled = Single(), Single()
    compiled.load_state_dict(eager.state_dict())
    compile_networks(compiled.players.values(), "draw")

    def drawn(model: Any, count: int) -> sampling.GeneratedSamples:
        fabric = Fabric(accelerator="cpu", devices=1)
        return sampling.draw(fabric, model, SPEC, count=count, seed=3, options={}, report=quiet)

    expected, found = drawn(eager, 70), drawn(compiled, 70)
    torch.testing.assert_close(found.data, expected.data, rtol=1e-5, atol=1e-6)
    assert (found.nfe, found.flops) == (expected.nfe, expected.flops)
    assert found.parameters == expected.parameters
    # Where the eager call is, in which FLOPs are counted, leaves no trace.
    assert torch.equal(drawn(compiled, 140).data[:70], found.data)
