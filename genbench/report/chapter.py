"""One comparison: its table, and the figures that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from genbench.analysis.columns import headline
from genbench.analysis.comparison import Comparison
from genbench.analysis.diagnostics import training_groups
from genbench.analysis.document import Section
from genbench.rendering import html_section
from genbench.report import panels
from genbench.report.asked import asked_for
from genbench.report.chart import Chart
from genbench.report.figures import LegendEntry
from genbench.report.panels import Panel, Reader
from genbench.report.planes import Plane
from genbench.report.plots import curves_of, planes_of
from genbench.report.tables import against, overall_ranking, seed_table
from genbench.store.protocol import Protocol, brief, name_of
from genbench.store.records import Record

PARTS = {
    "ranking": "Ranking",
    "against": "Baseline",
    "seeds": "Seeds",
    "scores": "Scores",
    "planes": "Quality and cost",
    "curves": "Along training",
    "trajectories": "Trajectories",
    "samples": "Samples",
    "asked": "Asked for",
    "noise": "Same noise",
    "neighbours": "Neighbours",
}
"""Of a chapter, in their order on the page: how the table of contents calls them."""


@dataclass(frozen=True)
class Chapter:
    """What was scored under one protocol."""

    anchor: str
    """Of its identifiers on the page."""
    title: str
    ranking: Markup | None
    against: Mapping[str, Markup]
    """By baseline, the best first."""
    seeds: Markup | None
    scores: Markup
    commands: Sequence[str]
    protocols: Mapping[str, str]
    """For ``planes``, ``curves`` and ``neighbours``: the protocol behind them, in short."""
    keys: Sequence[LegendEntry]
    planes: Sequence[Plane]
    training_keys: Sequence[LegendEntry]
    curves: Mapping[str, Chart]
    """By heading: the headline score of the EMA and the raw weights along training."""
    asked: Markup | None
    """For each text or class that was asked for, a sample of each entry."""
    noise: Sequence[Sequence[Panel]]
    """For each training that several entries sample, their first samples."""
    samples: Sequence[Panel]
    left_out: Sequence[int]
    """Seeds whose samples would make the page too large."""
    neighbours: Sequence[Panel]
    trajectories: Sequence[Panel]
    missing: Sequence[str]
    """Why a part is left out that should have pictures, a line for each."""

    @property
    def contents(self) -> dict[str, str]:
        """By anchor, the parts that are not empty."""
        return {
            f"{self.anchor}-{part}": words for part, words in PARTS.items() if getattr(self, part)
        }


def chapter(compared: Comparison, anchor: str, colours: Mapping[str, int], read: Reader) -> Chapter:
    """Everything about one comparison. ``colours``: by label, the index of an entry's colour and
    mark. ``read``: reads a sample file."""
    rows = compared.entry_runs
    records = [record for row in rows for record in row.records]
    trained = training_groups(rows)
    score = headline(records, compared.protocol)
    shown, left_out = panels.samples(rows, read)
    asked, unread = asked_for(rows)
    pictures = {
        "samples": shown if any("samples" in r.files for r in records) else [],
        "neighbours": panels.neighbours(rows),
        "trajectories": panels.trajectories(trained),
    }
    empty = {part for part, found in pictures.items() if not any(panel.picture for panel in found)}
    return Chapter(
        anchor=anchor,
        title=compared.title,
        ranking=_shown(overall_ranking(rows, compared.quantities)),
        against={name: html_section(found) for name, found in against(rows, score).items()},
        seeds=_shown(seed_table(rows, score)),
        scores=html_section(replace(compared.section("All scores"), level=3)),
        commands=commands(records),
        protocols=_protocols(next((r.protocol for r in records if r.protocol), {})),
        keys=[
            LegendEntry(row.label, colours[row.label])
            for row in rows
            if not row.is_baseline and any(record.scores for record in row.records)
        ],
        planes=planes_of(compared, colours),
        training_keys=[
            LegendEntry(training.label, colours[training.label])
            for training in trained
            if any(record.snapshots for record in training.records)
        ],
        curves=curves_of(compared, colours),
        asked=asked,
        noise=panels.same_noise(rows, read),
        left_out=left_out,
        missing=[
            f"{PARTS[part]}: {panel.label}, {panel.caption}"
            for part in pictures
            if part in empty
            for panel in pictures[part]
        ]
        + [f"{PARTS['asked']}: {line}" for line in unread],
        **{part: () if part in empty else found for part, found in pictures.items()},
    )


def _shown(section: Section | None) -> Markup | None:
    return None if section is None else html_section(section)


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
