"""A suite file → validated entries; and the identities of what each stage makes.

A suite says what is compared: one data set, one scoring protocol, one budget, several seeds, and
the entries. Every mistake in it is told in one line that names the key and the nearest right one.
"""

from __future__ import annotations

from genbench.suite.entries import (
    SeededEntry,
    Training,
    likelihood_identity,
    sampling_identity,
    scoring_identity,
    training_identity,
    trainings,
)
from genbench.suite.file import (
    Entry,
    Precision,
    Prompts,
    Score,
    Suite,
    Train,
    parse,
    parse_precision,
    parse_value,
)
from genbench.suite.grid import Grid, Point, expand_grid, parse_over

__all__ = [
    "Entry",
    "Grid",
    "Point",
    "Precision",
    "Prompts",
    "Score",
    "SeededEntry",
    "Suite",
    "Train",
    "Training",
    "expand_grid",
    "likelihood_identity",
    "parse",
    "parse_over",
    "parse_precision",
    "parse_value",
    "sampling_identity",
    "scoring_identity",
    "training_identity",
    "trainings",
]
