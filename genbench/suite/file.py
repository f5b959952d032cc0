"""What a suite file may hold; every mistake in it is told in one line that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from genbench.api.errors import UsageError
from genbench.registry.validation import message, validated
from genbench.store.protocol import COLLAPSE_BELOW, COLLAPSE_SCORE, HEADLINE, Criteria


def _not_16_mixed(precision: object) -> object:
    if precision == "16-mixed":
        raise ValueError(
            "16-mixed is refused: its loss scaler overflows by design, which would count as "
            "divergence; use bf16-mixed"
        )
    return precision


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"should be one or more different numbers, got {list(seeds)}")
    return seeds


Precision = Annotated[Literal["32-true", "bf16-mixed"], BeforeValidator(_not_16_mixed)]
PositiveInt = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Snapshots(_Section):
    """Scores along training: at ``count`` equally spaced points, with ``samples`` each."""

    count: PositiveInt = 4
    samples: Annotated[int, Field(ge=2)] = 448
    metrics: tuple[str, ...] = (HEADLINE, COLLAPSE_SCORE)
    """By default the headline score and that of collapse."""
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Of the headline score: how many examples it takes to reach it is told of every run."""


class Likelihood(_Section):
    """Bits per dimension, of the models that offer them: of the reference's first ``samples``."""

    samples: PositiveInt = 256


class Collapse(_Section):
    """When a run has lost most of the data."""

    score: str = COLLAPSE_SCORE
    """One of which higher is better."""
    below: Annotated[float, Field(gt=0, le=1)] = COLLAPSE_BELOW
    """Of the real row's score: the share below which a run has collapsed."""


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
    headline: str = HEADLINE
    """The score that runs are judged by: in curves, planes, rankings and stability."""
    collapse: Collapse = Collapse()

    @property
    def criteria(self) -> Criteria:
        """What runs are judged by."""
        return Criteria(self.headline, self.collapse.score, self.collapse.below)

    @model_validator(mode="after")
    def _judged(self) -> Self:
        """What is not usual was meant, and must be there; along training, what runs are judged by
        is scored unless other metrics are given."""
        for key, name in (("headline", self.headline), ("collapse.score", self.collapse.score)):
            if name not in (HEADLINE, COLLAPSE_SCORE, *self.metrics):
                raise ValueError(f"{key} is {name!r}, which is not among metrics")
        if "metrics" not in self.snapshots.model_fields_set:
            judged = {"metrics": (self.headline, self.collapse.score)}
            object.__setattr__(self, "snapshots", self.snapshots.model_copy(update=judged))
        return self


class Train(_Section):
    """How every model trains."""

    batch: PositiveInt = 64
    ema_halflife: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 22_000
    """In examples."""
    augment: Literal["none", "flip"] = "none"
    dequantize: bool = False
    """Spread each whole level over its cell, as a likelihood of levels wants it."""
    precision: Precision = "32-true"
    threads: PositiveInt = 1
    """CPU threads of a run's process."""


class TrainOverride(_Section):
    """What one entry changes of ``[train]``, and of the budget."""

    examples: PositiveInt | None = None
    batch: PositiveInt | None = None
    ema_halflife: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    augment: Literal["none", "flip"] | None = None
    dequantize: bool | None = None
    precision: Precision | None = None
    threads: PositiveInt | None = None


class Entry(_Section):
    """One contestant: what trains, and how it is sampled."""

    model: str
    options: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    snapshot_sample: dict[str, Any] = {}
    """Cheap sampling options for the scores along training; the first entry of a training that
    gives some decides."""
    train: TrainOverride = TrainOverride()


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
    entries = {
        name: entry.model_copy(update={"train": entry.train.model_copy(update={"precision": None})})
        for name, entry in suite.entries.items()
    }
    train = suite.train.model_copy(update={"precision": precision})
    return suite.model_copy(update={"train": train, "entries": entries})
