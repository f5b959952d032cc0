"""Weights → samples, in fixed blocks, with the network evaluations counted.

A block of 64 samples is the unit of randomness and of computation: it is reseeded from (seed,
"sample", block) and always computed whole, so that the same samples come out for every number of
devices and every count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from genbench.api import (
    LENGTH,
    Codec,
    Condition,
    GenerativeModel,
    ProgressCallback,
    ProgressEvent,
    SampleSpec,
    Texts,
)
from genbench.api.errors import NonFiniteSamples, UsageError
from genbench.api.seeding import seed_all
from genbench.devices.compiling import compiled_forward
from genbench.devices.layout import to_device
from genbench.devices.ranks import gather
from genbench.registry import call

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VERSION = 2
"""Raised whenever the same weights, options and seed would give other samples."""

BLOCK = 64

CODEC = "codec.decode"
"""How a codec is called among the networks; no player can be, since modules' names have no dot."""

ConditionOfBlock: TypeAlias = Callable[[int], Condition]
"""Block number → the conditions of its 64 samples; empty for an unconditional model."""

TextsOfBlock: TypeAlias = Callable[[int], Texts]
"""Block number → the words of its 64 samples, as far as they are known."""


@dataclass(frozen=True)
class GeneratedSamples:
    """Samples and what they cost."""

    data: Tensor
    """``(count, *shape)`` in the stored view, on the CPU."""
    condition: Condition
    """What they were conditioned on, on the CPU."""
    nfe: float
    """Network evaluations a sample."""
    flops: float
    """Of the networks, a sample."""
    parameters: int
    """Of the networks that were called."""


@torch.no_grad()
def draw(
    fabric: Fabric,
    model: GenerativeModel,
    spec: SampleSpec,
    *,
    count: int,
    seed: int,
    options: Mapping[str, Any],
    report: ProgressCallback,
    given: ConditionOfBlock = lambda block: {},
    texts: TextsOfBlock = lambda block: {},
) -> GeneratedSamples:
    """``count`` samples of ``model`` (never a wrapped one), on all devices of ``fabric``, each of
    which returns them all.

    Raises ``NonFiniteSamples`` when the sampler returns NaN or infinity, ``UsageError`` if the
    model reads words that are not known.
    """
    place(fabric, model)
    blocks = ceil(count / BLOCK)
    # Every device draws as many blocks as the others, so that they can be gathered.
    rounds = ceil(blocks / fabric.world_size)
    mine = []
    with _counting(model) as counter:
        for turn in range(rounds):
            block = turn * fabric.world_size + fabric.global_rank
            words = words_of(model, texts, block)
            mine.append(_block(fabric, model, spec, seed, block, options, given(block), words))
            done = min((turn + 1) * fabric.world_size * BLOCK, count)
            report(ProgressEvent("sample", done, count))
    everyone = gather(fabric, torch.stack(mine))
    # (rounds, world, BLOCK, *shape): in block order.
    x = everyone.transpose(0, 1).reshape(-1, *spec.shape)[:count]
    bad = int((~x.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise NonFiniteSamples(f"{bad} of {count} samples are not finite")
    drawn = rounds * BLOCK
    # Samplers of adaptive steps do other work on other devices.
    each = torch.tensor([counter.rows, counter.flops], dtype=torch.float64, device=fabric.device)
    nfe, flops = cast(Tensor, fabric.all_reduce(each / drawn, reduce_op="mean")).tolist()
    condition = _joined([given(block) for block in range(blocks)], count)
    return GeneratedSamples(
        data=padded(spec, spec.decode(x).cpu(), condition),
        condition=condition,
        nfe=nfe,
        flops=flops,
        parameters=sum(
            p.numel() for network in _called(model, counter) for p in network.parameters()
        ),
    )


def require_memory(spec: SampleSpec, count: int) -> None:
    """Raises ``UsageError`` for more samples than this machine's memory holds: they are drawn as
    float32, and all of them are held until the last one is there."""
    wanted = 4 * count * prod(spec.shape)
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > held:
        raise UsageError(
            f"{count:,} samples take {wanted >> 30:,} GiB; this machine has "
            f"{held >> 30:,} GiB of memory"
        )


def _called(model: GenerativeModel, counter: _Counter) -> list[nn.Module | Codec]:
    """The networks that were called in sampling."""
    networks = {**model.players, CODEC: codec_of(model)}
    return [network for name, network in networks.items() if name in counter.called and network]


def place(fabric: Fabric, model: GenerativeModel) -> None:
    """Model and codec on the device, ready to sample."""
    to_device(model, fabric.device)
    model.train(False)
    codec = codec_of(model)
    if codec is not None:
        to_device(codec, fabric.device)


def codec_of(model: GenerativeModel) -> Codec | None:
    """What decodes the latents of a model that works in a latent space."""
    return getattr(model, "codec", None)


Decode: TypeAlias = Callable[[Tensor], Tensor]


@contextmanager
def wrapped_decode(model: GenerativeModel, wrap: Callable[[Decode], Decode]) -> Iterator[None]:
    """The codec of ``model``, if it has one, decodes by ``wrap`` of what it decodes by."""
    codec: Any = codec_of(model)
    if codec is None:
        yield
        return
    vars(codec)["decode"] = wrap(codec.decode)
    try:
        yield
    finally:
        del vars(codec)["decode"]


def codec_id(model: GenerativeModel) -> str | None:
    """The id of a model's codec, if it has one."""
    codec = codec_of(model)
    return None if codec is None else codec.id


def padded(spec: SampleSpec, stored: Tensor, condition: Condition) -> Tensor:
    """``stored`` with zeros beyond the length that each sample was asked for, if any was."""
    return spec.pad(stored, condition[LENGTH]) if LENGTH in condition else stored


def _joined(blocks: Sequence[Condition], count: int) -> Condition:
    return {
        name: torch.cat([block[name] for block in blocks])[:count] for name in sorted(blocks[0])
    }


def words_of(model: GenerativeModel, texts: TextsOfBlock, block: int) -> tuple[Texts, ...]:
    """What ``sample`` takes beside the conditions: the words that the model reads, if it does.
    Raises ``UsageError`` if they are not known."""
    names = sorted(getattr(model, "texts", ()))
    if not names:
        return ()
    known = texts(block)
    for name in names:
        if name not in known:
            raise UsageError(f"the model reads the words of {name!r}, and there are tokens alone")
    return ({name: known[name] for name in names},)


@torch.no_grad()
def seconds_per_block(
    fabric: Fabric,
    model: GenerativeModel,
    spec: SampleSpec,
    options: Mapping[str, Any],
    given: ConditionOfBlock = lambda block: {},
    texts: TextsOfBlock = lambda block: {},
) -> float:
    """Wall-clock of one block, with nothing counted and nothing else done; on one device."""
    place(fabric, model)
    condition, words = given(0), words_of(model, texts, 0)
    start = time.perf_counter()
    # To the CPU, so that an accelerator's work is waited for.
    _block(fabric, model, spec, 0, 0, options, condition, words).cpu()
    return max(0.0, time.perf_counter() - start)


def _block(
    fabric: Fabric,
    model: GenerativeModel,
    spec: SampleSpec,
    seed: int,
    block: int,
    options: Mapping[str, Any],
    condition: Condition,
    words: tuple[Texts, ...],
) -> Tensor:
    placed = {name: value.to(fabric.device) for name, value in condition.items()}
    seed_all(seed, "sample", block)
    # Drawn on the CPU: the same noise for every device.
    noise = torch.randn(BLOCK, *model.noise_shape).to(fabric.device)
    with fabric.autocast():
        x: Tensor = call(model.sample, noise, placed, *words, **options)
    if tuple(x.shape) != (BLOCK, *spec.shape):
        raise ValueError(f"sample() returned {tuple(x.shape)}, not {(BLOCK, *spec.shape)}")
    return x.float()


class _Counter:
    """Rows that went through the networks, and their FLOPs: counted once for each player and
    input shape, since counting slows a call several times."""

    def __init__(self) -> None:
        self.rows = 0
        self.flops = 0.0
        self.called: set[str] = set()
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        self._mode: FlopCounterMode | None = None

    def before(self, name: str, inputs: Sequence[Any]) -> None:
        if (name, tuple(inputs[0].shape)) not in self._known:
            self._mode = FlopCounterMode(display=False)
            self._mode.__enter__()  # type: ignore[no-untyped-call]

    def beside(self, name: str, inputs: Sequence[Any], call: Callable[[], object]) -> None:
        """What goes through a compiled network, in which nothing can be counted, is counted in an
        eager ``call``, whose output and random draws are lost."""
        if (key := (name, tuple(inputs[0].shape))) not in self._known:
            cards = {x.device for x in inputs if isinstance(x, Tensor) and x.is_cuda}
            counted = FlopCounterMode(display=False)
            with torch.random.fork_rng(cards), counted:
                call()
            self._known[key] = float(counted.get_total_flops())

    def decoding(self, decode: Decode) -> Decode:
        """The same function, counted; it evaluates no network of the model's own."""

        def counted(z: Tensor) -> Tensor:
            self.before(CODEC, [z])
            x = decode(z)
            self.after(CODEC, [z])
            self.rows -= len(z)
            return x

        return counted

    def after(self, name: str, inputs: Sequence[Any]) -> None:
        shape = tuple(inputs[0].shape)
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._known[name, shape] = float(self._mode.get_total_flops())
            self._mode = None
        self.rows += shape[0]
        self.flops += self._known[name, shape]
        self.called.add(name)


@contextmanager
def _counting(model: GenerativeModel) -> Iterator[_Counter]:
    counter = _Counter()
    handles = []
    for name, player in model.players.items():

        def before(
            player: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], name: str = name
        ) -> None:
            given = [*inputs, *named.values()]
            if (compiled := compiled_forward(player)) is not None:
                counter.beside(name, given, lambda: compiled.eager(*inputs, **named))
            counter.before(name, given)

        def after(
            _: nn.Module,
            inputs: tuple[Any, ...],
            named: dict[str, Any],
            __: Any,
            name: str = name,
        ) -> None:
            counter.after(name, [*inputs, *named.values()])

        handles += [
            player.register_forward_pre_hook(before, with_kwargs=True),
            player.register_forward_hook(after, with_kwargs=True),
        ]
    try:
        with wrapped_decode(model, counter.decoding):
            yield counter
    finally:
        for handle in handles:
            handle.remove()
