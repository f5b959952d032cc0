"""The types of what records hold in tables of their own, as they are checked when records are read.

A later genbench may add keys to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict  # typing's has no docstrings for pydantic before 3.12

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A number that can be computed with."""
ByName: TypeAlias = Mapping[str, float | None]

if TYPE_CHECKING:
    ProtocolFields: TypeAlias = Mapping[str, Any]
    ConditionFields: TypeAlias = Mapping[str, Any]
    StabilityFields: TypeAlias = Mapping[str, Any]
    SnapshotFields: TypeAlias = Mapping[str, Any]
else:
    OPEN = {"extra": "allow", "use_attribute_docstrings": True}

    class ProtocolFields(TypedDict, total=False):
        extractor: str
        resize: str
        reference: str
        reference_count: Whole | None
        train: str | None
        samples: Whole
        modality: str
        shape: list[Whole]
        levels: Whole | None
        rate: float
        metrics: Mapping[str, str | Whole]
        seed: Whole
        likelihood_samples: Whole
        prompts: str
        headline: str
        collapse_score: str
        collapse_below: float

    class Codec(TypedDict):
        id: str
        licence: str

    class Imported(TypedDict):
        system: str
        version: str
        date: str

    class ConditionFields(TypedDict, total=False):
        options: Mapping[str, Any]
        sample: Mapping[str, Any]
        obeys: list[str]
        examples: Whole
        snapshot: Whole
        weights: str
        device: str
        devices: Whole
        torch: str
        genbench: str
        platform: str
        codec: Codec
        imported: Imported
        pretrained: bool

    class StabilityFields(TypedDict, total=False):
        first_nonfinite_step: Whole | None
        loss_spikes: ByName
        gradient_tail: ByName
        last_over_best: ByName
        max_drawdown: ByName
        mean_along_training: ByName
        threshold: float
        examples_to_threshold: ByName

    class SnapshotFields(TypedDict):
        examples: Whole
        weights: str
        scores: ByName

    for fields in (
        ProtocolFields,
        ConditionFields,
        Codec,
        Imported,
        StabilityFields,
        SnapshotFields,
    ):
        fields.__pydantic_config__ = OPEN
