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
from genbench.errors import DataError, UsageError, one_line
from genbench.results import RECORDS, read_records, write_records
from genbench.suite import Entry, SuiteFile
from genbench.types import REAL

if TYPE_CHECKING:
    from genbench.results import Record
    from genbench.runner import Bench

MARKER = "genbench.json"
TABLE = "table.md"
REPORT = "report.html"


def run(
    name: str,
    out: Path,
    overrides: Sequence[str],
    seeds: Sequence[int] | None,
    jobs: int | None,
    device: str,
    dry_run: bool,
    plugins: Sequence[Path],
    data_dir: Path,
) -> int:
    """Returns the exit status: 0, or 1 when some run failed by a fault."""
    started = time.perf_counter()
    content = suite.load(name, overrides)
    overridden = [section.train.threads or 1 for section in content.entries.values()]
    threads = max(content.train.threads, *overridden)
    if dry_run:
        _print_plan(content, seeds)
        return 0

    from genbench import runner, tables
    from genbench.executors.local import Job, execute

    bench = runner.Bench(
        name=Path(name).stem,
        out=out,
        host=runner.Host(data_dir, runner.choose_device(device)),
        samples=content.samples,
        score=content.score,
    )
    groups = suite.trainings(content, seeds)
    storage.require_own(out, MARKER)
    if any(runner.finished(bench, group) is None for group in groups):
        _check(bench, content, groups)
    _claim(out, bench.name)
    with storage.lock(out, busy=lambda: console.print(f"waiting: another genbench is at {out}")):
        found = {
            Job(_label(g), content.dataset, tuple(g)): runner.finished(bench, g) for g in groups
        }
        floor = Job(REAL, content.dataset)
        found[floor] = runner.finished_real(bench, content.dataset)
        todo = [job for job, records in found.items() if records is None]
        _announce(groups, len(found) - len(todo))
        if todo:
            workers = min(jobs or _side_by_side(bench.host.device, threads), len(todo))
            with screen(todo) as show:
                found |= execute(
                    bench, todo, workers=workers, threads=threads, plugins=plugins, show=show
                )
        records = _in_order([r for rows in found.values() for r in rows or []], content)
        before = _stored(out)
        if todo:
            write_records(out, records)  # what is known stands, whatever becomes of the timing
        records = _timed(bench, groups, records)
        if records != before:
            _write(out, records)
    tables.show(records)
    seconds = time.perf_counter() - started
    where = f"{out / REPORT}, {TABLE} and {RECORDS}: {seconds:.0f} s in all"
    console.print(where, markup=False, soft_wrap=True)
    return int(any(record.status == "failed" for record in records))


def _write(out: Path, records: Sequence[Record]) -> None:
    """What the folder is for; the report, by which ``_stored`` knows a whole set, comes last."""
    from genbench import tables
    from genbench.report import write_report

    (out / REPORT).unlink(missing_ok=True)
    write_records(out, records)
    storage.write_text(out / TABLE, tables.render(records, "markdown"))
    write_report([out], out / REPORT)


def _stored(out: Path) -> list[Record] | None:
    """The records that the page and the table in ``out`` show, where all three are there."""
    if not all((out / name).is_file() for name in (TABLE, REPORT, RECORDS)):
        return None
    try:
        return read_records(out)
    except DataError:
        return None


def _check(bench: Bench, content: SuiteFile, groups: Sequence[Sequence[Entry]]) -> None:
    """What can be known to be wrong is told before anything is written."""
    from genbench import evaluation, runner

    bench.scorer(content.dataset)
    evaluation.resolve(content.score.snapshots.metrics, content.score.seed)
    for group in groups:
        if group[0].training.seed == groups[0][0].training.seed:
            runner.check_sampling(bench.host, group)


def _side_by_side(device: str, threads: int) -> int:
    """Runs at once: one on an accelerator, as many on a CPU as its cores allow."""
    if device != "cpu":
        return 1
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, cores // threads)


def _claim(out: Path, name: str) -> None:
    """Mark ``out`` as this suite's. Raises ``UsageError`` when it belongs to something else."""
    storage.require_own(out, MARKER)
    card = storage.read_card(out / MARKER)
    if card is not None and card["suite"] != name:
        raise UsageError(f"{out} belongs to the suite {card['suite']!r}; name another --out")
    if card is None:
        storage.write_card(out / MARKER, {"suite": name})


def _label(group: Sequence[Entry]) -> str:
    names = ", ".join(entry.name for entry in group)
    return f"{names} · seed {group[0].training.seed}"


def _announce(groups: Sequence[Sequence[Entry]], finished: int) -> None:
    console.print(f"{len(groups)} trainings, {sum(map(len, groups))} entries to score")
    shared = {tuple(e.name for e in g): g[0].training.model for g in groups if len(g) > 1}
    for names, model in shared.items():
        said = f"{', '.join(names)}: the same {model} weights, trained once"
        console.print(said, markup=False, soft_wrap=True)
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
            try:
                seconds = runner.seconds_per_sample(bench, chosen)
            except Exception as error:
                console.print(
                    f"{record.entry} was not timed: {one_line(error)}", markup=False, soft_wrap=True
                )
            else:
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
