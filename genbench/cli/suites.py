"""``genbench run``: the main job."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genbench import storage, suite
from genbench.cli.screen import console, screen
from genbench.errors import UsageError
from genbench.results import write_records
from genbench.suite import Entry, SuiteFile
from genbench.types import REAL

if TYPE_CHECKING:
    from genbench.results import Record
    from genbench.runner import Bench

MARKER = "genbench.json"


def run(
    name: str,
    out: Path,
    overrides: Sequence[str],
    seeds: Sequence[int] | None,
    jobs: int | None,
    dry_run: bool,
    plugins: Sequence[Path],
    data_dir: Path,
) -> int:
    """Returns the exit status: 0, or 1 when some run failed by a fault."""
    started = time.perf_counter()
    content = suite.load(name, overrides)
    overridden = [section.train.threads or 1 for section in content.entries.values()]
    threads = max(content.train.threads, *overridden)
    # Before torch starts work: a small net is fastest on one thread a process.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if dry_run:
        _print_plan(content, seeds)
        return 0

    from genbench import runner, tables
    from genbench.executors.local import Job, execute
    from genbench.report import write_report

    bench = runner.Bench(
        name=Path(name).stem,
        out=out,
        host=runner.Host(data_dir),
        samples=content.samples,
        score=content.score,
    )
    bench.scorer(content.dataset)  # what it does not know, it tells before anything is written
    groups = suite.trainings(content, seeds)
    _claim(out, name)
    with storage.lock(out, busy=lambda: console.print(f"waiting: another genbench is at {out}")):
        found = {
            Job(_label(g), content.dataset, tuple(g)): runner.finished(bench, g) for g in groups
        }
        floor = Job(REAL, content.dataset)
        found[floor] = runner.finished_real(bench, content.dataset)
        todo = [job for job, records in found.items() if records is None]
        _announce(groups, len(found) - len(todo))
        if todo:
            workers = min(jobs or max(1, (os.cpu_count() or 1) // threads), len(todo))
            with screen(todo) as show:
                found |= execute(
                    bench, todo, workers=workers, threads=threads, plugins=plugins, show=show
                )
        records = [record for job in found for record in found[job] or []]
        records = _in_order(records, content)
        records = _timed(bench, groups, records)
        write_records(out, records)
        storage.write_text(out / "table.md", tables.render(records, "markdown"))
        write_report([out], out / "report.html")
    tables.show(records)
    seconds = time.perf_counter() - started
    console.print(f"{out}/report.html, table.md and records.jsonl written; {seconds:.0f} s in all")
    return int(any(record.status == "failed" for record in records))


def _claim(out: Path, name: str) -> None:
    """Mark ``out`` as ours. Raises ``UsageError`` when it belongs to something else."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    marker = out / MARKER
    if storage.read_card(marker) is not None:
        return
    if out.is_dir() and any(path.name != ".lock" for path in out.iterdir()):
        raise UsageError(f"--out {out} belongs to something else: it holds files but no {MARKER}")
    storage.write_card(marker, {"genbench": 1, "suite": name})


def _label(group: Sequence[Entry]) -> str:
    names = ", ".join(entry.name for entry in group)
    return f"{names} · seed {group[0].training.seed}"


def _announce(groups: Sequence[Sequence[Entry]], finished: int) -> None:
    console.print(f"{len(groups)} trainings, {sum(map(len, groups))} entries to score")
    shared = {tuple(e.name for e in g): g[0].training.model for g in groups if len(g) > 1}
    for names, model in shared.items():
        console.print(f"{', '.join(names)}: the same {model} weights, trained once")
    if finished:
        console.print(f"{finished} jobs are finished already")


def _in_order(records: Sequence[Record], content: SuiteFile) -> list[Record]:
    order = [REAL, *content.entries]
    return sorted(records, key=lambda r: (order.index(r.entry), r.seed or 0))


def _timed(
    bench: Bench, groups: Sequence[Sequence[Entry]], records: Sequence[Record]
) -> list[Record]:
    """Seconds per sample, measured alone, on the first seed of each entry."""
    from genbench import runner

    first: dict[str, Entry] = {}
    for entry in (entry for group in groups for entry in group):
        first.setdefault(entry.name, entry)
    timed = []
    for record in records:
        chosen = first.get(record.entry)
        if chosen is not None and record.scores and chosen.training.seed == record.seed:
            seconds = runner.seconds_per_sample(bench, chosen)
            record = replace(record, cost={**record.cost, "seconds_per_sample": seconds})
        timed.append(record)
    return timed


def _print_plan(content: SuiteFile, seeds: Sequence[int] | None) -> None:
    import click

    click.echo(f"{content.title}: {content.dataset}, {content.samples} samples an entry")
    for group in suite.trainings(content, seeds):
        training = group[0].training
        click.echo(f"train {training.label}: {training.steps * training.batch} images")
        for entry in group:
            click.echo(f"  {entry.name}: sample {dict(entry.sample) or 'as the model does'}")
