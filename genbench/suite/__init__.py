"""A suite file → validated entries.

A suite says what is compared: one data set, one scoring protocol, one budget, several seeds, and
the entries. Every mistake is reported in one line that names the key and the nearest right one.
"""

from __future__ import annotations

from genbench.suite.entries import (
    SeededEntry,
    Training,
    trainings,
)
from genbench.suite.file import (
    Entry,
    Prompts,
    Score,
    Suite,
    parse,
    parse_precision,
    parse_value,
)
from genbench.suite.grid import Grid, GridPoint, expand_grid, parse_over
from genbench.suite.train import OPTIONS, Precision, Train

__all__ = [
    "OPTIONS",
    "Entry",
    "Grid",
    "GridPoint",
    "Precision",
    "Prompts",
    "Score",
    "SeededEntry",
    "Suite",
    "Train",
    "Training",
    "expand_grid",
    "parse",
    "parse_over",
    "parse_precision",
    "parse_value",
    "trainings",
]
