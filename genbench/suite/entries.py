"""A suite → its entries, grouped by what they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic.dataclasses import dataclass as validated_dataclass

from genbench import registry
from genbench.api import CONTROL, REAL, RECONSTRUCTION, Variant
from genbench.api.errors import UnknownName, UsageError
from genbench.registry import PluginError
from genbench.store import fingerprint
from genbench.suite.file import Entry, Suite
from genbench.suite.train import STRICT, Train


@validated_dataclass(frozen=True, kw_only=True, config=STRICT)
class Training(Train):
    """One training, as a suite describes it. Entries with equal trainings share one."""

    model: str
    options: Mapping[str, Any]
    dataset: str
    examples: int
    snapshots: int
    """How many equally spaced snapshots are kept after number 0."""
    seed: int

    @property
    def steps(self) -> int:
        return -(-self.examples // self.batch)

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
    note: str = ""
    """What tables say of it."""
    fault: str | None = None
    """The error of the model's plugin, if it cannot be used. ``training`` then has the options as
    they were given."""


def trainings(suite: Suite, seeds: Sequence[int] | None = None) -> list[list[SeededEntry]]:
    """The entries, grouped by what they train: one inner list a training, all seeds of an entry
    side by side. Options are checked against the models; an entry whose model's plugin is at fault
    says so, in a group that has no other kind.

    Raises ``UsageError`` for an unknown model or augmentation, one that two packages claim, or a
    wrong option.
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
    for prefix, whose in ((RECONSTRUCTION, "codecs"), (CONTROL, "controls")):
        if name.startswith(prefix):
            raise UsageError(f"an entry cannot be named {name!r}: such rows are those of {whose}")
    fault = None
    try:
        trains, options, preset = _plugged(section)
    except PluginError as error:
        fault = str(error)
        trains, options, preset = section.model, section.options, {}
    training = Training(
        model=trains,
        options=options,
        dataset=suite.dataset,
        snapshots=suite.score.snapshots.count,
        seed=seed,
        **{"examples": suite.examples, **asdict(suite.train), **section.train},
    )
    for augmentation in training.augment:
        if augmentation not in (known := registry.augmentations.names()):
            raise UnknownName("augmentation", augmentation, known)
    return SeededEntry(
        name=name,
        model=section.model,
        training=training,
        sample=preset | section.sample,
        snapshot_sample=section.snapshot_sample,
        note=section.note,
        fault=fault,
    )


def _plugged(section: Entry) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Which model trains, its options, and the sampling options of a variant. Raises
    ``PluginError`` if the plugin is at fault, ``UsageError`` if the suite is."""
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


def _fields(training: Training) -> dict[str, Any]:
    return {**vars(training), "options": dict(training.options)}
