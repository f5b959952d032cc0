"""Output folders → the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from genbench.analysis.claims import offered
from genbench.analysis.comparison import comparison, rows_of
from genbench.analysis.diagnostics import diagnostics
from genbench.analysis.verdict import applicable
from genbench.analysis.verdict import document as verdict_document
from genbench.rendering import html_section
from genbench.rendering.unseen import visible
from genbench.report.chapter import chapter, commands
from genbench.report.diagnostics import families
from genbench.store import write_text
from genbench.store.records import Record, read_records

MOST_NAMED = 20
"""Entries that the head of the page names."""


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write one HTML file that needs no other, about the records of ``folders``.

    History and sample files that are missing or unreadable are named on the page.

    Raises ``DataError`` where a folder holds no records, ``store.Damaged`` where a file is not as
    it was written, ``store.CannotWrite`` where ``out`` cannot be.
    """
    records = [located(record, folder) for folder in folders for record in read_records(folder)]
    write_text(out, page(records))


def located(record: Record, folder: Path) -> Record:
    """The record with absolute paths of its files."""
    return replace(record, files={name: str(folder / path) for name, path in record.files.items()})


def page(records: Sequence[Record]) -> str:
    """The page about records whose files are given from here or absolutely."""
    environment = Environment(
        loader=PackageLoader("genbench.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    compared = comparison(records)
    rows = rows_of(records, compared)
    training_table = diagnostics(rows)
    charts, missing = families(records, rows)
    script = _asset("table.js")
    text: str = environment.get_template("page.html").render(
        title=" and ".join(dict.fromkeys(table.title for table in compared)) or "no records",
        facts=facts(records),
        commands=commands(records),
        verdicts=[
            Markup("").join(map(html_section, verdict_document([verdict]).sections))
            for verdict in applicable(records, offered()[0])
        ],
        chapters=[
            chapter(each, each.title if len(compared) > 1 else "Comparison") for each in compared
        ],
        families=charts,
        missing=missing,
        diagnostics=html_section(training_table) if training_table else None,
        style=_asset("style.css"),
        script=script,
        policy=_policy(script),
    )
    return visible(text)


def facts(records: Sequence[Record]) -> dict[str, str]:
    """What was run, in words."""
    runs = [record for record in records if record.seed is not None]

    def listed(values: Sequence[object]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))

    budgets = [r.conditions["examples"] for r in runs if r.conditions.get("examples") is not None]
    known = {
        "Command": listed([record.command for record in records]),
        "Data": listed([record.dataset for record in records]),
        "Entries": _few(dict.fromkeys(record.entry for record in runs)),
        "Seeds": listed(sorted({record.seed for record in runs if record.seed is not None})),
        "Budget": listed(
            [f"{examples:,} examples a training" for examples in sorted(set(budgets))]
        ),
        "Samples scored": listed([r.protocol.get("samples") for r in runs]),
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


def _few(entries: Collection[str]) -> str:
    """All names, or only their number if there are many: the table has the names."""
    return ", ".join(entries) if len(entries) <= MOST_NAMED else str(len(entries))


def _policy(script: str) -> str:
    """What a browser may do with the page: run this script and no other, and load nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> Markup:
    return Markup(files("genbench.report").joinpath(name).read_text(encoding="utf-8"))
