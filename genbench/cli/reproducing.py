"""``genbench reproduce``: a measured row, trained, sampled and scored again from its record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench import suite
from genbench.analysis import reproduction
from genbench.analysis.reproduction import Reproduction
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.cli.suites import perform, say
from genbench.devices.hardware import Hardware
from genbench.experiment import RunContext
from genbench.store.protocol import Protocol, protocol_differences
from genbench.store.records import Record, read_records

OUTSIDE = 3
"""Exit status where a score is not what its record makes one expect."""
COLOURS = {"inside": "green", "outside": "red", "undecided": "yellow"}


def reproduce(
    what: str,
    out: Path | None,
    scores: str | None,
    hardware: Hardware,
    *,
    seeds: Sequence[int] | None,
    jobs: int | None,
    as_json: bool,
    plugins: Sequence[Path],
) -> int:
    """Run the row ``what``, ``DIR:ROW``, again, and print whether it came to the same."""
    folder, separator, label = what.partition(":")
    if not separator or not label:
        raise UsageError(f"reproduce {what}: write DIR:ROW, as in results/digits-full:EDM")
    before = reproduction.row(read_records(Path(folder)), label)
    names = [name.strip() for name in scores.split(",")] if scores else list(before[0].better)[:1]
    for name in names:
        if name not in before[0].better:
            raise UnknownName(f"score of {label}", name, before[0].better)
    content = suite.parse(f"the record of {label}", reproduction.recipe(before))
    out = out or Path("genbench-reproduce-" + re.sub(r"[^\w.-]+", "-", label))
    name = f"reproduce {what}"
    context = RunContext(
        name=name,
        out=out,
        hardware=hardware,
        samples=content.samples,
        score=content.score,
        prompts=content.prompts,
    )
    _require_protocol(before[0], context.protocol(content.dataset))
    records = perform(name, content, out, hardware, seeds, jobs, plugins)
    if records is None:
        return 0
    after = [record for record in records if record.seed is not None]
    found = [reproduction.reproduced(before, after, name) for name in names]
    if as_json:
        told = {"row": label, "conditions": _changed(before[0], after[0])}
        rows = [asdict(each) for each in found]
        click.echo(dumps(told | {"scores": rows}, ensure_ascii=False, indent=1))
    else:
        Console().print(_table(found))
        for line in _changed(before[0], after[0]):
            say(line)
    return OUTSIDE if any(each.outcome == "outside" for each in found) else 0


def _require_protocol(before: Record, now: Protocol) -> None:
    different = protocol_differences(before.protocol, now)
    if different:
        raise DataError(f"the scoring protocol cannot be had again: {'; '.join(different)}")


def _changed(before: Record, after: Record) -> list[str]:
    """What was otherwise than when the row was measured, a line each."""
    return [
        f"{name}: {before.conditions.get(name)} when it was measured, {value} now"
        for name, value in after.conditions.items()
        if name in ("torch", "genbench", "device", "devices", "platform", "precision")
        and before.conditions.get(name) != value
    ]


def _table(found: Sequence[Reproduction]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("score")
    for heading in ("measured", "expected between", "again", "identical"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for each in found:
        expected = "—" if each.low is None else f"{each.low:.4g} and {each.high:.4g}"
        table.add_row(
            Text(each.score),
            "—" if each.measured is None else f"{each.measured:.4g}",
            expected,
            "—" if each.again is None else f"{each.again:.4g}",
            f"{each.identical} of {each.seeds} seeds",
            Text(each.outcome, style=COLOURS[each.outcome]),
        )
    return table
