"""``genbench.run``: whatever of a suite is not finished in a folder, and what the folder is for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from genbench import registry, store
from genbench.api import REAL, Executor, Failure, Job, ProgressEvent, Rows
from genbench.api.errors import DataError, GenbenchError, one_line
from genbench.devices.hardware import DeviceOptions
from genbench.experiment.prepare import PrepareOptions, prepared, require_free, require_sound
from genbench.rendering.progress import Observer, observer_of
from genbench.store.records import (
    RECORDS,
    Record,
    read_records,
    seal,
    sealed,
    write_records,
)
from genbench.suite import SeededEntry, Suite, trainings

if TYPE_CHECKING:
    from genbench.experiment.context import RunContext
    from genbench.experiment.results import Results

TABLE = "table.md"
REPORT = "report.html"
SUITE = "suite.toml"
"""The complete suite as it was run, with all overrides applied."""
WORTH_ESTIMATING = 4000
"""Steps of training, below which a run begins without an estimate of its time: that would take a
good part of it."""


class RunOptions(PrepareOptions, total=False):
    """The keywords of ``run``, which whatever runs a suite takes too."""

    jobs: int | None
    progress: bool | Observer


def run(
    suite: str | Path | Suite,
    out: str | Path | None = None,
    *,
    seeds: Iterable[int] | None = None,
    examples: int | None = None,
    executor: str = "local",
    jobs: int | None = None,
    devices: int | DeviceOptions = 1,
    precision: str | None = None,
    compile: bool | None = None,
    loggers: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
    progress: bool | Observer = True,
) -> Results:
    """Train, sample, score and compare every entry of a suite.

    What is finished in ``out`` is not run again; what was interrupted goes on.

    Args:
        suite: A name, a TOML file, or a ``Suite``.
        out: The run folder, by default ``genbench-NAME``.
        seeds: In place of the suite's.
        examples: The budget of each training, in place of the suite's.
        executor: A name of the registry ``genbench.executors``.
        jobs: Parallel runs, by default as many as the machine has cores or devices for.
        devices: Devices of each run, or all that can be chosen of them.
        precision: ``32-true`` or ``bf16-mixed``, in place of the suite's and the entries'.
        compile: Whether ``torch.compile`` compiles the networks, in place of the suite's
            ``[train] compile``; entries that set it keep theirs.
        loggers: Names of ``genbench.loggers`` that log the trainings too.
        plugins: Python files that register models, data sets, extractors or metrics.
        data_dir: Where data sets lie, or are downloaded to.
        progress: Whether to show it on standard error; or an observer of one's own.

    Under torchrun or SLURM every process calls this: rank 0 returns, and the others end when it
    does (``SystemExit``). Raises ``UsageError`` for what is unknown or does not fit, before
    anything is trained; ``store.CannotWrite``. A run that fails is a row, not an error.
    """
    from genbench.devices.launch import launched_ranks
    from genbench.experiment.context import reopen_data
    from genbench.experiment.results import Results

    reopen_data()
    context, content, brought = prepared(
        suite,
        out,
        seeds=seeds,
        examples=examples,
        executor=executor,
        devices=devices,
        precision=precision,
        compile=compile,
        loggers=loggers,
        plugins=plugins,
        data_dir=data_dir,
    )
    with launched_ranks(context.hardware):
        _Run(context, content, executor, jobs, brought, observer_of(progress)).perform()
    return Results(read_records(context.out), context.out, content)


@dataclass(frozen=True)
class _Run:
    """One call of ``run``, in the process that leads it."""

    context: RunContext
    suite: Suite
    executor: str
    jobs: int | None
    plugins: Sequence[registry.Plugin]
    observer: Observer

    def perform(self) -> None:
        from genbench import experiment

        context, out, note = self.context, self.context.out, self.observer.note
        dataset = self.suite.dataset
        with registry.kept_surroundings():
            groups = trainings(self.suite)
            sound = [group for group in groups if group[0].fault is None]
            if any(experiment.finished(context, group) is None for group in sound):
                require_sound(context, self.suite, sound)
        with store.lock(out, busy=lambda: note(f"waiting: another genbench is at {out}")):
            self._claim()
            experiment.repair_all(context, sound, dataset, lambda event: note(str(event.note)))
            entries_of = {
                experiment.training_job(context, self.suite, group, self.plugins): group
                for group in sound
            }
            found = {job: experiment.finished(context, e) for job, e in entries_of.items()}
            floor = experiment.real_job(context, self.suite, self.plugins)
            found[floor] = experiment.finished_baselines(context, dataset)
            todo = [job for job, records in found.items() if records is None]
            self._announce(sound, len(found) - len(todo))
            self._estimate([entries_of[job] for job in todo if job in entries_of])
            faulty = self._faulty(groups)
            executor = registry.executors.make(self.executor, workers=self.jobs)
            for job, answer in self._answers(executor, todo).items():
                if isinstance(answer, Failure):
                    entries = entries_of.get(job, [])
                    found[job] = experiment.lost(context, dataset, entries, answer.reason)
                else:
                    found[job] = [Record(**row) for row in answer]
            done = [record for rows in found.values() for record in rows or []]
            records = self._in_order([*done, *faulty])
            before = self._stored()
            if todo:  # the records stay, whether or not the timing succeeds
                seal(out, context.name)
                write_records(out, records)
            records = self._timed(executor, groups, records)
            if todo or records != before:
                self._write(records)

    def _claim(self) -> None:
        """Mark the folder as this suite's. Raises ``UsageError`` when it is another's."""
        out = self.context.out
        try:
            claimed = require_free(self.context)
            sealed(out)
        except store.Damaged as error:
            self.observer.note(f"{error}; it is written again")
            claimed = False
        if not claimed:
            seal(out, self.context.name)
        if not sealed(out).get(SUITE, True):
            self.observer.note(f"{out / SUITE} is damaged or gone; it is written again")
        kept = f"# genbench {_revision()}\n{self.suite.to_toml()}"
        with suppress(OSError):
            if store.read_regular(out / SUITE) == kept.encode():
                return
        store.write_text(out / SUITE, kept)

    def _announce(self, groups: Sequence[Sequence[SeededEntry]], finished: int) -> None:
        from genbench.experiment.context import data_notes

        note = self.observer.note
        data_dir = self.context.hardware.data_dir
        for said in data_notes(data_dir, self.suite.dataset, self.suite.score.reference):
            note(said)
        note(f"{len(groups)} trainings, {sum(map(len, groups))} entries to score")
        shared = {tuple(e.name for e in g): g[0].training.model for g in groups if len(g) > 1}
        for names, model in shared.items():
            note(f"{', '.join(names)}: the same {model} weights, trained once")
        if finished:
            note(f"{finished} jobs are finished already")

    def _estimate(self, groups: Sequence[Sequence[SeededEntry]]) -> None:
        """Say how long ``groups`` will take here, if that is long enough to be worth some seconds
        of trying, and what will be left."""
        from genbench.analysis.cells import duration
        from genbench.devices.launch import started
        from genbench.experiment.plan import estimated

        steps = sum(group[0].training.steps for group in groups)
        if started() > 1 or steps < WORTH_ESTIMATING:
            return
        with registry.kept_surroundings():
            plan = estimated(self.suite, groups, self.context.hardware, self.jobs)
        time = "the time cannot be told"
        if plan.seconds is not None:
            time = f"about {duration(plan.seconds)} of training and sampling"
        self.observer.note(
            f"{time} on this {plan.device}, {plan.workers} at a time; then "
            f"{self.context.out / REPORT}, {TABLE} and {RECORDS}"
        )

    def _faulty(self, groups: Sequence[Sequence[SeededEntry]]) -> list[Record]:
        """The failed rows of entries whose model's plugin is at fault: there is no job."""
        from genbench import experiment

        rows = []
        for group in groups:
            fault = group[0].fault
            if fault is not None:
                label = ", ".join(entry.name for entry in group)
                self.observer.note(f"{label} · seed {group[0].training.seed}: failed: {fault}")
                rows += experiment.lost(self.context, self.suite.dataset, group, fault)
        return rows

    def _answers(self, executor: Executor, jobs: Sequence[Job]) -> dict[Job, Rows | Failure]:
        """Those of ``jobs``, whose progress the observer watches."""
        numbers = {job: number for number, job in enumerate(jobs)}
        if not jobs:
            return {}
        answers: dict[Job, Rows | Failure] = {}
        lost = "its executor gave no answer"
        with self.observer.watch([job.label for job in jobs]) as watched:
            running = executor.execute(jobs, lambda job, event: watched(numbers[job], event))
            try:
                with closing(running) as ended:  # an interrupt ends them
                    for job, answer in ended:
                        watched(numbers[job], _ending(answer))
                        answers[job] = answer
            except GenbenchError:
                raise
            except Exception as error:  # of an executor that is a plugin
                lost = f"its executor failed: {one_line(error)}"
                self.observer.note(lost)
        return {job: answers.get(job, Failure(lost)) for job in jobs}

    def _in_order(self, records: Sequence[Record]) -> list[Record]:
        """The row of a codec, which each training in its latent space computes, counts once."""
        rows: dict[tuple[str, int | None], Record] = {}
        for record in sorted(records, key=lambda r: r.status != "done"):
            rows.setdefault((record.entry, record.seed), record)
        others = sorted({r.entry for r in records if r.is_baseline} - {REAL})
        order = [REAL, *others, *self.suite.entries]
        return sorted(rows.values(), key=lambda r: (order.index(r.entry), r.seed or 0))

    def _timed(
        self,
        executor: Executor,
        groups: Sequence[Sequence[SeededEntry]],
        records: Sequence[Record],
    ) -> list[Record]:
        """Seconds per sample, measured alone, on the first seed of each entry."""
        from genbench import experiment

        first: dict[str, SeededEntry] = {}
        for entry in (entry for group in groups for entry in group):
            first.setdefault(entry.name, entry)
        timed, todo = list(records), {}
        for number, record in enumerate(records):
            chosen = first.get(record.entry)
            if chosen is None or not record.scores or chosen.training.seed != record.seed:
                continue
            if "imported" in record.conditions:
                continue
            seconds = experiment.stored_seconds(self.context, chosen)
            if seconds is None:
                job = experiment.timing_job(self.context, self.suite, chosen, self.plugins)
                todo[job] = number
            else:
                timed[number] = _with_seconds(record, seconds)
        for job, answer in self._answers(executor, list(todo)).items():
            record = records[todo[job]]
            if isinstance(answer, Failure):
                self.observer.note(f"{record.entry} was not timed: {answer.reason}")
            else:
                timed[todo[job]] = _with_seconds(record, answer[0]["seconds_per_sample"])
        return timed

    def _stored(self) -> list[Record] | None:
        """The records that the page and the table show, if all three are as they were written,
        by this very suite."""
        out = self.context.out
        found = sealed(out)
        for name, whole in found.items():
            if not whole and name != SUITE:  # which was written again already
                self.observer.note(f"{out / name} is damaged or gone; it is written again")
        try:
            return read_records(out) if found and all(found.values()) else None
        except DataError:
            return None  # of another version's schema

    def _write(self, records: Sequence[Record]) -> None:
        """What the folder is for. None of the three counts before all do."""
        from genbench import rendering
        from genbench.analysis.comparison import document
        from genbench.report import write_report

        out, name = self.context.out, self.context.name
        seal(out, name)
        write_records(out, records)
        store.write_text(out / TABLE, rendering.render(document(records), "markdown"))
        write_report([out], out / REPORT)
        seal(out, name, (SUITE, RECORDS, TABLE, REPORT))


def _ending(answer: Rows | Failure) -> ProgressEvent:
    """The last event of a job: its status, and what it came to."""
    if isinstance(answer, Failure):
        return ProgressEvent("failed", 1, 1, note=answer.reason)
    worst = (row.get("status", "done") for row in answer)
    status = next((status for status in worst if status != "done"), "done")
    return ProgressEvent(status, 1, 1, note=_came_to(answer))


def _came_to(rows: Rows) -> str | None:
    """The headline score of each entry, or the time that was measured."""
    from genbench.analysis.cells import amount
    from genbench.analysis.columns import headline

    if "seconds_per_sample" in rows[0]:
        return f"{amount(rows[0]['seconds_per_sample'], 's')} a sample"
    records = [Record(**row) for row in rows]
    scored = [record for record in records if record.scores]
    if not scored:
        return next((record.reason for record in records), None)
    score = headline(scored, scored[0].protocol)
    found = {record.entry: score.read(record) for record in scored}
    values = [f"{entry} {value:.3g}" for entry, value in found.items() if value is not None]
    if len(records) == 1:
        values = [value.rpartition(" ")[2] for value in values]
    return f"{score.heading} {', '.join(values)}" if values else None


def _with_seconds(record: Record, seconds: float) -> Record:
    return replace(record, cost={**record.cost, "seconds_per_sample": seconds})


def _revision() -> str:
    """genbench's version and, if its source is a git checkout of its own, the commit."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():  # else git would name a checkout around the installation
        return version("genbench")
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        said = subprocess.run(git, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return version("genbench")
    commit = re.sub(r"\s", "", said)
    return f"{version('genbench')}, git revision {commit}"
