"""Training curves from anywhere, as a CSV file → how stable each training was."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genbench.analysis.cells import MISSING
from genbench.analysis.document import Document, Section, text_table
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.store import read_regular
from genbench.training.stability import (
    inverse,
    last_over_best,
    max_drawdown,
    mean_along_training,
)

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 4 * 2**30
"""Bytes of a file."""
COLUMNS = ("run", "step", "metric", "value")
RATIOS = {
    "last_over_best": "last over best",
    "worst_after_best": "worst after the best, over it",
}


@dataclass(frozen=True)
class Curve:
    """One metric of one training, by step."""

    name: str
    """The run, with whatever further columns say of the series."""
    steps: tuple[float, ...]
    """Ascending, each once."""
    values: tuple[float, ...]
    repeated: int
    """Rows left out, since a later row has the same step."""


@dataclass(frozen=True)
class CurveSummary:
    """What became of a metric along one training; ``None`` where that is no finite number.

    Ratios are of worse over better, in [1, ∞), of values that are positive.
    """

    name: str
    points: int
    best: float | None
    best_step: float | None
    last: float | None
    last_over_best: float | None
    worst_after_best: float | None
    """The worst value after the best one, over the best."""
    max_drawdown: float | None
    """The largest relative worsening after a best so far: one less than a ratio."""
    mean: float | None
    """The area under the curve (trapezoids) over the range of its steps."""
    unbounded: bool
    """Whether some value is not finite: it fell without bound."""


def read_curves(path: Path, metric: str | None = None) -> tuple[str, list[Curve]]:
    """The curves of one metric in a CSV file with the columns ``run, step, metric, value``.

    Further columns are part of a series' name. Of rows repeated for one step the last counts.
    ``metric`` may be left out where there is one only. Returns its name and its curves, in the
    order of the file. Raises ``DataError`` for a file that is not so, ``UnknownName``, and
    ``UsageError`` where a metric must be named.
    """
    table = _table(path)
    metrics = list(dict.fromkeys(table["metric"]))
    if metric is None:
        if len(metrics) > 1:
            raise UsageError(f"{path} has the metrics {', '.join(metrics)}: name one with --metric")
        metric = metrics[0]
    if metric not in metrics:
        raise UnknownName("metric", metric, metrics)
    table = table[table["metric"] == metric]
    others = [column for column in table.columns if column not in COLUMNS]
    return metric, [
        _curve(key, rows) for key, rows in table.groupby(["run", *others], sort=False, dropna=False)
    ]


def summarize_curve(curve: Curve, higher_is_better: bool = False) -> CurveSummary:
    """The numbers of one curve. A score of which higher is better is judged by its inverse."""
    values = np.array(curve.values)
    distances = inverse(values) if higher_is_better else values
    best = best_step = worst = None
    if np.isfinite(values).any():
        sign = -1 if higher_is_better else 1
        index = int(np.where(np.isfinite(values), sign * values, np.inf).argmin())
        best, best_step = curve.values[index], curve.steps[index]
        if np.isfinite(values).all() and values.min() > 0:
            worst = float(distances[index:].max() / distances[index])
    positive = bool((values[np.isfinite(values)] > 0).all())
    return CurveSummary(
        name=curve.name,
        points=len(values),
        best=best,
        best_step=best_step,
        last=float(values[-1]) if np.isfinite(values[-1]) else None,
        last_over_best=last_over_best(distances) if positive else None,
        worst_after_best=worst,
        max_drawdown=max_drawdown(distances) if positive else None,
        mean=mean_along_training(curve.steps, curve.values),
        unbounded=not np.isfinite(values).all(),
    )


@dataclass(frozen=True)
class CurveStability:
    """What became of a metric along each of some trainings."""

    metric: str
    higher_is_better: bool
    limit: float
    runs: tuple[CurveSummary, ...]
    exceeding: Mapping[str, Sequence[str]]
    """By ``last_over_best`` and ``worst_after_best``: the runs in which it exceeds ``limit``."""
    repeated_rows: int
    """Rows left out, since a later one has the same step."""


def stability(
    path: str | Path,
    metric: str | None = None,
    *,
    higher_is_better: bool = False,
    limit: float = 1.2,
) -> CurveStability:
    """Judge the training curves in a CSV file with the columns run, step, metric and value.

    ``metric``: which, if the file holds several. Raises ``DataError`` for a file that is none,
    ``UsageError`` where it holds several metrics and none is named.
    """
    metric, curves = read_curves(Path(path), metric)
    runs = tuple(summarize_curve(curve, higher_is_better) for curve in curves)
    over = {name: exceeding(runs, name, limit) for name in RATIOS}
    repeated = sum(curve.repeated for curve in curves)
    return CurveStability(metric, higher_is_better, limit, runs, over, repeated)


def exceeding(summaries: Sequence[CurveSummary], field: str, limit: float) -> list[str]:
    """The names of the runs whose ``last_over_best``, or other ratio, exceeds ``limit``, or that
    fell without bound. A ratio of values that are not positive exceeds nothing."""
    return [
        each.name for each in summaries if each.unbounded or (getattr(each, field) or 0.0) > limit
    ]


def document(found: CurveStability) -> Document:
    """A row a run, and the runs beyond the limit."""
    rows = [
        [
            each.name,
            str(each.points),
            _said(each.best, ",.6g"),
            _said(each.best_step, ",.0f"),
            _said(each.last, ",.6g"),
            *(
                _said(ratio, ".2f")
                for ratio in (each.last_over_best, each.worst_after_best, each.max_drawdown)
            ),
        ]
        for each in found.runs
    ]
    headings = "run", "points", "best", "at step", "last", "last / best", "worst after", "drawdown"
    details = {
        f"{words} exceeds {found.limit:g} in {len(found.exceeding[field])} of {len(found.runs)}": (
            tuple(found.exceeding[field])
        )
        for field, words in RATIOS.items()
    }
    repeated = found.repeated_rows
    left_out = "1 row was" if repeated == 1 else f"{repeated} rows were"
    notes = (f"{left_out} left out: a later row has the same step.",) if repeated else ()
    table = text_table(headings, rows, "lrrrrrrr")
    return Document((Section(found.metric, (table,), (), notes, details),), asdict(found))


def _said(value: float | None, how: str) -> str:
    return MISSING if value is None else format(value, how)


def _curve(key: tuple[object, ...], rows: pd.DataFrame) -> Curve:
    kept = rows.drop_duplicates("step", keep="last").sort_values("step")
    return Curve(
        name=", ".join(str(part) for part in key),
        steps=tuple(kept["step"]),
        values=tuple(kept["value"]),
        repeated=len(rows) - len(kept),
    )


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        data = io.BytesIO(read_regular(path, LONGEST))
        table = pd.read_csv(data, dtype=str, keep_default_na=False, compression=None)
    except (OSError, UnicodeDecodeError, ValueError) as error:  # pandas' own are ValueErrors
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
    if not isinstance(table.index, pd.RangeIndex):  # how pandas reads fields without a heading
        raise DataError(f"cannot read {path}: its rows have more fields than its head")
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}: its columns are {', '.join(map(str, table))}"
        )
    if table.empty:
        raise DataError(f"{path} has no rows")
    for column in ("step", "value"):
        numbers = pd.to_numeric(table[column].str.strip(), errors="coerce")
        said_nan = table[column].str.strip().str.lower().isin(["nan", "+nan", "-nan"])
        # A value may be lost; a step is a number.
        wrong = numbers.isna() & ~said_nan if column == "value" else ~np.isfinite(numbers)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            said = table[column].iloc[row]
            raise DataError(f"{path}:{row + 2}: {column} {said!r} is not a number")
        table[column] = numbers.astype(float)
    return table
