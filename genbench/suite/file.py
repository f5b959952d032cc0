"""What a suite file may hold; every mistake in it is told in one line that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
)

from genbench.api.errors import UsageError
from genbench.registry.validation import message, validated
from genbench.suite.train import STRICT, PositiveInt, Precision, Train, TrainOverride


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"should be one or more different numbers, got {list(seeds)}")
    return seeds


class _Section(BaseModel):
    model_config = {**STRICT, "frozen": True}


class Snapshots(_Section):
    """Scores along training: at ``count`` equally spaced points, with ``samples`` each."""

    count: PositiveInt = 4
    samples: Annotated[int, Field(ge=2)] = 448
    metrics: tuple[str, ...] = ("frechet_distance", "coverage")
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """A Fréchet distance: how many examples it takes to come so near is told of every run."""


class Likelihood(_Section):
    """Bits per dimension, of the models that offer them: of the reference's first ``samples``."""

    samples: PositiveInt = 256


class Score(_Section):
    """The scoring protocol: one for all entries."""

    extractor: str
    extractor_options: dict[str, Any] = {}
    reference: str
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    snapshots: Snapshots = Snapshots()
    likelihood: Likelihood | None = None
    """``None``: not asked for."""
    seed: Annotated[int, Field(ge=0)] = 0


class Entry(_Section):
    """One contestant: what trains, and how it is sampled."""

    model: str
    options: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    snapshot_sample: dict[str, Any] = {}
    """Cheap sampling options for the scores along training; the first entry of a training that
    gives some decides."""
    train: TrainOverride = {}
    """What it changes of ``[train]``, and of the budget: ``examples``."""


class Suite(_Section):
    """A whole suite, as its TOML file has it."""

    title: str
    dataset: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_different)]
    examples: PositiveInt
    """The budget of every training, in examples seen; rounded up to whole batches. An entry that is
    to be trained as it was published may have its own."""
    samples: Annotated[int, Field(ge=2)]
    """Of every entry, the real row included."""
    score: Score
    train: Train = Train()
    entries: Annotated[dict[str, Entry], Field(min_length=1)]


def parse(source: str, content: Mapping[str, Any]) -> Suite:
    """Validate a suite's content. Raises ``UsageError`` naming ``source`` and the key."""
    return validated(Suite, source, content)


def precision(text: str) -> Precision:
    """The precision that a command line names. Raises ``UsageError``."""
    try:
        valid: Precision = TypeAdapter(Precision).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"--precision: {message(error.errors()[0])}") from None
    return valid


def with_precision(suite: Suite, precision: Precision) -> Suite:
    """The same suite with every entry trained and sampled in ``precision``."""
    entries = {}
    for name, entry in suite.entries.items():
        others = {key: value for key, value in entry.train.items() if key != "precision"}
        entries[name] = entry.model_copy(update={"train": others})
    train = replace(suite.train, precision=precision)
    return suite.model_copy(update={"train": train, "entries": entries})
