"""The scores of one set of samples, as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genbench.analysis.columns import score_heading
from genbench.analysis.document import Cell, Column, Document, Row, Section, Table
from genbench.api import Estimate, Output
from genbench.store.protocol import Protocol, lines


def document(
    values: Mapping[str, Estimate],
    outputs: Mapping[str, Output],
    skipped: Mapping[str, str],
    protocol: Protocol,
    notes: Sequence[str],
    data: Any,
) -> Document:
    """The parts of an ``evaluation.Scores``, and all of it as ``data``."""
    table = Table(
        (
            Column("metric", "metric", numeric=False),
            Column("score", "", numeric=False),
            Column("value", "value"),
            Column("interval", "95 % interval"),
        ),
        tuple(
            Row(
                (
                    Cell(name),
                    Cell(_words(name, outputs, protocol)),
                    Cell(f"{estimate.value:.6g}", estimate.value),
                    Cell(estimate.interval),
                )
            )
            for name, estimate in values.items()
        ),
    )
    section = Section(
        "",
        (table,),
        outcomes=(
            *(f"{name} skipped: {reason}" for name, reason in skipped.items()),
            *notes,
        ),
        details={"Protocol": tuple(lines(protocol))},
    )
    return Document((section,), data)


def _words(name: str, outputs: Mapping[str, Output], protocol: Protocol) -> str:
    arrow = "↑" if outputs[name].higher_is_better else "↓"
    return f"{score_heading(name, outputs, protocol)} {arrow}"
