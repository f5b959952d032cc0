"""The command line in this process, its jobs too, on a suite of toys that takes a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forked import jobs_inside

from genbench import registry
from genbench.cli import main
from genbench.experiment import real
from genbench.report import page
from genbench.report.diagnostics import read_history
from genbench.report.neighbours import read_neighbours
from genbench.report.samples import read_preview
from genbench.store.records import Record, read_records

TOY = Path(__file__).parents[1] / "plugins" / "toy.py"

SUITE = """
title = "Toys"
dataset = "points-ring"
seeds = [0]
examples = 64
samples = 64

[score]
extractor = "identity"
reference = "points-ring:test"
metrics = ["frechet_distance", "memorized"]
snapshots = { count = 1, samples = 64 }

[train]
batch = 32

[entries.Toy]
model = "toy"

[entries."Toy, wide"]
model = "toy"
sample = { scale = 0.5 }
"""


def call(*arguments: str | Path) -> Result:
    """Nothing but an exit leaves the command: a traceback fails the test."""
    registry.add_plugin_file(TOY)
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def write_suite(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toys.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@contextmanager
def in_this_process() -> Iterator[None]:
    """Jobs are run one after another, where faults can be injected; with fewer real draws, and a
    page that reads everything and draws nothing."""

    def undrawn(records: Sequence[Record], suites: Sequence[Path] = ()) -> str:
        for record in records:
            if "history" in record.files:
                read_history(record)
            read_preview(Path(record.files["samples"]))
            if "neighbours" in record.files:
                read_neighbours(Path(record.files["neighbours"]))
        return f"{len(records)} records\n"

    with jobs_inside(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "page", undrawn)
        patch.setattr(real, "REAL_DRAWS", 2)
        yield


def comparable(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder without what the clock says."""
    return [_without_times(record) for record in read_records(folder)]


def _without_times(record: Record) -> dict[str, Any]:
    timed = ("training_seconds", "seconds_per_sample")
    cost = {name: value for name, value in record.cost.items() if name not in timed}
    return {**vars(record), "cost": cost}
