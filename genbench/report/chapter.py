"""One comparison: its table, and the figures that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genbench.analysis.columns import headline
from genbench.analysis.comparison import Comparison
from genbench.analysis.diagnostics import training_groups
from genbench.analysis.entry_runs import real_baseline
from genbench.rendering import html_section
from genbench.report import panels
from genbench.report.curves import snapshot_curves
from genbench.report.figures import LegendEntry, key
from genbench.report.panels import Panel
from genbench.report.planes import Plane, precision_recall_plane, quality_planes
from genbench.store.protocol import Protocol, brief, name_of
from genbench.store.records import Record


@dataclass(frozen=True)
class Chapter:
    """What was scored under one protocol."""

    table: Markup
    commands: Sequence[str]
    protocols: Mapping[str, str]
    """For ``planes``, ``curves`` and ``neighbours``: the protocol behind them, in short."""
    keys: Sequence[LegendEntry]
    planes: Sequence[Plane]
    training_keys: Sequence[LegendEntry]
    curves: Mapping[str, Markup]
    """By heading: the headline score of the EMA and the raw weights along training."""
    samples: Sequence[Panel]
    neighbours: Sequence[Panel]
    trajectories: Sequence[Panel]


def chapter(compared: Comparison, heading: str) -> Chapter:
    """Everything about one comparison."""
    rows = compared.entry_runs
    records = [record for row in rows for record in row.records]
    colours = {row.label: i for i, row in enumerate(row for row in rows if not row.is_baseline)}
    quantities = compared.quantities
    trained = training_groups(rows)
    score = headline(records, compared.protocol)
    planes = [
        *quality_planes(rows, quantities, score),
        precision_recall_plane(rows, quantities),
    ]
    curves = {
        f"{score.heading}, {words} weights": snapshot_curves(
            trained, real_baseline(rows), colours, weights, score
        )
        for weights, words in (("ema", "EMA"), ("raw", "raw"))
    }
    return Chapter(
        table=html_section(compared.section(heading)),
        commands=commands(records),
        protocols=_protocols(next((r.protocol for r in records if r.protocol), {})),
        keys=[
            key(row.label, colours[row.label])
            for row in rows
            if not row.is_baseline and any(record.scores for record in row.records)
        ],
        planes=[plane for plane in planes if plane],
        training_keys=[
            key(training.label, colours[training.label])
            for training in trained
            if any(record.snapshots for record in training.records)
        ],
        curves={name: curve for name, curve in curves.items() if curve},
        samples=panels.samples(rows),
        neighbours=panels.neighbours(rows),
        trajectories=panels.trajectories(trained),
    )


def _protocols(protocol: Protocol) -> dict[str, str]:
    return {
        "planes": brief(protocol),
        "curves": brief({**protocol, "samples": "fewer"}),
        "neighbours": f"against samples of {name_of(protocol, 'train')}, "
        f"in the features of {name_of(protocol, 'extractor')}",
    }


def commands(records: Sequence[Record]) -> list[str]:
    """What made the records, a command a suite; options of ``--set`` are not recorded."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        known = seeds.setdefault(record.command, set())
        if record.seed is not None:
            known.add(record.seed)
    return [
        f"{command} --seeds {','.join(map(str, sorted(numbers)))}"
        for command, numbers in seeds.items()
        if numbers
    ]
