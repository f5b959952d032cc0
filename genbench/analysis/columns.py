"""Which columns a comparison has: every name, heading, group and number format, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genbench.store.records import Record

FIDELITY = "fidelity"
DIVERSITY = "diversity"
MEMORIZATION = "memorization"
OTHER = "other scores"
STABILITY = "stability"
COST = "cost"
DIAGNOSTICS = "diagnostics"
GROUPS = (FIDELITY, DIVERSITY, MEMORIZATION, OTHER, STABILITY, COST)

# The columns over seeds: they are no mean of anything that one run has.
DIVERGED = "diverged"
COLLAPSED = "collapsed"
IQR = "iqr"
CVAR = "cvar"
OVER_SEEDS = (DIVERGED, COLLAPSED, IQR, CVAR)

DISTANCE = "frechet_distance"
COVERAGE = "coverage"


@dataclass(frozen=True)
class Column:
    """One column of a table and where its numbers lie in a record."""

    key: str
    heading: str
    group: str
    path: tuple[str, ...] = ()
    """The keys that lead to the number in a record."""
    better: bool | None = None
    """Whether higher is better; ``None`` where the column is no contest."""
    decimals: int | None = None
    """``None``: as many as give the column's median three significant digits."""
    unit: str | None = None
    """``"count"`` (with k, M, G, …) or ``"s"``; ``None``: a plain number."""
    unconditional: bool = False
    """Meant whichever way a run ended, and over the runs where it was measured, as the number of
    parameters is."""

    @property
    def arrow(self) -> str:
        """``↑`` where higher is better, ``↓`` where lower is."""
        return {True: "↑", False: "↓", None: ""}[self.better]

    def read(self, record: Record) -> float | None:
        """The record's number, where it has one."""
        value: Any = record
        for depth, key in enumerate(self.path):
            value = getattr(value, key) if depth == 0 else value.get(key)
            if value is None:
                return None
        return float(value)


@dataclass(frozen=True)
class _Score:
    heading: str
    group: str
    decimals: int | None = None


_SCORES = {
    DISTANCE: _Score("Fréchet distance", FIDELITY),
    "frechet_distance_infinity": _Score("Fréchet distance, N → ∞", FIDELITY),
    "spatial_frechet_distance": _Score("spatial Fréchet distance", FIDELITY),
    "frechet_distance_per_class": _Score("Fréchet distance, per class", FIDELITY),
    "kernel_distance": _Score("kernel distance", FIDELITY),
    "gaussian_kernel_distance": _Score("Gaussian kernel distance", FIDELITY),
    "energy_distance": _Score("energy distance", FIDELITY),
    "sliced_wasserstein": _Score("sliced Wasserstein", FIDELITY),
    "inception_score": _Score("inception score", FIDELITY, decimals=2),
    "precision": _Score("precision", FIDELITY, decimals=3),
    "density": _Score("density", FIDELITY, decimals=3),
    "high_quality": _Score("high quality", FIDELITY, decimals=3),
    "class_accuracy": _Score("class accuracy", FIDELITY, decimals=3),
    "recall": _Score("recall", DIVERSITY, decimals=3),
    COVERAGE: _Score("coverage", DIVERSITY, decimals=3),
    "vendi_score": _Score("Vendi score", DIVERSITY, decimals=2),
    "mode_coverage": _Score("mode coverage", DIVERSITY, decimals=3),
    "mode_kl": _Score("KL over modes", DIVERSITY),
    "memorized": _Score("memorized", MEMORIZATION, decimals=3),
    "authenticity": _Score("authenticity", MEMORIZATION, decimals=3),
    "data_copying": _Score("data copying, C_T", MEMORIZATION, decimals=2),
    "bits_per_dim": _Score("bits / dim", OTHER, decimals=3),
    "feature_likelihood_divergence": _Score("feature likelihood divergence", MEMORIZATION),
}

# The names of the literature belong to the published Inception network alone.
_OVER_INCEPTION = {
    DISTANCE: "FID",
    "frechet_distance_infinity": "FID∞",
    "spatial_frechet_distance": "sFID",
    "kernel_distance": "KID",
    "inception_score": "IS",
}

_STABILITY = (
    Column("mean_along_training.ema", "mean along training, EMA", STABILITY),
    Column("mean_along_training.raw", "mean along training, raw", STABILITY),
    Column("examples_to_threshold.ema", "examples to threshold, EMA", STABILITY, unit="count"),
    Column("examples_to_threshold.raw", "examples to threshold, raw", STABILITY, unit="count"),
    Column("last_over_best.ema", "last / best, EMA", STABILITY, decimals=2),
    Column("last_over_best.raw", "last / best, raw", STABILITY, decimals=2),
    Column("max_drawdown.ema", "max drawdown, EMA", STABILITY, decimals=2),
    Column("max_drawdown.raw", "max drawdown, raw", STABILITY, decimals=2),
)

_COST = (
    Column("parameters", "parameters", COST, unit="count", unconditional=True),
    Column("training_flops", "training FLOPs", COST, unit="count"),
    Column("training_seconds", "training time", COST, unit="s"),
    Column("nfe", "NFE", COST, decimals=0, unconditional=True),
    Column("sampling_flops", "FLOPs / sample", COST, unit="count", unconditional=True),
    Column("seconds_per_sample", "time / sample", COST, unit="s", unconditional=True),
)


def over_inception(protocol: Mapping[str, Any]) -> bool:
    """Whether the scores are over the published Inception network."""
    return str(protocol.get("extractor", "")).startswith("inception@")


def score_heading(output: str, protocol: Mapping[str, Any]) -> str:
    """What heads a score: ``FID`` only over the published Inception network."""
    if over_inception(protocol) and output in _OVER_INCEPTION:
        return _OVER_INCEPTION[output]
    known = _SCORES.get(output)
    return known.heading if known else output.replace("_", " ")


def comparison_columns(records: Sequence[Record], protocol: Mapping[str, Any]) -> list[Column]:
    """The columns for which some record has a number, group by group."""
    better = {name: higher for record in records for name, higher in record.better.items()}
    outputs = {name for record in records for name in record.scores}
    columns = [
        _score_column(name, protocol, better.get(name))
        for name in [*(n for n in _SCORES if n in outputs), *sorted(outputs - _SCORES.keys())]
    ]
    columns.append(Column(DIVERGED, "diverged", STABILITY, better=False))
    if COVERAGE in outputs:
        columns.append(Column(COLLAPSED, "collapsed", STABILITY, better=False))
    columns += [
        replace(column, path=("stability", *column.key.split(".")), better=False)
        for column in _STABILITY
    ]
    if DISTANCE in outputs:
        name, path = score_heading(DISTANCE, protocol), ("scores", DISTANCE, "value")
        columns.append(Column(IQR, f"IQR of {name}", STABILITY, path, False))
        columns.append(Column(CVAR, f"{name}, worst half", STABILITY, path, False))
    columns += [replace(column, path=("cost", column.key)) for column in _COST]
    present = [
        column
        for column in columns
        if not column.path or any(column.read(record) is not None for record in records)
    ]
    return sorted(present, key=lambda column: GROUPS.index(column.group))


def _score_column(name: str, protocol: Mapping[str, Any], better: bool | None) -> Column:
    known = _SCORES.get(name, _Score("", OTHER))
    heading = score_heading(name, protocol)
    return Column(name, heading, known.group, ("scores", name, "value"), better, known.decimals)
