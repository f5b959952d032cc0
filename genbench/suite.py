"""A suite file → validated entries; and the identities of what each stage makes.

A suite says what is compared: one data set, one scoring protocol, one budget, several seeds, and
the entries. Every mistake in it is told in one line that names the key and the nearest right one.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genbench import registry
from genbench.errors import DataError, UnknownName, UsageError, did_you_mean
from genbench.storage import fingerprint
from genbench.types import REAL, Variant

Precision = Literal["32-true", "bf16-mixed"]
"""``16-mixed`` is refused: its loss scaler overflows by design, which here means divergence."""
PositiveInt = Annotated[int, Field(ge=1)]


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError("should be one or more different numbers")
    return seeds


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Snapshots(_Section):
    """Scores along training: at ``count`` equally spaced points, with ``samples`` each."""

    count: PositiveInt = 4
    samples: Annotated[int, Field(ge=2)] = 448
    metrics: tuple[str, ...] = ("frechet_distance", "coverage")


class Score(_Section):
    """The scoring protocol: one for all entries."""

    extractor: str
    extractor_options: dict[str, Any] = {}
    reference: str
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    snapshots: Snapshots = Snapshots()
    seed: Annotated[int, Field(ge=0)] = 0


class Train(_Section):
    """How every model trains."""

    batch: PositiveInt = 64
    ema_halflife: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 22_000
    """In images."""
    augment: Literal["none", "flip"] = "none"
    precision: Precision = "32-true"
    threads: PositiveInt = 1
    """CPU threads of a run's process."""


class TrainOverride(_Section):
    """What one entry changes of ``[train]``."""

    batch: PositiveInt | None = None
    ema_halflife: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    augment: Literal["none", "flip"] | None = None
    precision: Precision | None = None
    threads: PositiveInt | None = None


class EntrySection(_Section):
    """One contestant: what trains, and how it is sampled."""

    model: str
    options: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    snapshot_sample: dict[str, Any] = {}
    """Cheap sampling options for the scores along training; the first entry of a training that
    gives some decides."""
    train: TrainOverride = TrainOverride()


class SuiteFile(_Section):
    """A whole suite, as its TOML file has it."""

    title: str
    dataset: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_different)]
    images: PositiveInt
    """The budget of every training, in images seen; rounded up to whole batches."""
    samples: Annotated[int, Field(ge=2)]
    """Of every entry, the real row included."""
    score: Score
    train: Train = Train()
    entries: Annotated[dict[str, EntrySection], Field(min_length=1)]


@dataclass(frozen=True)
class Training:
    """What one training is, as far as a suite decides it. Entries with equal ones train once."""

    model: str
    options: Mapping[str, Any]
    dataset: str
    images: int
    batch: int
    ema_halflife: float
    augment: str
    precision: Precision
    threads: int
    snapshots: int
    """How many equally spaced snapshots are kept after number 0."""
    seed: int

    @property
    def steps(self) -> int:
        return math.ceil(self.images / self.batch)

    @property
    def label(self) -> str:
        return f"{self.model} seed {self.seed}"


@dataclass(frozen=True)
class Entry:
    """One model, trained and sampled one way, with one seed."""

    name: str
    model: str
    """As the suite names it; ``training.model`` is what trains."""
    training: Training
    sample: Mapping[str, Any]
    snapshot_sample: Mapping[str, Any]


def load(name: str, overrides: Sequence[str] = ()) -> SuiteFile:
    """The suite of that name, or in that TOML file, with ``KEY=VALUE`` overrides.

    A key is a dotted path (``train.batch``, ``entries.GAN.options.channels``), a value TOML or else
    plain text. Raises ``UsageError``.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        source = name
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the suite {name}: {error}") from error
    else:
        source = f"suite {name!r}"
        text = _built_in(name)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not TOML: {error}") from error
    for override in overrides:
        _override(content, override)
    return parse(source, content)


def names() -> dict[str, str]:
    """Every suite that a package offers → its title."""
    return {
        name: str(tomllib.loads(file.read_text(encoding="utf-8")).get("title", ""))
        for name, file in _files().items()
    }


def parse(source: str, content: Mapping[str, Any]) -> SuiteFile:
    """Validate a suite's content. Raises ``UsageError`` naming ``source`` and the key."""
    try:
        # JSON mode: an array may stand for a tuple, everything else is strict.
        return SuiteFile.model_validate_json(_to_json(source, content))
    except ValidationError as error:
        raise UsageError(f"{source}: {_explain(error)}") from None


def trainings(suite: SuiteFile, seeds: Sequence[int] | None = None) -> list[list[Entry]]:
    """The entries, grouped by what they train: one inner list a training, all seeds of an entry
    side by side. Options are as given; ``resolve`` checks them against the models."""
    groups: dict[str, list[Entry]] = {}
    for name, section in suite.entries.items():
        for seed in seeds if seeds is not None else suite.seeds:
            entry = _entry(suite, name, section, seed)
            groups.setdefault(fingerprint(_fields(entry.training)), []).append(entry)
    return list(groups.values())


def _entry(suite: SuiteFile, name: str, section: EntrySection, seed: int) -> Entry:
    if name == REAL:
        raise UsageError(f"an entry cannot be named {name!r}: that row is the floor")
    value = registry.models.get(section.model)
    variant = value if isinstance(value, Variant) else None
    trains = variant.trains if variant else section.model
    factory = registry.models.get(trains)
    defaults = suite.train.model_dump()
    chosen = {k: v for k, v in section.train.model_dump().items() if v is not None}
    training = Training(
        model=trains,
        options=registry.check_options(f"model {section.model!r}", factory, section.options),
        dataset=suite.dataset,
        images=suite.images,
        snapshots=suite.score.snapshots.count,
        seed=seed,
        **(defaults | chosen),
    )
    preset = dict(variant.sample) if variant else {}
    return Entry(
        name=name,
        model=section.model,
        training=training,
        sample=preset | section.sample,
        snapshot_sample=section.snapshot_sample,
    )


def training_identity(
    training: Training, *, dataset: str, code: str, host: Mapping[str, Any]
) -> str:
    """What names a training: its fields, the data set's id, the hash of the plugin's code, and the
    host's share (torch version, device kind, world size, strategy, loop version)."""
    fields = _fields(training) | {"data": dataset, "code": code, "host": dict(host)}
    return fingerprint(fields)


def sampling_identity(
    *,
    training: str,
    code: str,
    host: Mapping[str, Any],
    images: int,
    weights: str,
    options: Mapping[str, Any],
    seed: int,
    count: int,
    version: int,
) -> str:
    """What names a set of generated samples: the weights, the code and the host that sample them,
    the sampling options, seed and count."""
    return fingerprint(
        {
            "training": training,
            "code": code,
            "host": dict(host),
            "images": images,
            "weights": weights,
            "options": dict(options),
            "seed": seed,
            "count": count,
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


def _built_in(name: str) -> str:
    files_by_name = _files()
    if name not in files_by_name:
        raise UnknownName("suite", name, files_by_name)
    return files_by_name[name].read_text(encoding="utf-8")


def _files() -> dict[str, Traversable]:
    """The suite files of every package that offers some."""
    found: dict[str, Traversable] = {}
    for package in registry.suites.names():
        for file in files(registry.suites.point(package).value).iterdir():
            if file.name.endswith(".toml"):
                found[file.name.removesuffix(".toml")] = file
    return dict(sorted(found.items()))


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {override}: write KEY=VALUE, as in --set images=20000")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.split(".")
    section: Any = content
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override}: {part!r} is not a section")
    section[last] = value


def _to_json(source: str, content: Mapping[str, Any]) -> str:
    import json

    try:
        return json.dumps(content)
    except TypeError as error:
        raise UsageError(f"{source}: dates and times have no meaning here ({error})") from None


def _explain(error: ValidationError) -> str:
    # A misspelt key is also a missing one: the misspelling is what helps.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *path, last = first["loc"]
        return f"unknown key {key!r}{did_you_mean(str(last), _keys(path))}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    message = first["msg"]
    return f"{key}: {message[0].lower()}{message[1:]}, got {first['input']!r}"


def _keys(path: Sequence[int | str]) -> list[str]:
    """The keys that a section at ``path`` may have."""
    section: type[BaseModel] = SuiteFile
    for part in path:
        if section is SuiteFile and part == "entries":
            section = EntrySection
        elif part in section.model_fields:
            annotation = section.model_fields[str(part)].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                section = annotation
    return list(section.model_fields)
