"""Files for the report: one sample for each thing that was asked for, and what holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench import modalities, store
from genbench.api import LENGTH, Batch, Categorical, SampleSpec, TensorSamples, Text
from genbench.devices.ranks import Ranks
from genbench.evaluation import Scorer
from genbench.evaluation.embedding import facts
from genbench.experiment.stage_table import ASKED

TEXTS = 12
"""Things asked for that are shown."""


def asked_for(
    ranks: Ranks, scorer: Scorer, folder: Path, scoring: str, samples: TensorSamples
) -> Path | None:
    """The file of the first of ``samples`` for each of the first ``TEXTS`` texts or classes that
    were asked for, made now or before; ``None`` if nothing was.

    The file holds ``samples`` ``(n, *shape)`` in the stored view; beside it stand what each was
    asked for, in words, and, from an extractor that says so, which of the facts stated hold.
    ``scoring`` names how ``samples`` are scored, and so themselves and the extractor.
    """
    rows = _first_rows(samples)
    if not rows:
        return None

    def compute() -> store.Contents:
        batch = samples.take(torch.tensor([*rows.values()]))
        about = {"asked": [*rows], "facts": facts(scorer.extractor, batch, samples.spec)}
        about |= modalities.description(samples.spec)
        return store.pack_tensors({"samples": batch.data}), about

    return ASKED.once(ranks, folder, {"scoring": scoring, "count": TEXTS}, compute).path


def in_words(spec: SampleSpec, batch: Batch) -> list[str]:
    """What each sample of a batch was asked for; nothing where that was no text and no class."""
    names, asked = _asked(spec, batch)
    return [_said(names, values) for values in asked] if names else []


def _first_rows(samples: TensorSamples) -> dict[str, int]:
    """What was asked for, in words → the first sample of which it was. Texts stand in their order,
    classes without a text in that of their numbers."""
    batch = Batch(samples.data, samples.condition, samples.texts)
    names, asked = _asked(samples.spec, batch)
    rows: dict[tuple[Any, ...], int] = {}
    for row, values in enumerate(asked):
        rows.setdefault(values, row)
    if not any(isinstance(samples.spec.condition[name], Text) for name in names):
        rows = {values: rows[values] for values in sorted(rows)}
    return {_said(names, values): row for values, row in [*rows.items()][:TEXTS]}


def _asked(spec: SampleSpec, batch: Batch) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the texts and classes of a batch, and their values for each sample."""
    declared = spec.condition
    names = [
        name
        for name in batch.condition
        if isinstance(declared.get(name), (Text, Categorical)) and name != LENGTH
    ]
    columns = [batch.texts.get(name) or _values(batch.condition[name]) for name in names]
    return names, [*zip(*columns, strict=True)]


def _values(condition: Tensor) -> list[Any]:
    """Classes ``(n,)``; of tokens ``(n, T)``, their numbers in a line."""
    if condition.ndim == 1:
        return condition.tolist()
    return [" ".join(str(token) for token in row if token) for row in condition.tolist()]


def _said(names: Sequence[str], values: Sequence[Any]) -> str:
    said = (
        value if isinstance(value, str) else f"{name} {value}"
        for name, value in zip(names, values, strict=True)
    )
    return ", ".join(said)
