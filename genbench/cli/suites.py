"""``genbench run``: the main job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genbench import store, suite
from genbench.api import REAL
from genbench.api.errors import DataError, UsageError, one_line
from genbench.cli.screen import console, screen
from genbench.store.records import MARKER, RECORDS, read_records, seal, sealed, write_records
from genbench.suite import SeededEntry, Suite

if TYPE_CHECKING:
    from genbench.cli.options import Place
    from genbench.devices.hardware import Hardware
    from genbench.executors.local import Job
    from genbench.experiment import RunContext
    from genbench.store.records import Record

TABLE = "table.md"
REPORT = "report.html"


def run(
    name: str,
    out: Path,
    overrides: Sequence[str],
    *,
    seeds: Sequence[int] | None,
    jobs: int | None,
    precision: str | None,
    place: Place,
    dry_run: bool,
    loggers: tuple[str, ...],
    plugins: Sequence[Path],
    data_dir: Path,
) -> int:
    """Returns the exit status: 0, or 1 when some run failed by a fault."""
    started = time.perf_counter()
    content = described(name, overrides, precision)
    hardware = place.hardware(data_dir)
    if dry_run:
        from genbench.cli.planning import show_plan

        show_plan(content, seeds, hardware, jobs)
        return 0
    records = perform(Path(name).stem, content, out, hardware, seeds, jobs, plugins, loggers)
    if records is None:
        return 0
    from genbench import rendering
    from genbench.analysis import comparison, verdict
    from genbench.analysis.claims import offered

    rendering.show(comparison.document(records))
    claims, faults = offered()
    for fault in faults:
        say(fault)
    rendering.show(verdict.document(verdict.applicable(records, claims)))
    say(f"{out / REPORT}, {TABLE} and {RECORDS}: {time.perf_counter() - started:.0f} s in all")
    return status(records)


def described(name: str, overrides: Sequence[str], precision: str | None) -> Suite:
    """The suite that the command line describes. Raises ``UsageError``."""
    content = suite.load(name, overrides)
    if precision is None:
        return content
    return suite.with_precision(content, suite.precision(precision))


def perform(
    name: str,
    content: Suite,
    out: Path,
    hardware: Hardware,
    seeds: Sequence[int] | None,
    jobs: int | None,
    plugins: Sequence[Path],
    loggers: tuple[str, ...] = (),
) -> list[Record] | None:
    """Run whatever of a suite is not finished in ``out``, and write records, table and report
    there. The records; ``None`` in a process that torchrun or SLURM started to help with them."""
    from genbench.devices.launch import launched_ranks
    from genbench.experiment import RunContext

    context = RunContext(
        name=name,
        out=out,
        hardware=hardware,
        samples=content.samples,
        score=content.score,
        loggers=loggers,
    )
    with launched_ranks(hardware) as leads:
        return _perform(context, content, seeds, jobs, plugins) if leads else None


def _perform(
    context: RunContext,
    content: Suite,
    seeds: Sequence[int] | None,
    jobs: int | None,
    plugins: Sequence[Path],
) -> list[Record]:
    from genbench import experiment
    from genbench.executors.local import Job, default_workers, execute

    out = context.out
    overridden = [section.train.threads or 1 for section in content.entries.values()]
    threads = max(content.train.threads, *overridden)
    groups = suite.trainings(content, seeds)
    sound = [group for group in groups if group[0].fault is None]
    store.require_own(out, MARKER)
    if any(experiment.finished(context, group) is None for group in sound):
        _check(context, content, sound)
    with store.lock(out, busy=lambda: say(f"waiting: another genbench is at {out}")):
        _claim(out, context.name)
        experiment.repair_all(context, sound, content.dataset, lambda event: say(str(event.note)))
        found = {
            Job(_label(g), content.dataset, tuple(g)): experiment.finished(context, g)
            for g in sound
        }
        floor = Job(REAL, content.dataset)
        found[floor] = experiment.finished_real(context, content.dataset)
        todo = [job for job, records in found.items() if records is None]
        _announce(sound, len(found) - len(todo))
        found |= _faulty(context, content, groups)
        if todo:
            workers = min(jobs or default_workers(context.hardware, threads), len(todo))
            with screen(todo) as show:
                found |= execute(
                    context, todo, workers=workers, threads=threads, plugins=plugins, show=show
                )
        records = _in_order([r for rows in found.values() for r in rows or []], content)
        before = _stored(out)
        if todo:  # what is known stands, whatever becomes of the timing
            seal(out, context.name)
            write_records(out, records)
        records = _timed(context, groups, records)
        if records != before:
            _write(out, context.name, records)
    return records


def status(records: Sequence[Record]) -> int:
    """The exit status: 1 when some run failed by a fault."""
    return int(any(record.status == "failed" or record.faults for record in records))


def _faulty(
    context: RunContext, content: Suite, groups: Sequence[Sequence[SeededEntry]]
) -> dict[Job, list[Record]]:
    """The failed rows of entries whose model's plugin is at fault: there is nothing to execute."""
    from genbench import experiment
    from genbench.executors.local import Job

    rows = {}
    for group in groups:
        fault = group[0].fault
        if fault is not None:
            console.print(f"{_label(group)}: failed: {fault}", markup=False, soft_wrap=True)
            job = Job(_label(group), content.dataset, tuple(group))
            rows[job] = experiment.lost(context, content.dataset, group, fault)
    return rows


def _write(out: Path, name: str, records: Sequence[Record]) -> None:
    """What the folder is for. None of the three counts before all do."""
    from genbench import rendering
    from genbench.analysis import comparison
    from genbench.report import write_report

    seal(out, name)
    write_records(out, records)
    store.write_text(out / TABLE, rendering.render(comparison.document(records), "markdown"))
    write_report([out], out / REPORT)
    seal(out, name, (RECORDS, TABLE, REPORT))


def _stored(out: Path) -> list[Record] | None:
    """The records that the page and the table in ``out`` show, where all three are as they were
    written."""
    found = sealed(out)
    for name, whole in found.items():
        if not whole:
            say(f"{out / name} is damaged or gone; it is written anew")
    try:
        return read_records(out) if found and all(found.values()) else None
    except DataError:
        return None  # of another version's schema


def _check(context: RunContext, content: Suite, groups: Sequence[Sequence[SeededEntry]]) -> None:
    """What can be known to be wrong is told before anything is written."""
    from genbench import evaluation, experiment

    context.scorer(content.dataset).rehearse()
    evaluation.resolve(content.score.snapshots.metrics, content.score.seed)
    for group in groups:
        if group[0].training.seed == groups[0][0].training.seed:
            context.hardware.require_shares(group[0].training.batch)
            experiment.check_sampling(context.hardware, group)


def _claim(out: Path, name: str) -> None:
    """Mark ``out`` as this suite's. Raises ``UsageError`` when it belongs to something else."""
    store.require_own(out, MARKER)
    try:
        metadata = store.read_metadata(out / MARKER)
    except store.Damaged as error:
        say(f"{error}; it is written anew")
        metadata = None
    if metadata is not None and metadata["suite"] != name:
        raise UsageError(f"{out} belongs to the suite {metadata['suite']!r}; name another --out")
    if metadata is None:
        seal(out, name)


def say(line: str) -> None:
    """On standard error, whatever it holds."""
    console.print(line, markup=False, soft_wrap=True)


def _label(group: Sequence[SeededEntry]) -> str:
    names = ", ".join(entry.name for entry in group)
    return f"{names} · seed {group[0].training.seed}"


def _announce(groups: Sequence[Sequence[SeededEntry]], finished: int) -> None:
    console.print(f"{len(groups)} trainings, {sum(map(len, groups))} entries to score")
    shared = {tuple(e.name for e in g): g[0].training.model for g in groups if len(g) > 1}
    for names, model in shared.items():
        said = f"{', '.join(names)}: the same {model} weights, trained once"
        console.print(said, markup=False, soft_wrap=True)
    if finished:
        console.print(f"{finished} jobs are finished already")


def _in_order(records: Sequence[Record], content: Suite) -> list[Record]:
    order = [REAL, *content.entries]
    return sorted(records, key=lambda r: (order.index(r.entry), r.seed or 0))


def _timed(
    context: RunContext, groups: Sequence[Sequence[SeededEntry]], records: Sequence[Record]
) -> list[Record]:
    """Seconds per sample, measured alone, on the first seed of each entry."""
    from genbench import experiment

    first: dict[str, SeededEntry] = {}
    for entry in (entry for group in groups for entry in group):
        first.setdefault(entry.name, entry)
    timed = []
    for record in records:
        chosen = first.get(record.entry)
        if chosen is not None and record.scores and chosen.training.seed == record.seed:
            try:
                seconds = experiment.seconds_per_sample(context, chosen)
            except store.CannotWrite:
                raise
            except Exception as error:
                say(f"{record.entry} was not timed: {one_line(error)}")
            else:
                record = replace(record, cost={**record.cost, "seconds_per_sample": seconds})
        timed.append(record)
    return timed
