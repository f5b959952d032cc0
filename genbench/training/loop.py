"""The only training loop: stability is measured here, in the same place for every model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic.dataclasses import dataclass as validated_dataclass
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from genbench import store
from genbench.api import (
    GenerativeModel,
    PlayerStep,
    Progress,
    ProgressCallback,
    ProgressEvent,
    Samples,
)
from genbench.api.errors import GenbenchError, one_line
from genbench.api.seeding import seed_all
from genbench.devices.compiling import compile_networks
from genbench.devices.layout import match_layout, to_device
from genbench.devices.ranks import gather
from genbench.loggers import SILENT, Log
from genbench.suite.train import STRICT, Train
from genbench.training import checkpoint, ema
from genbench.training.batches import EpochSampler, loader, preparation, split
from genbench.training.history import History

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VERSION = 2
"""Increased whenever the loop would train other weights from the same inputs."""

COUNTED_STEPS = 16
"""FLOPs are counted over the first steps: enough for lazy penalties of interval 2, 4, 8 and 16. Of
a training whose networks are compiled, these steps are eager."""

CHECKPOINT_SECONDS = 15.0
CHECKPOINT_SHARE = 0.05
"""Checkpoints are at least so many seconds apart, and take at most this share of the time."""


@validated_dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingConfig(Train):
    """The settings of one training."""

    steps: int
    snapshots: int
    """Equally spaced, after number 0 before the first step."""
    seed: int

    def snapshot_steps(self) -> list[int]:
        """After how many steps the weights are kept, 0 included."""
        return sorted({round(self.steps * k / self.snapshots) for k in range(self.snapshots + 1)})


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training. ``status`` is ``done`` or ``diverged``."""

    status: str
    examples: int
    """Seen before the end, over all devices."""
    first_nonfinite_step: int | None
    snapshots: tuple[int, ...]
    """The example counts at which weights were kept."""
    seconds: float
    """Wall-clock in the loop, snapshots, checkpoints and compiling included, over all resumes."""
    flops: float
    """Of the whole training, over all devices: those of the first steps, scaled."""
    parameters: Mapping[str, int]
    """By player."""


def train(
    fabric: Fabric,
    build: Callable[[], GenerativeModel],
    samples: Samples,
    config: TrainingConfig,
    folder: Path,
    report: ProgressCallback,
    log: Log = SILENT,
) -> TrainingResult:
    """Train the model that ``build`` returns, or resume the training in ``folder``.

    Leaves in ``folder`` the snapshots, ``history.csv`` and, last, ``training.json``; when that is
    there, it is read and nothing is trained. After the first non-finite loss or gradient norm no
    step is taken and the training ends as ``diverged``; so it does if weights are not finite when
    they are to be kept, at the end too. ``log`` receives the history, and has all of it before the
    training counts as finished.
    """
    return (
        read_result(folder)
        or _TrainingLoop(fabric, build, samples, config, folder, report, log).run()
    )


def read_result(folder: Path) -> TrainingResult | None:
    """How the training in ``folder`` ended; ``None`` while it has not."""
    path = folder / checkpoint.RESULT
    metadata = store.read_metadata(path)
    if metadata is None:
        return None
    try:
        return TrainingResult(**{**metadata, "snapshots": tuple(metadata["snapshots"])})
    except (KeyError, TypeError) as error:
        raise GenbenchError(f"{path} does not say how a training ended: remove it") from error


class _TrainingLoop:
    """The state of one training: model, average, optimisers, history."""

    def __init__(
        self,
        fabric: Fabric,
        build: Callable[[], GenerativeModel],
        samples: Samples,
        config: TrainingConfig,
        folder: Path,
        report: ProgressCallback,
        log: Log,
    ) -> None:
        self.fabric, self.config, self.folder = fabric, config, folder
        self.report, self.log = report, log
        seed_all(config.seed, "init")
        self.model = build()
        self.average = build()
        self.average.load_state_dict(self.model.state_dict())
        self.finite = [name for name, x in self.model.state_dict().items() if _is_finite(x)]
        self.parameters = {
            name: sum(p.numel() for p in player.parameters())
            for name, player in self.model.players.items()
        }
        order = EpochSampler(len(samples), config.batch, config.seed)
        self.load = loader(
            samples,
            order,
            rank=fabric.global_rank,
            world=fabric.world_size,
            device=fabric.device,
        )
        self.prepare = preparation(config, samples.spec)
        self.history = History()
        self.step = 0
        self.loss = math.nan
        self.seconds = 0.0
        self.counted: list[float] = []
        self.kept: list[int] = []
        self._resume(checkpoint.load_state(folder))
        self._clock = time.perf_counter()
        self._saved = self._clock
        self._reported = self.step * config.batch, self._clock
        self._save_cost = 0.0

    def _resume(self, state: dict[str, Any] | None) -> None:
        try:
            self._prepare(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            if state is None:
                raise
            raise GenbenchError(
                f"{self.folder}: its checkpoint is not this training's ({one_line(error)[:200]}); "
                "name another folder, or remove this one"
            ) from error

    def _prepare(self, state: dict[str, Any] | None) -> None:
        """Wrap the players for the devices, restoring a state first: a wrapper changes no name in
        ``state_dict``, but does not load."""
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
        to_device(self.model, self.fabric.device)
        if (codec := getattr(self.model, "codec", None)) is not None:
            to_device(codec, self.fabric.device)  # it need not be a part of the module
        to_device(self.average, self.fabric.device)
        self.average.train(False)
        self.model.train(True)
        self.uncompiled = list(self.model.players.values()) if self.config.compile else []
        self.optimizers: dict[str, list[Any]] = {}
        self.rates: dict[str, list[float]] = {}
        for name in list(self.model.players):
            player = self.model.players[name]
            optimizers = self.model.optimization(name).optimizers(player)
            self.rates[name] = [group["lr"] for group in _groups(optimizers)]
            if state is not None:
                for optimizer, saved in zip(optimizers, state["optimizers"][name], strict=True):
                    optimizer.load_state_dict(saved)
                    match_layout(optimizer)
            wrapped, *self.optimizers[name] = self.fabric.setup(player, *optimizers)
            self.model.players[name] = wrapped
        self.ema = ema.ExponentialMovingAverage(self.average, self.model)
        if state is not None:
            self.history = History(state["history"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.counted, self.kept = state["counted"], state["kept"]

    def run(self) -> TrainingResult:
        config = self.config
        snapshot_steps = set(config.snapshot_steps())
        if self.step == 0:
            self._snapshot()
        budget = config.steps * config.batch
        first_nonfinite = None
        while self.step < config.steps:
            progress = Progress(self.step, self.step * config.batch, budget)
            if not self._take_step(progress):
                first_nonfinite = self.step
                break
            self.step += 1
            if self.step in snapshot_steps:
                if not self._weights_are_finite():
                    first_nonfinite = self.step - 1
                    break
                self._snapshot()
            self._report_progress(progress)
            self.log.follow(self.history.rows)
            self._maybe_save()
        return self._finish(first_nonfinite)

    def _take_step(self, progress: Progress) -> bool:
        """Every player's turn; ``False`` as soon as a loss or a gradient norm is not finite."""
        config = self.config
        seed_all(config.seed, "train", self.step, self.fabric.global_rank)
        batch = self.prepare(self.load(self.step))
        counter = FlopCounterMode(display=False) if self.step < COUNTED_STEPS else None
        if self.uncompiled and counter is None:  # FLOPs cannot be counted in compiled networks
            compile_networks(self.uncompiled)
            self.uncompiled = []
        with counter or nullcontext(), self._unsynchronized():
            first, *others = [
                self.model.losses(b, progress) for b in split(batch, config.accumulate)
            ]
            for turn in first:
                if not self._take_turn(turn, others, progress):
                    return False
            for micro_batch in others:
                _same_turn(None, next(micro_batch, None))
        if counter is not None:
            self.counted.append(float(counter.get_total_flops()))
        self.ema.update(ema.decay(config.ema_halflife, config.batch, progress.step))
        return True

    @contextmanager
    def _unsynchronized(self) -> Iterator[None]:
        """Where gradients are accumulated: DDP reduces none of them. It would arm itself at a
        forward pass and reduce at the next backward pass, which may be another micro-batch's."""
        with ExitStack() as held:
            if self.config.accumulate > 1 and self.fabric.world_size > 1:
                for player in self.model.players.values():
                    held.enter_context(self.fabric.no_backward_sync(cast(Any, player)))
            yield

    def _take_turn(
        self, turn: PlayerStep, others: Sequence[Iterator[PlayerStep]], progress: Progress
    ) -> bool:
        """A player's step, ``turn`` its loss on the first micro-batch and ``others`` the games on
        the others: each gives its turn once the one before has gone backward, so that no two graphs
        of one turn are held at a time."""
        player = self.model.players[turn.player]
        optimizers = self.optimizers[turn.player]
        how = self.model.optimization(turn.player)
        groups, factor = _groups(optimizers), how.schedule(progress)
        for group, rate in zip(groups, self.rates[turn.player], strict=True):
            group["lr"] = rate * factor
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(turn.loss / self.config.accumulate)
        seen = [_measured(turn)]
        for micro_batch in others:
            other = _same_turn(turn, next(micro_batch, None))
            self.fabric.backward(other.loss / self.config.accumulate)
            seen.append(_measured(other))
        if others and self.fabric.world_size > 1:
            _share_state(player, self.fabric.world_size)
        norm = nn.utils.clip_grad_norm_(
            [parameter for group in groups for parameter in group["params"]],
            math.inf if how.clip_norm is None else how.clip_norm,
        )
        # One transfer for all: on an accelerator every one is a wait.
        told = torch.cat([torch.stack(seen).mean(0), norm.float().reshape(1)])
        reduced = cast(Tensor, self.fabric.all_reduce(told, reduce_op="mean"))
        loss, *diagnostics, gradient_norm = reduced.tolist()
        self.history.add(
            progress,
            turn.player,
            loss=loss,
            gradient_norm=gradient_norm,
            learning_rate=groups[0]["lr"],
            diagnostics=dict(zip(turn.diagnostics, diagnostics, strict=True)),
        )
        self.loss = loss
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return False
        for optimizer in optimizers:
            optimizer.step()
        return True

    def _report_progress(self, progress: Progress) -> None:
        now = time.perf_counter()
        if now - self._reported[1] > 0.2:
            examples = self.step * self.config.batch
            rate = (examples - self._reported[0]) / (now - self._reported[1])
            self._reported = examples, now
            self.report(ProgressEvent("train", examples, progress.budget, self.loss, rate))

    def _maybe_save(self) -> None:
        """A checkpoint when one is due; rank 0 writes, and its clock decides for itself alone."""
        if not self.fabric.is_global_zero:
            return
        now = time.perf_counter()
        if now - self._saved < max(CHECKPOINT_SECONDS, self._save_cost / CHECKPOINT_SHARE):
            return
        checkpoint.save_state(
            self.folder,
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizers": {
                    name: [optimizer.state_dict() for optimizer in optimizers]
                    for name, optimizers in self.optimizers.items()
                },
                "history": self.history.rows,
                "step": self.step,
                "seconds": self._elapsed(),
                "counted": self.counted,
                "kept": self.kept,
            },
        )
        self._saved = time.perf_counter()
        self._save_cost = self._saved - now

    def _weights_are_finite(self) -> bool:
        """Whether no rank has NaN or infinity in a weight or a buffer, of the model or the average,
        that was finite at first: a finite gradient may still give them, as do statistics that run
        beside it."""
        states = self.model.state_dict(), self.average.state_dict()
        broken = any(not _is_finite(state[name]) for state in states for name in self.finite)
        told = torch.tensor(float(broken), device=self.fabric.device)
        return not cast(Tensor, self.fabric.all_reduce(told, reduce_op="sum")).item()

    def _snapshot(self) -> None:
        examples = self.step * self.config.batch
        self._require_step(examples)
        self.kept.append(examples)
        if self.fabric.is_global_zero:
            checkpoint.save_snapshot(self.folder, examples, "ema", self.average.state_dict())
            checkpoint.save_snapshot(self.folder, examples, "raw", self.model.state_dict())

    def _require_step(self, examples: int) -> None:
        """Raises ``GenbenchError`` if the ranks' weights differ."""
        if self.fabric.world_size == 1:
            return
        mine = int(store.hash_tensor(*self.model.parameters()), 16) >> 1
        hashes = gather(self.fabric, torch.tensor(mine, device=self.fabric.device))
        if bool((hashes != hashes[0]).any()):
            raise GenbenchError(
                f"the devices' weights differ after {examples} examples: losses() must call the "
                "players themselves, not their submodules, and train nothing else"
            )

    def _elapsed(self) -> float:
        return self.seconds + max(0.0, time.perf_counter() - self._clock)

    def _finish(self, first_nonfinite: int | None) -> TrainingResult:
        counted = self.counted
        result = TrainingResult(
            status="done" if first_nonfinite is None else "diverged",
            examples=self.step * self.config.batch,
            first_nonfinite_step=first_nonfinite,
            snapshots=tuple(self.kept),
            seconds=self._elapsed(),
            flops=sum(counted) / len(counted) * self.step * self.fabric.world_size
            if counted
            else 0.0,
            parameters=self.parameters,
        )
        self.log.end(self.history.rows)
        if self.fabric.is_global_zero:
            text = self.history.frame().to_csv(index=False)
            store.write_artefact(self.folder / checkpoint.HISTORY, text.encode(), {})
            store.write_metadata(self.folder / checkpoint.RESULT, asdict(result))
            checkpoint.clear_state(self.folder)
        self.fabric.barrier()
        return result


def _groups(optimizers: Sequence[torch.optim.Optimizer]) -> list[dict[str, Any]]:
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def _is_finite(value: Any) -> bool:
    return isinstance(value, Tensor) and bool(value.isfinite().all())


def _measured(turn: PlayerStep) -> Tensor:
    """The loss and the diagnostics, on the device of the loss: float32."""
    seen = [turn.loss, *turn.diagnostics.values()]
    device = turn.loss.device
    told = [torch.as_tensor(x, device=device).detach().float().reshape(()) for x in seen]
    return torch.stack(told)


def _same_turn(turn: PlayerStep | None, other: PlayerStep | None) -> PlayerStep:
    """``other``, of the same player, or of none as well, as ``turn``."""
    one, two = (None if x is None else x.player for x in (turn, other))
    if one != two:
        raise GenbenchError(
            f"losses() lets {one or 'nobody'} move on one micro-batch, and {two or 'nobody'} on "
            "another: who moves must depend on the progress alone"
        )
    return cast(PlayerStep, other)


def _share_state(player: nn.Module, world: int) -> None:
    """The mean over the ranks of a player's gradients, and rank 0's buffers, as DDP has them where
    it synchronises."""
    for parameter in player.parameters():
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= world
    for buffer in player.buffers():
        torch.distributed.broadcast(buffer, 0)
