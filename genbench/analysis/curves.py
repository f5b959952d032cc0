"""Training curves from anywhere, as a CSV file → how stable each training was."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.analysis.cells import MISSING
from genbench.analysis.document import Document, Section, text_table
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.store import read_regular

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 4 * 2**30
"""Bytes of a file."""
COLUMNS = ("run", "step", "metric", "value")
RATIOS = {
    "last_over_best": "last over best",
    "worst_after_best": "worst after the best, over it",
}
_NAN = [sign + word for sign in ("", "+", "-") for word in ("nan", "NaN", "NAN", "Nan")]
_KINDS = defaultdict(lambda: "category", step="float64", value="float64")
"""Of columns: text that repeats is held once."""
_Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """One metric of some trainings, by step: all points in one row, curve after curve."""

    names: tuple[str, ...]
    """The runs, with whatever further columns say of the series."""
    starts: NDArray[np.int64]
    """``(curves,)``: where each begins."""
    steps: _Numbers
    """``(points,)``: of each curve ascending, each once."""
    values: _Numbers
    """``(points,)``."""
    repeated: int
    """Rows left out, since a later row has the same step."""


@dataclass(frozen=True)
class CurveSummary:
    """A summary of a metric along one training; ``None`` where that is no finite number.

    Ratios are of worse over better, in [1, ∞). Where the curve has values of 0 or below they mean
    nothing, and the difference over the range of its values stands for them: 1 + difference/range,
    in [1, 2].
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
    """Whether some value is not finite: it grew without bound."""
    by_range: bool
    """Whether some value is 0 or below, so that differences over the range stand for ratios."""


def read_curves(path: Path, metric: str | None = None) -> tuple[str, Curves]:
    """The curves of one metric in a CSV file with the columns ``run, step, metric, value``.

    Further columns are part of a series' name. Of rows repeated for one step the last counts.
    ``metric`` may be left out where there is one only. Returns its name and its curves, in the
    order of the file. Raises ``DataError`` for any other file, ``UnknownName``, and
    ``UsageError`` where a metric must be named.
    """
    table = _table(path)
    metrics = list(dict.fromkeys(table["metric"].unique()))
    if metric is None:
        if len(metrics) > 1:
            raise UsageError(f"{path} has the metrics {', '.join(metrics)}: name one with --metric")
        metric = metrics[0]
    if metric not in metrics:
        raise UnknownName("metric", metric, metrics)
    table = table[(table["metric"] == metric).to_numpy()]
    keys = ["run", *(column for column in table.columns if column not in COLUMNS)]
    groups = table.groupby(keys, sort=False, observed=True, dropna=False)
    curve = groups.ngroup().to_numpy()
    steps, values = table["step"].to_numpy(), table["value"].to_numpy()
    order = np.lexsort((steps, curve))  # rows of one step stay in the order of the file
    curve, steps, values = curve[order], steps[order], values[order]
    kept = np.append((curve[1:] != curve[:-1]) | (steps[1:] != steps[:-1]), True)
    starts = np.flatnonzero(np.diff(curve[kept], prepend=-1))
    first = groups.head(1)[keys].astype(str)
    names = tuple(first.agg(", ".join, axis=1)) if len(keys) > 1 else tuple(first["run"])
    return metric, Curves(names, starts, steps[kept], values[kept], int((~kept).sum()))


def summarize_curves(curves: Curves, higher_is_better: bool = False) -> tuple[CurveSummary, ...]:
    """The numbers of each curve."""
    import pandas as pd

    starts, steps, values = curves.starts, curves.steps, curves.values
    counts = np.diff(starts, append=len(values))
    ends, curve = starts + counts - 1, np.repeat(np.arange(len(starts)), counts)
    finite = np.isfinite(values)
    whole = np.logical_and.reduceat(finite, starts)
    loss = -values if higher_is_better else values  # of which lower is better

    def least(of: _Numbers) -> _Numbers:
        return np.asarray(np.minimum.reduceat(of, starts), np.float64)

    def largest(of: _Numbers) -> _Numbers:
        return np.asarray(np.maximum.reduceat(of, starts), np.float64)

    best = least(np.where(finite, loss, np.inf))
    position = np.arange(len(values))
    at_best = np.minimum.reduceat(
        np.where(finite & (loss == best[curve]), position, len(values) - 1), starts
    )
    worst = largest(np.where(position >= at_best[curve], loss, -np.inf))
    best_so_far = np.asarray(pd.Series(loss).groupby(curve).cummin(), np.float64)
    by_range = least(np.where(finite, values, np.inf)) <= 0
    span = largest(np.where(finite, loss, -np.inf)) - best
    span = np.where(span > 0, span, 1.0)  # a constant curve never falls

    def ratio(worse: _Numbers, better: _Numbers, index: NDArray[np.int64]) -> _Numbers:
        plain = better / worse if higher_is_better else worse / better
        return np.where(by_range[index], 1 + (worse - better) / span[index], plain)

    with np.errstate(all="ignore"):  # of what is not finite, and shown as None
        each = np.arange(len(starts))
        last_over_best = ratio(loss[ends], best, each)
        worst_after_best = np.where(whole, ratio(worst, best, each), np.nan)
        drawdown = np.where(whole, largest(ratio(loss, best_so_far, curve)) - 1, np.nan)
        areas = np.zeros(len(values))
        areas[:-1] = (values[1:] + values[:-1]) / 2 * np.diff(steps)
        areas[ends] = 0
        mean = np.add.reduceat(areas, starts) / (steps[ends] - steps[starts])
    found = np.isfinite(best)
    columns = {
        "best": np.where(found, values[at_best], np.nan),
        "best_step": np.where(found, steps[at_best], np.nan),
        "last": values[ends],
        "last_over_best": last_over_best,
        "worst_after_best": worst_after_best,
        "max_drawdown": drawdown,
        "mean": np.where(whole, mean, np.nan),
    }
    known = {key: _known(column) for key, column in columns.items()}
    return tuple(
        CurveSummary(
            name=name,
            points=int(counts[i]),
            unbounded=not whole[i],
            by_range=bool(by_range[i]),
            **{key: numbers[i] for key, numbers in known.items()},
        )
        for i, name in enumerate(curves.names)
    )


def _known(numbers: _Numbers) -> list[float | None]:
    finite = np.isfinite(numbers).tolist()
    return [value if known else None for value, known in zip(numbers.tolist(), finite, strict=True)]


@dataclass(frozen=True)
class CurveStability:
    """A summary of a metric for each training."""

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
    runs = summarize_curves(curves, higher_is_better)
    over = {name: exceeding(runs, name, limit) for name in RATIOS}
    return CurveStability(metric, higher_is_better, limit, runs, over, curves.repeated)


def exceeding(summaries: Sequence[CurveSummary], field: str, limit: float) -> list[str]:
    """The names of the runs whose ``last_over_best``, or other ratio, exceeds ``limit``, or that
    fell without bound."""
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
    notes = [f"{left_out} left out: a later row has the same step."] if repeated else []
    ranged = tuple(each.name for each in found.runs if each.by_range)
    if ranged:
        details[
            f"has values of 0 or below, of which no ratio is taken, in {len(ranged)} of "
            f"{len(found.runs)}"
        ] = ranged
        notes.append(
            "Where a curve has values of 0 or below, 1 + the difference over the range of its "
            "values stands for a ratio, and the difference over the range for the drawdown."
        )
    table = text_table(headings, rows, "lrrrrrrr", hidden=("points", "at step"))
    data = {**vars(found), "runs": [dict(vars(each)) for each in found.runs]}
    return Document((Section(found.metric, (table,), (), tuple(notes), details),), data)


def _said(value: float | None, how: str) -> str:
    return MISSING if value is None else format(value, how)


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        try:
            table = _read(path, dtype=_KINDS, na_values={"value": _NAN})
        except ValueError:  # a field is no number: read all as it is written, to name that one
            table = _read(path, dtype=str)
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
    if table["step"].dtype != np.float64:
        return _numbers(path, table)
    return table if np.isfinite(table["step"]).all() else _numbers(path, _read(path, dtype=str))


def _read(path: Path, **how: Any) -> pd.DataFrame:
    import pandas as pd

    data = io.BytesIO(read_regular(path, LONGEST))
    table: pd.DataFrame = pd.read_csv(data, keep_default_na=False, compression=None, **how)
    return table


def _numbers(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Steps and values, which are text, as numbers."""
    import pandas as pd

    for column in ("step", "value"):
        said = table[column].str.strip()
        numbers = pd.to_numeric(said, errors="coerce")
        # A value may be lost; a step is a number.
        lost = numbers.isna() & ~said.isin(_NAN)
        wrong = lost if column == "value" else ~np.isfinite(numbers)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise DataError(
                f"{path}:{row + 2}: {column} {table[column].iloc[row]!r} is not a number"
            )
        table[column] = numbers.astype(float)
    return table
