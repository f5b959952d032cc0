"""The content of a suite file. Every mistake is reported in one line that names the key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializationInfo,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from genbench import registry
from genbench.api.errors import UsageError
from genbench.io.prompts import Captions
from genbench.registry.texts import read_toml
from genbench.registry.validation import as_json, brief, explain, message, validated
from genbench.store.protocol import COLLAPSE_BELOW, COLLAPSE_SCORE, HEADLINE, Criteria
from genbench.suite.train import (
    STRICT,
    PositiveInt,
    Precision,
    Seed,
    Train,
    TrainOverride,
    as_tuple,
)


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"should be one or more different numbers, got {list(seeds)}")
    return seeds


def _alike(conditions: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    if conditions and not conditions[0]:
        raise ValueError("should be one or more tables such as { label = 3 }")
    for number, given in enumerate(conditions, start=1):
        if given.keys() != conditions[0].keys():
            raise ValueError(
                f"prompt {number} gives {sorted(given)}, the first {sorted(conditions[0])}"
            )
    return conditions


_NONE = {"none": True}
"""An option without a value, in a file: TOML has no word for it."""


def _read_none(value: Any) -> Any:
    if value == _NONE:
        return None
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_fit(key): _read_none(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_read_none(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return _fit(value)
    raise ValueError(f"{value!r} is neither a number, nor text, nor a list or a table of them")


def _fit(value: Any) -> Any:
    """As ``as_json`` says it of files."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a text holds the character NUL")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number has at most 64 bits")
    return value


def _write_none(value: Any, info: SerializationInfo) -> Any:
    if info.context != "toml":
        return value
    if isinstance(value, Mapping):
        return {key: _write_none(inner, info) for key, inner in value.items()}
    if isinstance(value, list):
        return [_write_none(inner, info) for inner in value]
    return _NONE if value is None else value


Options = Annotated[dict[str, Any], BeforeValidator(_read_none), PlainSerializer(_write_none)]
"""What a plugin or a sampler is given. ``None`` is ``{ none = true }`` in a file."""


def _model_name(model: object) -> object:
    return registry.models.name_of(model) if callable(model) else model


def _as_train(value: object, info: ValidationInfo) -> object:
    """In Python too a table may stand for a ``Train``, which strictly is a dataclass."""
    if info.mode == "json" or not isinstance(value, Mapping):
        return value
    try:
        return Train(**value)
    except ValidationError as error:
        raise ValueError(explain(Train, error)) from None


class _Section(BaseModel):
    # Defaults too: a suite that was written and read again gives the same identities.
    # An infinite option stays one, in a job's JSON too.
    model_config = {
        **STRICT,
        "frozen": True,
        "validate_default": True,
        "ser_json_inf_nan": "constants",
    }

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            kind = type(self)
            raise UsageError(f"{kind.__name__}: {explain(kind, error)}") from None

    # A section within another is validated without it, so that its keys keep their whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Snapshots(_Section):
    """Scores along training: at ``count`` equally spaced points, with ``samples`` each."""

    count: Annotated[int, Field(ge=1, le=100_000)] = 4
    samples: Annotated[int, Field(ge=2)] = 448
    metrics: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = (HEADLINE, COLLAPSE_SCORE)
    """By default the headline score and that of collapse."""
    threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """A value of the headline score. For every run, the number of examples until it is reached is
    recorded."""


class Likelihood(_Section):
    """Bits per dimension, of the models that offer them: of the reference's first ``samples``."""

    samples: PositiveInt = 256


class Collapse(_Section):
    """The criterion by which a run has collapsed."""

    score: str = COLLAPSE_SCORE
    """One of which higher is better."""
    below: Annotated[float, Field(gt=0, le=1)] = COLLAPSE_BELOW
    """A run has collapsed below this share of the real row's score."""


class Score(_Section):
    """The scoring protocol: one for all entries."""

    extractor: str
    extractor_options: Options = {}
    reference: str
    metrics: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    snapshots: Snapshots = Snapshots()
    likelihood: Likelihood | None = None
    """``None``: not computed."""
    seed: Seed = 0
    headline: str = HEADLINE
    """The score that runs are judged by: in curves, planes, rankings and stability."""
    collapse: Collapse = Collapse()

    @property
    def criteria(self) -> Criteria:
        """The criteria by which runs are judged."""
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


class Entry(_Section):
    """One entry: the model that is trained, and how it is sampled.

    In Python ``Entry("ddpm", options={"channels": 32})``, or with a function or class that builds
    the model in place of a name, which needs no registry: ``Entry(my_factory)``.
    """

    model: Annotated[str, BeforeValidator(_model_name)]
    options: Options = {}
    sample: Options = {}
    snapshot_sample: Options = {}
    """Cheap sampling options for the scores along training; the first entry of a training that
    gives some decides."""
    train: TrainOverride = {}
    """The options of ``[train]`` that it changes, and its budget ``examples``."""
    note: str = ""
    """What readers of its row should know, that it is out of its range for example: tables and
    leaderboards say it."""

    def __init__(self, model: str | Callable[..., Any], **others: Any) -> None:
        super().__init__(model=model, **others)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Prompts(_Section):
    """What generated samples are asked for, where a model obeys it: each of ``conditions`` or of
    the texts in ``file`` in order, or what the first ``count`` samples of ``dataset`` are
    conditioned on; ``each`` samples of one after the other."""

    conditions: Annotated[
        tuple[dict[str, Any], ...], BeforeValidator(as_tuple), AfterValidator(_alike)
    ] = ()
    """Name → value: a class, a text or its tokens, or a list of numbers."""
    dataset: str | None = None
    count: PositiveInt | None = None
    file: str | None = None
    """As ``genbench.io.prompts`` reads it. It is read when a suite is run, not before."""
    condition: str | None = None
    """What the texts of ``file`` are; ``None``: the only text among the conditions of the data."""
    captions: Captions | None = None
    """With a ``file`` of COCO: the first of each picture, or all; ``None``: the first."""
    each: PositiveInt = 1

    @model_validator(mode="after")
    def _of_one_source(self) -> Self:
        if [bool(self.conditions), self.dataset is not None, self.file is not None].count(
            True
        ) != 1:
            raise ValueError(
                "should have either conditions, one or more tables such as { label = 3 }, or a "
                "dataset, or a file"
            )
        if (self.dataset is None) != (self.count is None):
            raise ValueError("should have a count with a dataset, and only with one")
        if self.file is None and (self.condition, self.captions) != (None, None):
            raise ValueError("should have a condition, and captions, only with a file")
        return self

    @property
    def known(self) -> int | None:
        """How many prompts there are; ``None``: as many as the file holds."""
        return None if self.file is not None else self.count or len(self.conditions)


class Suite(_Section):
    """A suite, built in Python or read from a TOML file.

    Raises ``UsageError``, in one line that names the key.
    """

    name: str = ""
    """Names the suite in records; by default the file's name."""
    title: str = ""
    """Heads tables and pages; by default the name."""
    dataset: str
    seeds: Annotated[
        tuple[Seed, ...],
        BeforeValidator(as_tuple),
        AfterValidator(_different),
    ]
    examples: PositiveInt
    """The budget of every training, in examples seen; rounded up to whole batches. An entry that is
    to be trained as it was published may have its own."""
    samples: Annotated[int, Field(ge=2)]
    """Of every entry, the real row included."""
    score: Score
    prompts: Prompts | None = None
    """``None``: models are asked for what random training samples are conditioned on."""
    train: Annotated[Train, BeforeValidator(_as_train)] = Train()
    entries: Annotated[dict[str, Entry], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole_prompts(self) -> Suite:
        if self.prompts is not None and self.prompts.known is not None:
            wanted = self.prompts.known * self.prompts.each
            if self.samples != wanted:
                raise ValueError(f"samples is {self.samples}; the prompts ask for {wanted}")
        return self

    @classmethod
    def from_toml(cls, name: str | Path, overrides: Sequence[str] = ()) -> Suite:
        """The suite of that name, or in that TOML file, with ``KEY=VALUE`` overrides.

        A key is a dotted path (``train.batch``, ``entries.GAN.options.channels``), a value TOML or
        else plain text. Raises ``UsageError``.
        """
        source, content = read_toml(registry.suites, str(name))
        for override in overrides:
            set_key(content, override)
        suite = parse(source, content)
        return suite if suite.name else suite.model_copy(update={"name": Path(name).stem})

    def to_toml(self) -> str:
        """The whole suite as a TOML file that ``from_toml`` reads to an equal one.

        A model that was given as a function of a notebook cannot be named in a file: its entry
        says so in a comment, and the file cannot be run.
        """
        import tomli_w

        content = self.model_dump(mode="json", exclude_none=True, context="toml")
        names = [entry.model for entry in self.entries.values()]
        lost = [name for name in dict.fromkeys(names) if registry.models.is_of_script(name)]
        notes = [
            f"# cannot be rerun: {name} is a function of a notebook or script" for name in lost
        ]
        return "\n".join([*notes, tomli_w.dumps(content)])

    def with_seeds(self, seeds: Iterable[int]) -> Suite:
        """The same suite with other seeds."""
        return type(self)(**{**dict(self), "seeds": tuple(seeds)})

    def with_examples(self, examples: int) -> Suite:
        """The same suite with another budget for the entries that do not set one."""
        return type(self)(**{**dict(self), "examples": examples})

    def with_precision(self, precision: str) -> Suite:
        """The same suite with every entry trained and sampled in ``precision``."""
        entries = {}
        for name, entry in self.entries.items():
            others = {key: value for key, value in entry.train.items() if key != "precision"}
            entries[name] = entry.model_copy(update={"train": others})
        train = replace(self.train, precision=parse_precision(precision))
        return self.model_copy(update={"train": train, "entries": entries})

    def with_compile(self, compile: bool) -> Suite:
        """The same suite with another ``[train] compile``, for the entries that do not set it."""
        return self.model_copy(update={"train": replace(self.train, compile=compile)})


def parse(source: str, content: Mapping[str, Any]) -> Suite:
    """Validate a suite's content. Raises ``UsageError`` naming ``source`` and the key."""
    return validated(Suite, source, content)


def parse_precision(text: str) -> Precision:
    """The precision of that name. Raises ``UsageError`` for an unknown one."""
    try:
        valid: Precision = TypeAdapter(Precision).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"--precision: {message(error.errors()[0])}") from None
    return valid


def parse_value(text: str) -> Any:
    """A value on the command line: TOML, with ``{ none = true }`` for ``None``, or plain text.
    Raises ``UsageError`` for one that no option can be."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except RecursionError:
        raise UsageError(f"{brief(text)}: lists or tables are nested too deeply") from None
    except ValueError:
        value = text
    with suppress(ValueError, RecursionError):  # which as_json reports
        try:
            json.dumps(value)
        except TypeError:  # it holds a date, which no option is
            value = text
    as_json(brief(text), value)
    return _read_none(value)


def set_key(content: dict[str, Any], override: str) -> None:
    """Set what ``KEY=VALUE`` says in the content of a suite file. Raises ``UsageError``."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {brief(override)}: write KEY=VALUE, as in --set examples=20000")
    *path, last = key.split(".")
    section: Any = content
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {brief(override)}: {part!r} is not a section")
    section[last] = parse_value(text)
