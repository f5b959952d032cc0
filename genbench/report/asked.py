"""What was asked for, and what came: a grid of texts or classes × entries × seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from safetensors import SafetensorError
from safetensors.numpy import load

from genbench import modalities, store
from genbench.analysis.document import Cell, Column, Row, Section, Table
from genbench.analysis.entry_runs import EntryRuns
from genbench.api import Shown
from genbench.api.errors import DataError
from genbench.rendering import html_section
from genbench.report.samples import small_picture
from genbench.store.records import Record

SEEDS = 3
"""The most that are shown of an entry."""
TEXTS = 12
"""The most that are shown."""
MOST = 400
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Answer:
    """One sample, with what it was asked for."""

    shown: Shown
    facts: Mapping[str, bool]
    """What the text states, and whether it holds; empty where nobody says."""


def asked_for(rows: Sequence[EntryRuns]) -> tuple[Markup | None, list[str]]:
    """The grid: a row a text or class, a column an entry, and in a cell a sample of each of the
    first seeds, with the facts that do not hold; ``None`` if nothing was asked for. And why a file
    cannot be shown, a line for each."""
    missing: list[str] = []
    answers: dict[str, list[dict[str, Answer]]] = {}
    for row in rows:
        for record in _first_runs(row):
            try:
                answers.setdefault(row.label, []).append(_answers(record))
            except DataError as error:
                missing.append(f"{row.label}, seed {record.seed}: {error}")
    answers = {label: found for label, found in answers.items() if any(found)}
    asked = dict.fromkeys(text for found in answers.values() for run in found for text in run)
    if not asked:
        return None, missing
    runs = [run for found in answers.values() for run in found]
    told = any(answer.facts for run in runs for answer in run.values())
    pictures: dict[tuple[str, str], Markup] = {}
    made: list[Row] = []
    for text in [*asked][:TEXTS]:
        name, cells = _name(text, {row.label for row in made}), []
        for label, found in answers.items():
            own = [run[text] for run in found if text in run]
            figures = Markup("").join(_figure(each, label, name) for each in own)
            pictures[name, label] = Markup('<div class="answers">{}</div>').format(figures)
            right = sum(all(each.facts.values()) for each in own if each.facts)
            cells.append(Cell(f"{right} of {len(own)} right" if told and own else "", right))
        made.append(Row((Cell(name), *cells)))
    columns = (
        Column("text", "asked for", numeric=False),
        *(Column(label, label, numeric=False) for label in answers),
    )
    lead = "The first sample of each, not chosen, with one seed after the other."
    if told:
        lead += " Beneath each stand the facts of the text that do not hold."
    section = Section("What was asked for", (Table(columns, tuple(made)),), level=3, lead=lead)
    return html_section(section, pictures=pictures), missing


def _first_runs(row: EntryRuns) -> list[Record]:
    return [record for record in row.records if "asked" in record.files][:SEEDS]


def _answers(record: Record) -> dict[str, Answer]:
    """By text. Raises ``DataError`` if there is no such file, ``store.Damaged``."""
    path = Path(record.files["asked"])
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    data, about = artefact
    try:
        samples = load(data)["samples"]
        spec = modalities.described(about, samples.shape[1:])
        facts = about["facts"] or [{}] * len(samples)
        return {
            text: Answer(Shown(samples[number : number + 1], spec), stated)
            for number, (text, stated) in enumerate(zip(about["asked"], facts, strict=True))
        }
    except (KeyError, SafetensorError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error


def _figure(answer: Answer, label: str, text: str) -> Markup:
    try:
        drawn = small_picture(answer.shown, f"{label}: {text}", answer.shown)
    except DataError:
        drawn = Markup("")
    wrong = [name for name, holds in answer.facts.items() if not holds]
    said = Markup('<span class="yes">✓</span>') if answer.facts else Markup("")
    if wrong:
        said = Markup('<span class="no">✗ {}</span>').format(", ".join(wrong))
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawn, said)


def _name(text: str, taken: Collection[str]) -> str:
    """What names the row of ``text``: the whole of it, or its beginning, which two may share."""
    name = text if len(text) <= MOST else f"{text[:MOST]}…"
    while name in taken:
        name += "…"
    return name
