"""The options of ``[train]``: this is the only list of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12


def _not_16_mixed(precision: object) -> object:
    if precision == "16-mixed":
        raise ValueError(
            "16-mixed is refused: its loss scaler overflows by design, which would count as "
            "divergence; use bf16-mixed"
        )
    return precision


def as_tuple(value: object) -> object:
    """Python's lists and ranges stand for tuples, as TOML's arrays do."""
    return tuple(value) if isinstance(value, (list, range)) else value


Precision = Annotated[Literal["32-true", "bf16-mixed"], BeforeValidator(_not_16_mixed)]
LARGEST = 2**63 - 1
"""Of a whole number: what 64 bits hold."""
PositiveInt = Annotated[int, Field(ge=1, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, le=LARGEST)]
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Train:
    """How every model trains.

    Everything else that lists these options derives the list from here: what an entry may override,
    ``Training``, the loop's ``TrainingConfig``, the conditions of a record, the suite that
    reproduces a row, the notes beneath a table (where an option is named by its title), and the
    help.
    """

    batch: Annotated[PositiveInt, Field(title="batch")] = 64
    """Examples a step, over all devices."""
    accumulate: Annotated[PositiveInt, Field(title="micro-batches a step")] = 1
    """The number of equal micro-batches in which a step's batch is processed, one after the other,
    to save memory.

    For each step of a player, the gradients of the micro-batches are averaged; then its optimiser
    steps once. For losses that are means over examples this is the step of the whole batch. It is
    not where the examples of a batch see each other: batch normalisation (``dcgan``, and the
    generators of ``wgan-gp`` and ``sngan``), a minibatch's standard deviation (``stylegan2-ada``);
    these see their micro-batch. What ``losses`` itself counts or averages (the probability of
    ``stylegan2-ada``'s augmentation, its mean path length) is brought up to date once a
    micro-batch. Where turns share a forward pass, as in ``gan``, every micro-batch keeps that
    part's graph until its last turn.
    """
    ema_halflife: Annotated[
        float, Field(gt=0, allow_inf_nan=False, title="EMA half-life in examples")
    ] = 22_000
    """In examples."""
    augment: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(title="augmentation")] = ()
    """Names of registered augmentations, which every batch goes through in this order."""
    dequantize: Annotated[bool, Field(title="levels spread over their cells in training")] = False
    """Whether each whole level becomes a random point of its cell, as a likelihood of levels wants
    it."""
    precision: Annotated[Precision, Field(title="precision")] = "32-true"
    threads: Annotated[int, Field(ge=1, le=4096, title="threads")] = 1
    """CPU threads of a run's process."""
    compile: Annotated[bool, Field(title="compiled networks")] = False
    """Whether ``torch.compile`` compiles the networks, in training and in sampling."""

    def train_options(self) -> dict[str, Any]:
        """Name → value of these options alone, of a subclass too."""
        return {name: getattr(self, name) for name in OPTIONS}

    def named(self) -> dict[str, Any]:
        """All fields, of a subclass too, as identities and records name them: without an option of
        ``ADDED`` that has its value there."""
        fields = asdict(self)
        return {
            name: value
            for name, value in fields.items()
            if name not in ADDED or value != ADDED[name]
        }


OPTIONS: Mapping[str, str] = {
    name: field.title for name, field in vars(Train)["__pydantic_fields__"].items()
}
"""The name of every option → the words for it in a note."""

ADDED: Mapping[str, Any] = {"compile": False}
"""Options that came after records were published → how trainings were before. Such a training is
named as it was then."""

if TYPE_CHECKING:
    TrainOverride: TypeAlias = Mapping[str, Any]
else:
    TrainOverride = TypedDict(
        "TrainOverride",
        {"examples": PositiveInt, **get_type_hints(Train, include_extras=True)},
        total=False,
    )
    TrainOverride.__pydantic_config__ = STRICT

OVERRIDES = ("examples", *OPTIONS)
"""What one entry may change: the budget, and the options of ``[train]``. A ``TrainOverride`` holds
those that it does change."""
