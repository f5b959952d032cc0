"""What a training and its samples will cost, from a few real steps on the device at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from genbench.api import Batch, Condition, GenerativeModel, Progress
from genbench.api.seeding import seed_all
from genbench.devices.hardware import Hardware
from genbench.devices.layout import to_device
from genbench.experiment.context import open_cached
from genbench.experiment.imported import source_of
from genbench.experiment.stages import sampling_options
from genbench.experiment.trained import builder, is_pretrained
from genbench.registry import call
from genbench.sampling import BLOCK, codec_of, place, words_of, wrapped_decode
from genbench.suite import SeededEntry, Training
from genbench.training.loop import COUNTED_STEPS

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FEW = 2
"""Samples of the steps whose FLOPs are counted: FLOPs go with the number of samples."""
TIME_LIMIT = 6.0
"""Seconds after which fewer than ``COUNTED_STEPS`` are enough."""
ENOUGH = 0.3
"""Seconds of a step from which its rate is taken for that of a whole batch."""


@dataclass(frozen=True)
class TrainingCost:
    """Of one training; its parts are zero where the weights are given."""

    parameters: int
    flops: float
    seconds: float


@dataclass(frozen=True)
class SamplingCost:
    """Of one sample."""

    parameters: int | None
    """Of the networks that sampling calls, a codec included; like the next two ``None`` of imported
    samples."""
    nfe: float | None
    flops: float | None
    seconds: float


def training_cost(hardware: Hardware, training: Training) -> TrainingCost:
    """From ``COUNTED_STEPS`` steps on few samples, and from one on as many as take a while, up to
    the batch: forward and backward passes, with neither optimiser nor snapshots.

    Raises as the factory and the data set do.
    """
    torch.set_num_threads(training.threads)
    fabric = hardware.alone().fabric(training.precision)
    seed_all(training.seed, "estimate")
    model, data = _built(hardware, training)
    parameters = sum(p.numel() for p in model.players.parameters())
    if is_pretrained(model):
        return TrainingCost(parameters, 0.0, 0.0)
    to_device(model, fabric.device)
    model.train(True)
    for name, player in model.players.items():
        model.players[name] = fabric.setup_module(player)
    budget = training.steps * training.batch
    few = _rows(data, FEW, fabric)
    start, steps = time.perf_counter(), 0
    counter = FlopCounterMode(display=False)
    with counter:
        while steps < COUNTED_STEPS and (steps == 0 or time.perf_counter() - start < TIME_LIMIT):
            _step(fabric, model, few, Progress(steps, 0, budget))
            steps += 1
    flops = counter.get_total_flops() / steps / FEW
    return TrainingCost(
        parameters, flops * budget, _seconds_a_sample(fabric, model, data, training) * budget
    )


def sampling_cost(hardware: Hardware, entry: SeededEntry) -> SamplingCost:
    """From one call of each network a shape: after it, the sampler is answered with zeros, since a
    thousand true steps would take as long as what is being estimated. An adaptive solver would take
    other steps."""
    training = entry.training
    torch.set_num_threads(training.threads)
    fabric = hardware.alone().fabric(training.precision)
    seed_all(training.seed, "estimate")
    model, data = _built(hardware, training)
    if source_of(model) is not None:
        return SamplingCost(None, None, None, 0.0)
    place(fabric, model)
    options = sampling_options(model, f"model {training.model!r}", entry.sample)
    noise = torch.randn(BLOCK, *model.noise_shape).to(fabric.device)
    obeyed = getattr(model, "conditions", ())
    given = _rows(data, BLOCK, fabric)
    condition: Condition = {name: given.condition[name] for name in obeyed}
    words = words_of(model, lambda block: given.texts, 0)
    seen = _CallCosts()
    answered = {name: _CachedNetwork(player, seen) for name, player in model.players.items()}
    model.players.update(answered)
    decodes = _CallCosts()
    wrapped = wrapped_decode(model, lambda decode: _CachedNetwork(decode, decodes))
    with torch.no_grad(), fabric.autocast(), wrapped:
        call(model.sample, noise, condition, *words, **options)
    called: list[Any] = [player for player in answered.values() if player.known]
    if decodes.rows:
        called.append(codec_of(model))
    return SamplingCost(
        sum(p.numel() for network in called for p in network.parameters()),
        seen.rows / BLOCK,
        (seen.flops + decodes.flops) / BLOCK,
        (seen.seconds + decodes.seconds) / BLOCK,
    )


class _CallCosts:
    """What the calls of the networks would have come to."""

    def __init__(self) -> None:
        self.rows = 0
        self.flops = 0.0
        self.seconds = 0.0


class _CachedNetwork(nn.Module):
    """A network that is called once for each shape, and then remembered."""

    def __init__(self, network: Any, seen: _CallCosts) -> None:
        super().__init__()
        self.network = network
        self.seen = seen
        self.known: dict[tuple[int, ...], tuple[Any, float, float]] = {}

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        shape = tuple(next(iter((*inputs, *named.values()))).shape)
        if shape not in self.known:
            counter = FlopCounterMode(display=False)
            with counter:
                out = self.network(*inputs, **named)
            start = time.perf_counter()
            _wait(self.network(*inputs, **named))
            seconds = time.perf_counter() - start
            self.known[shape] = out, float(counter.get_total_flops()), seconds
        out, flops, seconds = self.known[shape]
        self.seen.rows += shape[0]
        self.seen.flops += flops
        self.seen.seconds += seconds
        return torch.zeros_like(out) if isinstance(out, Tensor) else out

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What goes past a call, as a pass over noise that settles batch norms, is no sample's."""
        return self.network.forward(*inputs, **named)


def _built(hardware: Hardware, training: Training) -> tuple[GenerativeModel, Any]:
    data = open_cached(training.dataset, hardware.data_dir)
    return builder(training, data.spec)(), data


def _rows(data: Any, count: int, fabric: Fabric) -> Batch:
    batch: Batch = data.take(torch.arange(count) % len(data)).to(fabric.device)
    return replace(batch, data=data.spec.encode(batch.data))


def _step(fabric: Fabric, model: GenerativeModel, batch: Batch, progress: Progress) -> None:
    """Forward and backward, as the loop goes through them."""
    for player in model.players.values():
        player.zero_grad(set_to_none=True)
    for turn in model.losses(batch, progress):
        fabric.backward(turn.loss)
        _wait(turn.loss)


def _seconds_a_sample(
    fabric: Fabric, model: GenerativeModel, data: Any, training: Training
) -> float:
    """Of the mean over as many steps as a player may rest for, doubled in size until they take a
    while."""
    count = min(FEW, training.batch)
    while True:
        batch = _rows(data, count, fabric)
        start = time.perf_counter()
        steps = 0
        while steps < COUNTED_STEPS and time.perf_counter() - start < ENOUGH:
            _step(fabric, model, batch, Progress(steps, 0, training.steps * training.batch))
            steps += 1
        seconds = time.perf_counter() - start
        if seconds / steps >= ENOUGH / 4 or count == training.batch:
            return seconds / steps / count
        count = min(2 * count, training.batch)


def _wait(out: Any) -> None:
    """For an accelerator's work."""
    if isinstance(out, Tensor):
        out.detach().sum().item()
