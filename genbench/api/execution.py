"""Executors: the jobs that they receive, and the rows that they return."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from genbench.api.progress import ProgressEvent


@dataclass(frozen=True)
class Resources:
    """The resources that one job needs."""

    devices: int = 1
    """Processes of the job, each with its own device."""
    threads: int = 1
    """CPU threads of each process."""
    memory: int | None = None
    """MiB; ``None``: unknown."""
    minutes: int | None = None
    """``None``: unknown."""
    alone: bool = False
    """Whether no other job may run at the same time, as when time is measured."""


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work as plain data: ``asdict`` gives what JSON can hold, if nothing is
    ``in_memory``, and ``Job.load`` reads it. Every job equals itself alone."""

    label: str
    command: Literal["training", "real", "timing"]
    content: Mapping[str, Any]
    """The part of the resolved suite that the job computes, and where: see ``experiment.work``."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """The plugin files to load, each with the hash that it must still have."""
    resources: Resources = Resources()
    in_memory: tuple[Any, ...] = ()
    """Models of a notebook, which are pickled and never written into a file: a job that has any
    runs on this machine alone."""

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> Job:
        """The job whose ``asdict`` is ``fields``. Raises ``TypeError`` for another mapping."""
        return cls(**{**fields, "resources": Resources(**fields.get("resources", {}))})


Rows: TypeAlias = list[dict[str, Any]]
"""The records of a training or of the real row as JSON holds them; of a timing, one row of
``entry``, ``seed`` and ``seconds_per_sample``."""


@dataclass(frozen=True)
class Failure:
    """A job that gave no rows, with the reason in one line."""

    reason: str


Observer: TypeAlias = Callable[[Job, ProgressEvent], None]
"""Called with each event of a job; the last one's stage is one of ``ENDINGS``."""


Answers: TypeAlias = Generator[tuple[Job, Rows | Failure], None, None]


class Executor(Protocol):
    """Runs jobs somewhere. A name of the group ``genbench.executors`` is a callable that makes one
    from keyword options."""

    def execute(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        """Run ``jobs`` in any order; yield each once, when it ends. A failing job loses only its
        own rows. Closing the generator ends what still runs."""
        ...
