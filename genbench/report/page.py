"""Output folders → the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from genbench import verdict
from genbench.errors import DataError
from genbench.report.curves import snapshot_curves
from genbench.report.diagnostics import families
from genbench.report.figures import Key, key
from genbench.report.passages import TITLES, read_frames, strip_on_page
from genbench.report.planes import precision_recall_plane, quality_plane
from genbench.report.samples import Preview, limits, picture, read_preview
from genbench.results import Record, read_records
from genbench.storage import write_text
from genbench.tables import (
    Entrant,
    Table,
    Training,
    comparison,
    diagnostics,
    html_table,
    trainings,
)


@dataclass(frozen=True)
class Panel:
    """The samples of one entry."""

    label: str
    caption: str
    picture: Markup | None
    """``None``: the caption says why."""


@dataclass(frozen=True)
class Strip:
    """A passage of one training."""

    label: str
    title: str
    picture: Markup | None
    """``None``: the title says why."""


@dataclass(frozen=True)
class Chapter:
    """What was scored under one protocol."""

    table: Markup
    keys: Sequence[Key]
    planes: Sequence[Markup]
    training_keys: Sequence[Key]
    curves: Mapping[str, Markup]
    """By heading: Fréchet distance of the EMA and the raw weights along training."""
    panels: Sequence[Panel]
    strips: Sequence[Strip]


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write one HTML file that needs no other, about the records of ``folders``.

    History and sample files that are missing or unreadable are named on the page.

    Raises ``DataError`` where a folder holds no records, ``storage.Damaged`` where a file is not as
    it was written, ``storage.CannotWrite`` where ``out`` cannot be.
    """
    records = [located(record, folder) for folder in folders for record in read_records(folder)]
    write_text(out, page(records))


def located(record: Record, folder: Path) -> Record:
    """The record with its files found from anywhere."""
    return replace(record, files={name: str(folder / path) for name, path in record.files.items()})


def page(records: Sequence[Record]) -> str:
    """The page about records whose files are given from here or absolutely."""
    environment = Environment(
        loader=PackageLoader("genbench.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = comparison(records)
    training_table = diagnostics(records)
    environment.globals |= {
        "as_claimed": verdict.as_claimed,
        "heading": verdict.heading,
        "method": verdict.METHOD,
        "statement": verdict.statement,
    }
    charts, missing = families(records)
    script = _asset("sort.js")
    text: str = environment.get_template("page.html").render(
        title=" and ".join(dict.fromkeys(table.title for table in tables)) or "no records",
        facts=facts(records),
        verdicts=verdict.applicable(records, verdict.offered()[0]),
        chapters=[
            chapter(table, table.title if len(tables) > 1 else "Comparison") for table in tables
        ],
        families=charts,
        missing=missing,
        diagnostics=html_table(training_table) if training_table else None,
        style=_asset("style.css"),
        script=script,
        policy=_policy(script),
    )
    return text


def facts(records: Sequence[Record]) -> dict[str, str]:
    """What was run, in words."""
    runs = [record for record in records if record.seed is not None]

    def listed(values: Sequence[object]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))

    budgets = [r.conditions["images"] for r in runs if r.conditions.get("images") is not None]
    known = {
        "Command": listed([f"genbench run {record.suite}" for record in records]),
        "Data": listed([record.dataset for record in records]),
        "Entries": listed([record.entry for record in runs]),
        "Seeds": listed(sorted({record.seed for record in runs if record.seed is not None})),
        "Budget": listed([f"{images:,} images a training" for images in sorted(set(budgets))]),
        "Samples scored": listed([r.protocol["samples"] for r in runs if r.protocol]),
        "Device": listed([record.conditions.get("device") for record in runs]),
        "Versions": listed(
            [
                f"{name} {record.conditions[name]}"
                for name in ("genbench", "torch")
                for record in runs
                if record.conditions.get(name)
            ]
        ),
    }
    return {name: value for name, value in known.items() if value}


def chapter(table: Table, heading: str) -> Chapter:
    """Everything about one comparison table."""
    rows = table.entrants
    records = [record for row in rows for record in row.records]
    colours = {row.label: i for i, row in enumerate(row for row in rows if not row.real)}
    columns = {column.key: column for column in table.columns}
    trained = trainings(records)
    distance = columns.get("frechet_distance")
    planes = []
    if distance and "nfe" in columns:
        planes.append(quality_plane(rows, columns["nfe"], distance))
    if "recall" in columns and "precision" in columns:
        planes.append(precision_recall_plane(rows, columns["recall"], columns["precision"]))
    named = distance.heading if distance else "Fréchet distance"
    curves = {
        f"{named}, {words} weights": snapshot_curves(trained, colours, weights, named)
        for weights, words in (("ema", "EMA"), ("raw", "raw"))
    }
    return Chapter(
        table=html_table(table, heading),
        keys=[
            key(row.label, colours[row.label])
            for row in rows
            if not row.real and any(record.scores for record in row.records)
        ],
        planes=[plane for plane in planes if plane],
        training_keys=[
            key(training.label, colours[training.label])
            for training in trained
            if any(record.snapshots for record in training.records)
        ],
        curves={name: curve for name, curve in curves.items() if curve},
        panels=panels(table),
        strips=strips(trained),
    )


def panels(table: Table) -> list[Panel]:
    """The samples of each row, those of its first seed that has some, the real ones first."""
    shown: dict[str, Preview] = {}
    reasons: dict[str, str] = {}
    for row in table.entrants:
        record = _pictured(row)
        try:
            shown[row.label] = read_preview(Path(record.files["samples"]))
        except KeyError:
            reasons[row.label] = "no samples"
        except DataError as error:
            reasons[row.label] = str(error)
    # Points share the range of the first cloud, which is the real one where there is one.
    within = next((limits(preview) for preview in shown.values()), None)
    made = []
    for row in table.entrants:
        caption, drawn = _caption(_pictured(row)), None
        try:
            if row.label in shown:
                drawn = picture(shown[row.label], f"samples: {row.label}", within)
        except DataError as error:
            reasons[row.label] = str(error)
        if row.label in reasons:
            caption = f"{caption}: {reasons[row.label]}"
        made.append(Panel(row.label, caption, drawn))
    return made


def strips(trained: Sequence[Training]) -> list[Strip]:
    """How data become noise, once, and what each training makes of noise, by its first seed that
    shows it."""
    made: dict[str, Strip] = {}
    for row in trained:
        for kind in ("forward", "reverse"):
            path = next((r.files[kind] for r in row.records if kind in r.files), None)
            label = row.label if kind == "reverse" else ""
            if path is None or kind + label in made:
                continue
            title, drawn = TITLES[kind], None
            try:
                frames = read_frames(Path(path))
                title = TITLES[frames.kind]
                drawn = strip_on_page(frames, f"{title}: {row.label}")
            except DataError as error:
                title = f"{title}: {error}"
            made[kind + label] = Strip(row.label, title, drawn)
    return sorted(made.values(), key=lambda strip: not strip.title.startswith(TITLES["forward"]))


def _pictured(row: Entrant) -> Record:
    return next((record for record in row.records if "samples" in record.files), row.records[0])


def _caption(record: Record) -> str:
    seed = "real samples" if record.seed is None else f"seed {record.seed}"
    return seed if record.status == "done" else f"{seed}, {record.status}"


def _policy(script: str) -> str:
    """What a browser may do with the page: run this script and no other, and load nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> Markup:
    return Markup(files("genbench.report").joinpath(name).read_text(encoding="utf-8"))
