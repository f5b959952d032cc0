"""Losses and gradient norms of every seed, a pair of charts for each model that was trained."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genbench import store
from genbench.analysis.diagnostics import TrainingGroup, training_groups
from genbench.analysis.entry_runs import EntryRuns, by_protocol
from genbench.api import REAL
from genbench.api.errors import DataError
from genbench.report.chart import Chart, slug
from genbench.report.curves import ChartLine, history_curves
from genbench.report.figures import LINE_STYLES, LegendEntry
from genbench.store.records import Record

QUANTITIES = {"loss": "loss", "gradient_norm": "gradient norm"}
NAMES = {"loss": "training loss", "gradient_norm": "gradient norm"}
"""Of their charts, before the name of the model."""
COLUMNS = ("examples", "player", *QUANTITIES)


@dataclass(frozen=True)
class ModelTrainings:
    """The trainings of one model: those whose losses may be compared."""

    model: str
    keys: Sequence[LegendEntry]
    """One for each ``entry · player``."""
    charts: Sequence[Chart]


def families(
    records: Sequence[Record], rows: Sequence[EntryRuns], colours: Mapping[str, int]
) -> tuple[list[ModelTrainings], list[str]]:
    """The charts of each model, and a line for each history that cannot be shown. ``colours``: by
    label, the index of an entry's colour and mark."""
    by_model: dict[str, list[TrainingGroup]] = {}
    for training in training_groups(rows):
        by_model.setdefault(training.model, []).append(training)
    statuses = _statuses(records)
    missing: list[str] = []
    made = [
        _family(model, trained, statuses, missing, colours) for model, trained in by_model.items()
    ]
    return [family for family in made if family.charts], missing


def _statuses(records: Sequence[Record]) -> dict[int, str]:
    """The status of each run, by the ``id`` of its record."""
    found: dict[int, str] = {}
    for _, members in by_protocol(records):
        real = next((record for record in members if record.entry == REAL), None)
        found |= {id(record): record.outcome(real=real).status for record in members}
    return found


def _family(
    model: str,
    trained: Sequence[TrainingGroup],
    statuses: Mapping[int, str],
    missing: list[str],
    colours: Mapping[str, int],
) -> ModelTrainings:
    keys: dict[str, LegendEntry] = {}
    styles: dict[str, str] = {}
    curves: dict[str, list[ChartLine]] = {quantity: [] for quantity in QUANTITIES}
    for training in trained:
        for record in training.records:
            try:
                frame = read_history(record)
            except DataError as error:
                missing.append(f"{training.label}, seed {record.seed}: {error}")
                continue
            for player, rows in frame.groupby("player", sort=False):
                label = f"{training.label} · {player}"
                next_style = list(LINE_STYLES)[len(styles) % len(LINE_STYLES)]
                style = styles.setdefault(str(player), next_style)
                key = keys.setdefault(label, LegendEntry(label, colours[training.label], style))
                examples = rows["examples"].to_numpy(dtype=np.float64)
                for quantity, drawn in curves.items():
                    values = rows[quantity].to_numpy(dtype=np.float64)
                    name = f"{label}, seed {record.seed}"
                    drawn.append(ChartLine(key, name, statuses[id(record)], examples, values))
    charts = [
        history_curves(
            curves[quantity],
            words,
            slug(f"{NAMES[quantity]} {model}"),
            f"{words} of {model} along training",
        )
        for quantity, words in QUANTITIES.items()
    ]
    return ModelTrainings(model, [*keys.values()], [chart for chart in charts if chart])


def read_history(record: Record) -> pd.DataFrame:
    """The history of a run. Raises ``DataError`` that says what is missing, ``store.Damaged``."""
    if "history" not in record.files:
        raise DataError("no history stored")
    path = Path(record.files["history"])
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    try:
        frame = pd.read_csv(io.BytesIO(artefact[0]))
        absent = [name for name in COLUMNS if name not in frame.columns]
        if absent:
            raise DataError(f"{path.name} has no column {absent[0]!r}")
        numbers = {name: pd.to_numeric(frame[name]) for name in ("examples", *QUANTITIES)}
    except ValueError as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    return frame.assign(**numbers)
