"""The loop: it learns, keeps what it must, stops where a loss is not finite, resumes exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from stopped import stopped_after
from torch import Tensor, nn

from genbench.api import (
    Batch,
    Condition,
    GenerativeModel,
    Optimization,
    PlayerStep,
    Progress,
    ProgressEvent,
    SampleSpec,
    TensorSamples,
    Text,
)
from genbench.suite import Train
from genbench.training import batches, checkpoint, ema, loop

SPEC = SampleSpec("points", (2,), levels=None)


class Game(nn.Module):
    """Two players, dropout and a buffer: everything that a resume could lose."""

    players: nn.ModuleDict

    def __init__(self, breaks_at: int | None = None) -> None:
        super().__init__()
        self.players = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.Linear(8, 2))
                for name in "ab"
            }
        )
        self.register_buffer("seen", torch.zeros(()))
        self.noise_shape = (2,)
        self.breaks_at = breaks_at

    def optimization(self, player: str) -> Optimization:
        adam = partial(torch.optim.Adam, lr=1e-2)
        return Optimization(adam, lambda progress: 1 - progress.fraction, clip_norm=1.0)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        self.seen += len(batch)
        noise = torch.randn_like(batch.data)
        yield PlayerStep("a", (self.players["a"](noise) - batch.data).square().mean())
        if progress.step % 2 == 0:
            loss = (self.players["b"](noise) - self.players["a"](noise).detach()).square().mean()
            if self.breaks_at is not None and progress.step >= self.breaks_at:
                loss = loss / 0
            yield PlayerStep("b", loss, {"noise": noise.mean()})

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        out: Tensor = self.players["a"](noise)
        return out


def data(count: int = 100) -> TensorSamples:
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(0)) + 3
    return TensorSamples(SPEC, "points", points)


def quiet(event: ProgressEvent) -> None:
    pass


def plan(steps: int = 30, **changes: int) -> loop.TrainingConfig:
    values = {"steps": steps, "batch": 8, "snapshots": 3, "seed": 5} | changes
    return loop.TrainingConfig(ema_halflife=50, **values)


def fit(
    folder: Path,
    build: Callable[[], GenerativeModel] = Game,
    plan: loop.TrainingConfig = plan(),  # noqa: B008 - a frozen value
    report: Callable[[ProgressEvent], None] = quiet,
) -> loop.TrainingResult:
    fabric = Fabric(accelerator="cpu", devices=1)
    return loop.train(fabric, build, data(), plan, folder, report)


def test_it_learns_and_leaves_what_it_must(tmp_path: Path) -> None:
    outcome = fit(tmp_path, plan=plan(steps=300))
    history = pd.read_csv(tmp_path / "history.csv")
    first, last = history[history.player == "a"].loss.iloc[[0, -1]]
    assert last < first / 3
    assert outcome.status == "done"
    assert outcome.examples == 300 * 8
    assert outcome.snapshots == (0, 800, 1600, 2400)
    assert outcome.parameters == {"a": 42, "b": 42}
    assert list(history.columns[:3]) == ["step", "examples", "player"]
    # Player b moves every other step, and alone has the diagnostic.
    assert (history.player == "b").sum() == 150
    assert history.noise.notna().equals(history.player == "b")
    assert history.learning_rate.iloc[0] == pytest.approx(1e-2)


def test_snapshots_hold_the_average_and_the_raw_weights(tmp_path: Path) -> None:
    fit(tmp_path)
    raw = checkpoint.load_snapshot(tmp_path, 240, "raw")
    average = checkpoint.load_snapshot(tmp_path, 240, "ema")
    assert raw.keys() == average.keys() == Game().state_dict().keys()
    assert raw["seen"] == average["seen"] == 240
    assert not torch.equal(raw["players.a.0.weight"], average["players.a.0.weight"])
    zero = checkpoint.load_snapshot(tmp_path, 0, "raw")
    assert torch.equal(
        zero["players.a.0.weight"],
        checkpoint.load_snapshot(tmp_path, 0, "ema")["players.a.0.weight"],
    )


def test_the_average_is_the_recursion(tmp_path: Path) -> None:
    """Against the definition: the raw weights after every step, each with half the share of those
    a half-life later; the random initial ones have none."""
    fit(tmp_path, plan=plan(steps=6, snapshots=6))
    expected, shares = torch.zeros(8, 2), 0.0
    for step in range(6):
        weight = checkpoint.load_snapshot(tmp_path, (step + 1) * 8, "raw")["players.a.0.weight"]
        share = 0.5 ** ((5 - step) * 8 / 50)
        expected, shares = expected + share * weight, shares + share
    expected = expected / shares
    average = checkpoint.load_snapshot(tmp_path, 48, "ema")["players.a.0.weight"]
    torch.testing.assert_close(average, expected)


def test_decay_has_the_halflife() -> None:
    steps = 50_000 // 64
    assert ema.decay(50_000, 64, 10**6) ** steps == pytest.approx(0.5, abs=1e-3)
    assert ema.decay(50_000, 64, 0) == 0


def test_bf16_mixed_trains_and_keeps_full_precision_weights(tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    outcome = loop.train(fabric, Game, data(), plan(), tmp_path, quiet)
    assert (outcome.status, outcome.examples) == ("done", 240)
    raw = checkpoint.load_snapshot(tmp_path, 240, "raw")
    assert raw["players.a.0.weight"].dtype == torch.float32


def test_weights_that_a_step_broke_are_not_kept(tmp_path: Path) -> None:
    """A finite gradient and an infinite learning rate: the step itself is what breaks."""

    class Leap(Game):
        def optimization(self, player: str) -> Optimization:
            return Optimization(torch.optim.SGD, lambda p: math.inf if p.step == 9 else 1)

    outcome = fit(tmp_path, Leap)
    assert (outcome.status, outcome.first_nonfinite_step, outcome.snapshots) == (
        "diverged",
        9,
        (0,),
    )


def test_a_last_step_that_breaks_a_statistic_is_no_success(tmp_path: Path) -> None:
    """Every loss and every weight is finite, and what is sampled is not."""

    class Statistic(Game):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("spread", torch.ones(2))
            self.register_buffer("mask", torch.tensor([0.0, -math.inf]))  # it may be, as built

        def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            yield from super().losses(batch, progress)
            if progress.step == 29:
                self.spread /= 0

    outcome = fit(tmp_path, Statistic)
    assert (outcome.status, outcome.first_nonfinite_step) == ("diverged", 29)
    assert outcome.snapshots == (0, 80, 160)
    assert fit(tmp_path, Statistic) == outcome


def test_an_average_that_is_not_finite_is_no_success(tmp_path: Path) -> None:
    """Weights of 3.3e38 are finite, and their difference from the average is not."""

    class Far(Game):
        def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
            yield from super().losses(batch, progress)
            with torch.no_grad():
                far = 3.3e38 * (-1) ** progress.step
                for weight in self.players["b"].parameters():
                    weight.fill_(far if progress.step >= 28 else 0.0)

    outcome = fit(tmp_path, Far)
    assert (outcome.status, outcome.snapshots) == ("diverged", (0, 80, 160))


def test_the_first_nonfinite_loss_stops_it(tmp_path: Path) -> None:
    outcome = fit(tmp_path, partial(Game, breaks_at=13))
    assert outcome.status == "diverged"
    assert outcome.first_nonfinite_step == 14  # player b moves on even steps
    assert outcome.snapshots == (0, 80)
    history = pd.read_csv(tmp_path / "history.csv")
    assert not math.isfinite(history.loss.iloc[-1])
    assert history.loss.iloc[:-1].map(math.isfinite).all()
    weights = checkpoint.load_snapshot(tmp_path, 80, "raw")
    assert all(value.isfinite().all() for value in weights.values())


def test_divergence_at_once_leaves_snapshot_zero(tmp_path: Path) -> None:
    outcome = fit(tmp_path, partial(Game, breaks_at=0))
    assert outcome.snapshots == (0,)
    assert outcome.examples == 0


class Grouped(nn.Module):
    """One linear layer that descends (W x + b - 1)², by optimisers that a subclass gives."""

    players: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"only": nn.Linear(2, 2)})
        self.noise_shape = (2,)

    def optimization(self, player: str) -> Optimization:
        raise NotImplementedError

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        yield PlayerStep("only", (self.players["only"](batch.data) - 1).square().mean())

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        out: Tensor = self.players["only"](noise)
        return out


Named = Iterator[tuple[str, nn.Parameter]]


class Decayed(Grouped):
    """Weights that decay, a bias that does not and has another rate."""

    def optimization(self, player: str) -> Optimization:
        def optimizer(named: Named) -> torch.optim.Optimizer:
            parameters = dict(named)
            weights = {"params": [parameters["weight"]], "weight_decay": 0.1}
            return torch.optim.SGD([weights, {"params": [parameters["bias"]], "lr": 0.3}], lr=0.01)

        return Optimization(optimizer, lambda progress: 0.5 - 0.1 * progress.step)


class Several(Grouped):
    """An optimiser of its own for the bias; the norm is that of all gradients together."""

    def optimization(self, player: str) -> Optimization:
        def optimizers(named: Named) -> list[torch.optim.Optimizer]:
            parameters = dict(named)
            return [
                torch.optim.SGD([parameters["weight"]], lr=0.02, momentum=0.9),
                torch.optim.Adam([parameters["bias"]], lr=0.3),
            ]

        return Optimization(optimizers, lambda progress: 1 - progress.fraction, clip_norm=0.1)


def gradients(folder: Path, step: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Of the loss on that step, ``(2, 3)`` with the bias last, and the weights before it."""
    weights = checkpoint.load_snapshot(folder, 8 * step, "raw")
    layer = nn.Linear(2, 2)
    layer.load_state_dict({name.rpartition(".")[2]: value for name, value in weights.items()})
    x = data().data[batches.EpochSampler(100, 8, 5).indices(step)]
    (layer(x) - 1).square().mean().backward()
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    return torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1), weights


def test_the_schedule_scales_the_rate_of_every_group(tmp_path: Path) -> None:
    fit(tmp_path, Decayed, plan(steps=3))
    for step, factor in enumerate([0.5, 0.4, 0.3]):
        gradient, before = gradients(tmp_path, step)
        after = checkpoint.load_snapshot(tmp_path, 8 * (step + 1), "raw")
        weight = before["players.only.weight"]
        weight = weight - 0.01 * factor * (gradient[:, :2] + 0.1 * weight)
        torch.testing.assert_close(after["players.only.weight"], weight)
        bias = before["players.only.bias"] - 0.3 * factor * gradient[:, 2]
        torch.testing.assert_close(after["players.only.bias"], bias)
    rates = pd.read_csv(tmp_path / "history.csv").learning_rate
    assert list(rates) == pytest.approx([0.005, 0.004, 0.003])


def test_a_player_may_have_several_optimisers(tmp_path: Path) -> None:
    fit(tmp_path, Several, plan(steps=1, snapshots=1))
    gradient, before = gradients(tmp_path, 0)
    after = checkpoint.load_snapshot(tmp_path, 8, "raw")
    assert gradient.norm() > 0.1
    clipped = 0.1 * gradient / gradient.norm()
    weight = before["players.only.weight"] - 0.02 * clipped[:, :2]
    torch.testing.assert_close(after["players.only.weight"], weight)
    bias = before["players.only.bias"] - 0.3 * clipped[:, 2].sign()  # Adam's first step
    torch.testing.assert_close(after["players.only.bias"], bias)


@pytest.mark.parametrize(
    ("build", "stop"), [*((Game, stop) for stop in (1, 9, 10, 11, 29)), (Several, 9), (Decayed, 9)]
)
def test_a_resumed_training_is_the_undisturbed_one(
    tmp_path: Path,
    build: Callable[[], GenerativeModel],
    stop: int,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(whole, build)
    with stopped_after(stop):
        fit(broken, build)
    outcome = fit(broken, build)
    assert (outcome.status, outcome.snapshots) == ("done", (0, 80, 160, 240))
    assert (broken / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    for weights in ("raw", "ema"):
        ours = checkpoint.load_snapshot(broken, 240, weights)
        theirs = checkpoint.load_snapshot(whole, 240, weights)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_finished_training_is_read_not_repeated(tmp_path: Path) -> None:
    first = fit(tmp_path)

    def build() -> GenerativeModel:
        raise AssertionError("built again")

    assert fit(tmp_path, build) == first


def test_flops_are_those_of_the_matrix_products(tmp_path: Path) -> None:
    """Two linear layers of 2·8 weights: forward 2 × batch × weights, backward the same for the
    weights' gradients, and for the inputs' of the second layer."""
    outcome = fit(tmp_path, plan=plan(steps=32))
    layer = 2 * 8 * 2 * 8
    a_turn = 2 * layer + 2 * layer + layer
    b_turn = a_turn + 2 * layer  # and player a's forward
    assert outcome.flops == 32 * a_turn + 16 * b_turn


def test_order_covers_every_epoch_and_depends_on_the_step_alone() -> None:
    order = batches.EpochSampler(size=10, batch=4, seed=0)
    stream = torch.cat([order.indices(step) for step in range(5)])
    assert sorted(stream[:10].tolist()) == sorted(stream[10:].tolist()) == list(range(10))
    assert not torch.equal(stream[:10], stream[10:])
    assert torch.equal(batches.EpochSampler(10, 4, 0).indices(3), stream[12:16])
    wide = batches.EpochSampler(size=3, batch=8, seed=0).indices(0)
    assert sorted(wide[:3].tolist()) == sorted(wide[3:6].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("resident", [True, False])
def test_loader_gives_each_rank_its_share(resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not resident:
        monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    samples, order = data(), batches.EpochSampler(100, 8, 0)
    shares = [
        batches.loader(samples, order, rank=rank, world=2, device=torch.device("cpu"))
        for rank in (0, 1)
    ]
    for step in (0, 1, 2, 7):
        together = torch.stack([share(step).data for share in shares], 1).flatten(0, 1)
        assert torch.equal(together, samples.data[order.indices(step)])


@pytest.mark.parametrize("resident", [True, False])
def test_words_stay_with_their_samples(resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the loader, the augmentations and the micro-batches of ``accumulate``."""
    if not resident:
        monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    spec = SampleSpec("image", (1, 2, 2), levels=101, condition={"caption": Text(1, 101)})
    levels = torch.arange(100)
    words = {"caption": [f"level {level}" for level in range(100)]}
    pictures = levels.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    samples = TensorSamples(spec, "levels", pictures, {"caption": levels[:, None] + 1}, words)
    order = batches.EpochSampler(100, 12, 0)
    load = batches.loader(samples, order, rank=1, world=2, device=torch.device("cpu"))
    prepare = batches.preparation(Train(augment=("horizontal_flip",), dequantize=True), spec)
    for step in (0, 1):
        for part in batches.split(prepare(load(step)), 3):
            assert len(part) == len(part.texts["caption"]) == 2
            for picture, tokens, text in zip(
                part.data, part.condition["caption"], part.texts["caption"], strict=True
            ):
                level = int(tokens) - 1
                assert text == f"level {level}"
                assert (picture - (level / 50 - 1)).abs().max() <= 0.5 / 50 + 1e-6
