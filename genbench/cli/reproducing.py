"""``genbench reproduce``: a measured row, trained, sampled and scored again from its record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from genbench import rendering, suite
from genbench.analysis import reproduction
from genbench.api.errors import DataError, UnknownName, UsageError
from genbench.cli.suites import perform
from genbench.devices.hardware import Hardware
from genbench.experiment import RunContext
from genbench.store.protocol import Protocol, protocol_differences
from genbench.store.records import Record, read_records

OUTSIDE = 3
"""Exit status where a score is not what its record makes one expect."""


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
    names = [name.strip() for name in scores.split(",")] if scores else list(before[0].outputs)[:1]
    for name in names:
        if name not in before[0].outputs:
            raise UnknownName(f"score of {label}", name, before[0].outputs)
    content = suite.parse(f"the record of {label}", reproduction.recipe(before))
    out = out or Path("genbench-reproduce-" + re.sub(r"[^\w.-]+", "-", label))
    name = f"reproduce {what}"
    context = RunContext(
        name=name, out=out, hardware=hardware, samples=content.samples, score=content.score
    )
    _require_protocol(before[0], context.protocol(content.dataset))
    records = perform(name, content, out, hardware, seeds, jobs, plugins)
    if records is None:
        return 0
    after = [record for record in records if record.seed is not None]
    found = [reproduction.reproduced(before, after, name) for name in names]
    shown = reproduction.document(label, before, after, found)
    if as_json:
        click.echo(rendering.render(shown, "json"), nl=False)
    else:
        rendering.show(shown)
    return OUTSIDE if any(each.outcome == "outside" for each in found) else 0


def _require_protocol(before: Record, now: Protocol) -> None:
    different = protocol_differences(before.protocol, now)
    if different:
        raise DataError(f"the scoring protocol cannot be had again: {'; '.join(different)}")
