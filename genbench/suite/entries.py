"""A suite → its entries, grouped by what they train; and what names each stage of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench import registry
from genbench.api import REAL, Variant
from genbench.api.errors import UnknownName, UsageError
from genbench.registry import PluginError
from genbench.store import fingerprint
from genbench.suite.file import Entry, Precision, Suite


@dataclass(frozen=True)
class Training:
    """What one training is, as far as a suite decides it. Entries with equal ones train once."""

    model: str
    options: Mapping[str, Any]
    dataset: str
    examples: int
    batch: int
    ema_halflife: float
    augment: str
    precision: Precision
    threads: int
    snapshots: int
    """How many equally spaced snapshots are kept after number 0."""
    seed: int
    dequantize: bool = False

    @property
    def steps(self) -> int:
        return math.ceil(self.examples / self.batch)

    @property
    def label(self) -> str:
        return f"{self.model} seed {self.seed}"


@dataclass(frozen=True)
class SeededEntry:
    """One model, trained and sampled one way, with one seed."""

    name: str
    model: str
    """As the suite names it; ``training.model`` is what trains."""
    training: Training
    sample: Mapping[str, Any]
    snapshot_sample: Mapping[str, Any]
    fault: str | None = None
    """What is wrong with the model's plugin, so that nothing can be run. ``training`` then has the
    options as they were given."""


def trainings(suite: Suite, seeds: Sequence[int] | None = None) -> list[list[SeededEntry]]:
    """The entries, grouped by what they train: one inner list a training, all seeds of an entry
    side by side. Options are checked against the models; an entry whose model's plugin is at fault
    says so, in a group that has no other kind.

    Raises ``UsageError`` for an unknown model, one that two packages claim, or a wrong option.
    """
    groups: dict[tuple[str, str | None], list[SeededEntry]] = {}
    for name, section in suite.entries.items():
        for seed in seeds if seeds is not None else suite.seeds:
            entry = _entry(suite, name, section, seed)
            groups.setdefault((fingerprint(_fields(entry.training)), entry.fault), []).append(entry)
    return list(groups.values())


def _entry(suite: Suite, name: str, section: Entry, seed: int) -> SeededEntry:
    if name == REAL:
        raise UsageError(f"an entry cannot be named {name!r}: that row is the floor")
    fault = None
    try:
        trains, options, preset = _plugged(section)
    except PluginError as error:
        fault = str(error)
        trains, options, preset = section.model, section.options, {}
    defaults = suite.train.model_dump() | {"examples": suite.examples}
    chosen = {k: v for k, v in section.train.model_dump().items() if v is not None}
    training = Training(
        model=trains,
        options=options,
        dataset=suite.dataset,
        snapshots=suite.score.snapshots.count,
        seed=seed,
        **(defaults | chosen),
    )
    return SeededEntry(
        name=name,
        model=section.model,
        training=training,
        sample=preset | section.sample,
        snapshot_sample=section.snapshot_sample,
        fault=fault,
    )


def _plugged(section: Entry) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Which model trains, its options, and the sampling options of a variant. Raises
    ``PluginError`` where the plugin is at fault, ``UsageError`` where the suite is."""
    trains, factory, preset = trained(section.model)
    what = f"model {section.model!r}"
    return trains, registry.check_options(what, factory, section.options), preset


def trained(model: str) -> tuple[str, Any, dict[str, Any]]:
    """Which model trains for ``model``, its factory, and the sampling options of a variant. Raises
    as ``registry.models.get`` does, and ``PluginError`` for a variant at fault."""
    what = f"model {model!r}"
    factory = registry.models.get(model)
    if not isinstance(factory, Variant):
        return model, factory, {}
    preset = dict(factory.sample)
    registry.require_plain(what, preset)
    try:
        return factory.trains, registry.models.get(factory.trains), preset
    except UnknownName as error:
        raise PluginError(f"{what} samples another: {error}") from None


def training_identity(
    training: Training, *, dataset: str, code: str, hardware: Mapping[str, Any]
) -> str:
    """What names a training: its fields, the data set's id, the hash of the plugin's code, and the
    hardware's share (torch version, device kind, world size, strategy, loop version)."""
    fields = _fields(training) | {"data": dataset, "code": code, "hardware": dict(hardware)}
    return fingerprint(fields)


def sampling_identity(
    *,
    training: str,
    code: str,
    hardware: Mapping[str, Any],
    precision: str,
    examples: int,
    weights: str,
    snapshot: str,
    options: Mapping[str, Any],
    seed: int,
    count: int,
    prompts: Mapping[str, Any] | None,
    version: int,
) -> str:
    """What names a set of generated samples: the weights, the code, the hardware and the precision
    that sample them, the sampling options, seed, count and prompts."""
    return fingerprint(
        {
            "training": training,
            "code": code,
            "hardware": dict(hardware),
            "precision": precision,
            "examples": examples,
            "weights": weights,
            "snapshot": snapshot,
            "options": dict(options),
            "seed": seed,
            "count": count,
            "prompts": prompts,
            "version": version,
        }
    )


def likelihood_identity(
    *,
    training: str,
    code: str,
    hardware: Mapping[str, Any],
    snapshot: str,
    reference: str,
    samples: int,
    seed: int,
    version: int,
) -> str:
    """What names the likelihood of some reference samples under the weights of a snapshot."""
    return fingerprint(
        {
            "training": training,
            "code": code,
            "hardware": dict(hardware),
            "snapshot": snapshot,
            "reference": reference,
            "samples": samples,
            "seed": seed,
            "version": version,
        }
    )


def scoring_identity(
    *,
    samples: str,
    protocol: Mapping[str, Any],
    code: Mapping[str, str],
    seed: int,
    version: int,
) -> str:
    """What names a set of scores: the samples, the scoring protocol, the code of its plugins."""
    return fingerprint(
        {
            "samples": samples,
            "protocol": dict(protocol),
            "code": dict(code),
            "seed": seed,
            "version": version,
        }
    )


def _fields(training: Training) -> dict[str, Any]:
    return {**vars(training), "options": dict(training.options)}
