"""What a model promises, and how each promise is tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import GenerativeModel, Progress, TensorSamples, Variant
from genbench.api.errors import UsageError
from genbench.api.seeding import derive, generator
from genbench.data import open_samples
from genbench.sampling import BLOCK
from genbench.testing.capabilities import (
    disobeyed,
    unfit,
    wrong_bits,
    wrong_codec,
    wrong_forward,
    wrong_trajectory,
)
from genbench.testing.checks import DATA, OPTIONS, Check, all_refused, wrong_options
from genbench.testing.model_under_test import (
    BATCH,
    INTERRUPTED,
    SEED,
    STEPS,
    ModelUnderTest,
    differing,
)
from genbench.testing.processes import TwoProcessTrainings

BATCH_TOLERANCE = 1e-4
"""Absolute and relative tolerance of a value in the model's view: other samples in the batch may
change the last bits of a matrix product, but not more."""


def model_checks(
    model: str | Variant | Callable[..., GenerativeModel],
    *,
    options: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    data: Sequence[str] = DATA,
    data_dir: Path = Path("data"),
) -> list[Check]:
    """The promises of a model: a registered name, a factory, or a ``Variant``, which is tried as
    what it trains, sampled its way.

    Args:
        model: What to check.
        options: Of the factory.
        sample: Options of the model's ``sample``.
        data: The data sets to train on, one after the other; one of them must fit the model.
        data_dir: Where they lie.

    Raises:
        UsageError: An unknown name or option, data that cannot be opened.
    """
    value = registry.models.get(model) if isinstance(model, str) else model
    preset = dict(value.sample) if isinstance(value, Variant) else {}
    factory = registry.models.get(value.trains) if isinstance(value, Variant) else value
    chosen = registry.check_options("the model", factory, options or {})
    subjects = [
        ModelUnderTest(
            factory, chosen, preset | dict(sample or {}), open_samples(name, data_dir), name
        )
        for name in data
    ]
    together = TwoProcessTrainings()
    signature = partial(wrong_options, factory, ("spec",), chosen)
    groups = [_of_subject(subject, together) for subject in subjects]
    built = [group[0] for group in groups]
    fits = partial(all_refused, built, "name a data set that fits")
    return [
        Check(f"its options {OPTIONS}", "", signature),
        Check("it fits one of the data sets", "", fits),
        *(check for group in groups for check in group),
    ]


def _of_subject(subject: ModelUnderTest, together: TwoProcessTrainings) -> list[Check]:
    checks: list[Check] = []

    def promise(text: str, attempt: Callable[[ModelUnderTest], str | None], *needs: Check) -> Check:
        checks.append(Check(text, subject.about, partial(attempt, subject), needs))
        return checks[-1]

    built = promise("it is built, or refuses the samples with a UsageError", _builds)
    promise(f"the options of `sample` {OPTIONS}", _sample_options, built)
    optimised = promise(
        "`optimization` gives each player an optimiser over its own parameters", _optimisers, built
    )
    rated = promise("learning rates are finite and not negative", _learning_rates, optimised)
    trains = promise("it trains: losses and gradients are finite", _trains, rated)
    promise("every player receives a gradient and moves", _players_move, trains)
    promise("nothing outside `players` is trained", _outside, trains)
    steady = promise("who moves depends on progress, not on the data", _turns, trains)
    seeded = promise("the seed decides the training", _seeded, trains)
    promise("a resumed training is the undisturbed one, bit for bit", _resumes, seeded)
    together.add(subject, steady, seeded)
    promise("two processes train it in step", together.fault, steady, seeded)
    sampled = promise(
        "samples are (B, *shape), floating, finite, in the model's view", _samples, trains
    )
    promise("it trains and samples under bf16-mixed", _mixed, sampled)
    promise("sampling leaves the model as it was", _leaves, sampled)
    alone = promise("a block of samples is the same alone or among others", _blocks, sampled)
    promise("a sample does not depend on the others of its batch", _independent_of_batch, sampled)
    promise("a model loaded from `state_dict` gives the same samples", _reloaded, alone)
    promise("each of its `conditions` decides the samples", disobeyed, sampled)
    promise("`trajectory` ends in the samples that `sample` gives", wrong_trajectory, sampled)
    promise("`diffused` leads from the data to the noise", wrong_forward, sampled)
    promise("`bits_per_dim` is a finite code length a sample", wrong_bits, sampled)
    promise(
        "`codec` encodes samples, decodes to their shape, and is not trained", wrong_codec, sampled
    )
    return checks


def _builds(subject: ModelUnderTest) -> str | None:
    built = subject.build()
    model: Any = built
    if not isinstance(model, nn.Module):
        return f"it is a {type(model).__name__}, not an nn.Module"
    if not isinstance(getattr(model, "players", None), nn.ModuleDict) or not model.players:
        return "`players` is not a ModuleDict with a network in it"
    shape = getattr(model, "noise_shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n > 0 for n in shape):
        return f"`noise_shape` is {shape!r}, not a tuple of lengths"
    lacking = unfit(subject, built)
    if lacking is not None:
        raise SkipTest(lacking)
    return None


def _sample_options(subject: ModelUnderTest) -> str | None:
    model = subject.build()
    words = ["texts"] if getattr(model, "texts", ()) else []
    return wrong_options(model.sample, ("noise", "condition", *words), subject.sample)


def _optimisers(subject: ModelUnderTest) -> str | None:
    model = subject.build()
    names = {parameter: name for name, parameter in model.players.named_parameters()}
    owned: set[nn.Parameter] = set()
    for player, network in model.players.items():
        optimizers = model.optimization(player).optimizers(network)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        listed = [parameter for group in groups for parameter in group["params"]]
        moved = set(listed)
        if len(listed) > len(moved):
            return f"two of {player!r} move the same parameter"
        others = sorted(names.get(p, "one outside") for p in moved - set(network.parameters()))
        if others:
            return f"that of {player!r} also moves {others[0]!r}"
        if not moved:
            return f"that of {player!r} moves nothing"
        shared = sorted(names[parameter] for parameter in moved & owned)
        if shared:
            return f"{shared[0]!r} is also a parameter of {player!r}"
        owned |= moved
    return None


def _learning_rates(subject: ModelUnderTest) -> str | None:
    model = subject.build()
    for player in model.players:
        how = model.optimization(player)
        group = how.optimizers(model.players[player])[0].param_groups[0]
        for step in range(1000):
            factor = how.schedule(Progress(step, step * BATCH, 1000 * BATCH))
            value = group["lr"] * factor
            if not (math.isfinite(value) and value >= 0):
                return f"that of {player!r} is {value} after {step / 10:g} % of the budget"
    return None


def _trains(subject: ModelUnderTest) -> str | None:
    try:
        run = subject.run
    except UsageError as error:
        return f"it refuses the samples only now: {error}"
    if run.result.status == "done":
        return None
    last = run.history.iloc[-1]
    for what in ("loss", "gradient_norm"):
        if not math.isfinite(last[what]):
            said = what.replace("_", " ")
            return f"the {said} of {last['player']!r} is {last[what]} at step {last['step']}"
    return f"a weight is not finite after step {run.result.first_nonfinite_step}"


def _players_move(subject: ModelUnderTest) -> str | None:
    run = subject.run
    for player, network in subject.build().players.items():
        turns = run.history[run.history["player"] == player]
        if turns.empty:
            return f"{player!r} has no turn in {STEPS} steps"
        if not (turns["gradient_norm"] > 0).any():
            return f"{player!r} receives no gradient in {STEPS} steps"
        weights = [f"players.{player}.{name}" for name, _ in network.named_parameters()]
        if all(torch.equal(run.initial[name], run.raw[name]) for name in weights):
            return f"{player!r} does not move in {STEPS} steps"
    return None


def _outside(subject: ModelUnderTest) -> str | None:
    model: Any = subject.build()
    inside = set(model.players.parameters())
    run = subject.run
    for name, parameter in model.named_parameters():
        # A frozen copy that follows the players, as a target network does, is state and may move.
        if parameter not in inside and parameter.requires_grad:
            moved = not torch.equal(run.initial[name], run.raw[name])
            return f"parameter {name!r} {'moved' if moved else 'requires a gradient'}"
    return None


def _turns(subject: ModelUnderTest) -> str | None:
    """Compared with a training of other weights on the same data, inverted."""
    usual, other = subject.run, subject.train(seed=SEED + 1, data=_inverted(subject.data))
    for step in range(other.result.examples // BATCH):
        one, two = (" and ".join(run.movers(step)) or "nobody" for run in (usual, other))
        if one != two:
            return f"at step {step} it is {one} on some data and {two} on other"
    return None


def _inverted(data: TensorSamples) -> TensorSamples:
    levels = data.spec.levels
    return replace(data, data=-data.data if levels is None else levels - 1 - data.data)


def _seeded(subject: ModelUnderTest) -> str | None:
    one = subject.seeded().state_dict()
    unlike = differing(one, subject.seeded().state_dict())
    if unlike:
        return f"two models built with one seed differ in {unlike!r}"
    if torch.initial_seed() != derive(SEED, "init") or subject.run.reseeded:
        return "the model seeds torch's global generator, which is the harness's to seed"
    unlike = differing(subject.run.raw, subject.train().raw)
    return unlike and f"two trainings with one seed differ in {unlike!r}"


def _resumes(subject: ModelUnderTest) -> str | None:
    resumed = subject.train(interrupted=INTERRUPTED)
    lost = "what must survive a resume is a parameter or a buffer"
    for weights in ("raw", "ema"):
        unlike = differing(getattr(subject.run, weights), getattr(resumed, weights))
        if unlike:
            return f"{unlike!r} differs ({weights} weights): {lost}"
    return None if resumed.history.equals(subject.run.history) else f"the history differs: {lost}"


def _mixed(subject: ModelUnderTest) -> str | None:
    run = subject.train(precision="bf16-mixed")
    if run.result.status != "done":
        return f"it diverges at step {run.result.first_nonfinite_step}"
    for name, weight in run.raw.items():
        if weight.dtype != subject.run.raw[name].dtype:
            return f"{name!r} becomes {weight.dtype}"
    model = subject.load(run.ema)
    samples = subject.call(model, _noise(model, 5), "bf16-mixed")
    return None if samples.isfinite().all() else "the samples are not finite"


def _samples(subject: ModelUnderTest) -> str | None:
    model = subject.load(subject.run.ema)
    samples = subject.call(model, _noise(model, 5))
    shape = (5, *subject.spec.shape)
    if not isinstance(samples, Tensor) or tuple(samples.shape) != shape:
        return f"it returns {tuple(getattr(samples, 'shape', ()))}, not {shape}"
    if not samples.is_floating_point():
        return f"it returns {samples.dtype}: decoding is the harness's"
    if samples.requires_grad:
        return "the samples carry a gradient"
    if not samples.isfinite().all():
        return "some are NaN or infinite"
    low, high = samples.aminmax()
    # Of how far they may reach nothing is asked: a sampler of hardly trained weights overshoots,
    # and decoding clamps.
    if subject.spec.levels is not None and low >= 0 and high > 0.05:
        return f"they run from {low:.2g} to {high:.2g}: the model's view is -1 to 1, not from 0 up"
    return None


def _leaves(subject: ModelUnderTest) -> str | None:
    model = subject.load(subject.run.ema)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    subject.call(model, _noise(model, 5))
    changed = differing(before, model.state_dict())
    return changed and f"{changed!r} has changed"


def _blocks(subject: ModelUnderTest) -> str | None:
    model = subject.load(subject.run.ema)
    alone = subject.draw(model, BLOCK)
    # The first of these two is drawn after another one.
    among = subject.draw(model, 2 * BLOCK)[:BLOCK]
    unlike = int((alone != among).flatten(1).any(1).sum())
    return f"{unlike} of {BLOCK} samples differ" if unlike else None


def _independent_of_batch(subject: ModelUnderTest) -> str | None:
    """Everything else is held still: the number of samples and the stream of randomness, from
    which a sampler must draw as many numbers whatever the other samples are."""
    model = subject.load(subject.run.ema)
    own, some, others = _noise(model, 24).chunk(3)
    one, two = (subject.call(model, torch.cat([own, company]))[:8] for company in (some, others))
    if torch.allclose(one, two, atol=BATCH_TOLERANCE, rtol=BATCH_TOLERANCE):
        return None
    difference = (one - two).abs().max()
    return f"with other samples in the batch its values change by up to {difference:.2g}"


def _reloaded(subject: ModelUnderTest) -> str | None:
    """Of the very instance that was trained, and of another one with its state."""
    trained, loaded = subject.run.model, subject.load(subject.run.model.state_dict())
    noise = _noise(loaded, 5)
    unlike = (subject.call(trained, noise) - subject.call(loaded, noise)).abs().max()
    lost = "what sampling needs is a parameter or a buffer"
    return None if unlike == 0 else f"values change by up to {unlike:.2g}: {lost}"


def _noise(model: GenerativeModel, count: int) -> Tensor:
    return torch.randn(count, *model.noise_shape, generator=generator(SEED, "noise"))
