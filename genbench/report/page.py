"""Output folders → the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from genbench.analysis.claims import offered
from genbench.analysis.comparison import Comparison, comparison, rows_of
from genbench.analysis.diagnostics import diagnostics
from genbench.analysis.verdict import Verdict, applicable
from genbench.analysis.verdict import document as verdict_document
from genbench.rendering import html_section
from genbench.rendering.unseen import visible
from genbench.report.chapter import Chapter, chapter, commands
from genbench.report.diagnostics import families
from genbench.report.first_screen import first_screen
from genbench.report.kept_suite import KeptSuite, kept_suite
from genbench.report.plots import located, palette
from genbench.report.samples import read_preview
from genbench.store import write_text
from genbench.store.records import Record, read_records

SCRIPTS = ("table.js", "page.js")
MOST_NAMED = 20
"""Entries that the head of the page names."""


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write one HTML file that needs no other, about the records of ``folders``.

    History and sample files that are missing or unreadable are named on the page.

    Raises ``DataError`` where a folder holds no records, ``store.Damaged`` where a file is not as
    it was written, ``store.CannotWrite`` where ``out`` cannot be.
    """
    records: list[Record] = []
    suites: list[KeptSuite | None] = []
    for folder in folders:
        own = read_records(folder)
        records += [located(record, folder) for record in own]
        suites.append(kept_suite(folder, [r.seed for r in own if r.seed is not None]))
    write_text(out, page(records, suites))


def page(records: Sequence[Record], suites: Sequence[KeptSuite | None] = ()) -> str:
    """The page about records whose files are given from here or absolutely. ``suites``: those of
    the folders they are from."""
    environment = Environment(
        loader=PackageLoader("genbench.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    compared = comparison(records)
    rows = rows_of(records, compared)
    training_table = diagnostics(rows)
    script = Markup("\n").join(map(_asset, SCRIPTS))
    read = cache(read_preview)  # each file once
    alone = len(compared) == 1
    colours = palette([*(each.entry_runs for each in compared), rows])
    charts, missing = families(records, rows, colours)
    verdicts = applicable(records, offered()[0])
    chapters = [
        chapter(each, f"c{number}", colours, read) for number, each in enumerate(compared, start=1)
    ]
    text: str = environment.get_template("page.html").render(
        title=_title(suites, compared),
        contents=contents(chapters, verdicts, bool(training_table or charts or missing)),
        suites=[suite for suite in suites if suite is not None],
        facts=facts(records),
        commands=commands(records),
        about=about(records),
        alone=alone,
        screens=[first_screen(each, verdicts, colours, alone, read) for each in compared],
        verdicts=[
            Markup("").join(map(html_section, verdict_document([verdict]).sections))
            for verdict in verdicts
        ],
        chapters=chapters,
        families=charts,
        missing=missing,
        diagnostics=html_section(training_table) if training_table else None,
        style=_asset("style.css"),
        script=script,
        policy=_policy(script),
    )
    return visible(text)


def _title(suites: Sequence[KeptSuite | None], compared: Sequence[Comparison]) -> str:
    """Of the suites, if each of them has one; else what is compared."""
    own = [suite.title for suite in suites if suite is not None and suite.title]
    titles = own if own and len(own) == len(suites) else [each.title for each in compared]
    return " and ".join(dict.fromkeys(titles)) or "no records"


def contents(
    chapters: Sequence[Chapter], verdicts: Sequence[Verdict], trained: bool
) -> dict[str, str]:
    """By anchor, the parts of the page that are not empty: those of the only chapter, or all
    chapters. ``trained``: whether there is anything about training."""
    parts = [chapter.contents for chapter in chapters]
    inner = parts[0] if len(parts) == 1 else {each.anchor: each.title for each in chapters}
    return {
        "summary": "Summary",
        **({"claims": "Claims"} if verdicts else {}),
        **inner,
        **({"diagnostics": "Training"} if trained else {}),
        "run": "This run",
    }


def about(records: Sequence[Record]) -> str:
    """What was run, in one line: ``6 entries on digits · 5 seeds · 500 samples scored``."""
    runs = [record for record in records if record.seed is not None]
    known = facts(records)
    entries = _counted(len({record.entry for record in runs}), "entry", "entries")
    seeds = _counted(len({record.seed for record in runs}), "seed", "seeds")
    data = f"{entries} on {known['Data']}" if "Data" in known else entries
    scored = f"{known['Samples scored']} samples scored" if "Samples scored" in known else ""
    return " · ".join(filter(None, [data, seeds, known.get("Budget", ""), scored]))


def _counted(count: int, one: str, several: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {several}"


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
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> Markup:
    return Markup(files("genbench.report").joinpath(name).read_text(encoding="utf-8"))
