"""What a suite would run, and about what it would cost, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from genbench.analysis.cells import MISSING, amount, duration
from genbench.analysis.document import Cell, Document, Section, text_table


@dataclass(frozen=True)
class EntryRow:
    """One entry that samples a training."""

    name: str
    options: str
    """Of its sampler, in words."""
    parameters: int | None = None
    """Of the networks that sampling calls; ``None``, as the others, if the costs are not known."""
    nfe: float | None = None
    """Network evaluations a sample."""
    flops: float | None = None
    """A sample."""
    seconds: float | None = None
    """Of all its samples."""


@dataclass(frozen=True)
class TrainingRow:
    """One training, with the entries that sample it."""

    label: str
    examples: int
    entries: tuple[EntryRow, ...]
    parameters: int | None = None
    """``None``, as the others, where the costs are not known."""
    flops: float | None = None
    seconds: float | None = None
    total: float | None = None
    """Seconds, with those of its samples along training and of its entries, without the scoring."""
    unknown: str = ""
    """Why costs are not known."""


def document(title: str, trainings: Sequence[TrainingRow], device: str, workers: int) -> Document:
    """A row a training and a row an entry. ``device``: where it would run, ``workers`` trainings
    at a time."""
    rows: list[list[str | Cell]] = []
    outcomes = []
    for training in trainings:
        rows.append(
            [
                f"train {training.label}",
                f"{training.examples:,} examples",
                _amount(training.parameters),
                "",
                _amount(training.flops),
                _duration(training.seconds),
            ]
        )
        if training.unknown:
            outcomes.append(f"train {training.label}: cost unknown: {training.unknown}")
        rows += [
            [
                f"  sample {entry.name}",
                entry.options or "as the model does",
                _amount(entry.parameters),
                MISSING if entry.nfe is None else f"{entry.nfe:g}",
                _amount(entry.flops),
                _duration(entry.seconds),
            ]
            for entry in training.entries
        ]
    headings = "", "what", "parameters", "NFE", "FLOPs", "time"
    totals = [training.total for training in trainings]
    known = [total for total in totals if total is not None]
    entries = sum(len(training.entries) for training in trainings)
    said = f"{len(trainings)} trainings, {entries} entries to score; "
    if len(known) < len(totals):
        said += "the time could not be estimated for all of them."
    else:
        said += (
            f"about {duration(sum(known) / workers)} on this {device}, {workers} at a time, "
            "without the scoring."
        )
    notes = (
        said,
        "FLOPs of a training are of all of it, of an entry of one sample; times are of all of it.",
    )
    section = Section(title, (text_table(headings, rows, "llrrrr"),), tuple(outcomes), notes)
    data = {"title": title, "trainings": [asdict(training) for training in trainings]}
    return Document((section,), data | {"device": device, "workers": workers})


def _amount(value: float | None) -> str:
    return MISSING if value is None else amount(value, "count")


def _duration(seconds: float | None) -> str:
    return MISSING if seconds is None else duration(seconds)
