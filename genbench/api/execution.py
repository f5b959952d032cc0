"""Where jobs run: what an executor is handed and what it answers, what a running stage reports, and
the processes that share one job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class ProgressEvent:
    """What a running stage tells the screen."""

    stage: str
    """``train``, ``sample``, ``score``, …"""
    done: int
    total: int
    loss: float | None = None
    rate: float | None = None
    """Samples a second."""
    note: str | None = None
    """What a user should read, in a line of its own."""


ProgressCallback: TypeAlias = Callable[[ProgressEvent], None]

ENDINGS = ("done", "diverged", "failed", "skipped")
"""How a run ends: a record's status, and the stage of the last event that an observer sees."""


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
    plugins: Sequence[str] = ()
    """The plugin files to load."""
    code: Mapping[str, Any] = field(default_factory=dict)
    """What identities and files the code must have that the job loads: see ``registry.HeldCode``.
    """
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
"""Called with each event of a job, as it runs."""


Answers: TypeAlias = Generator[tuple[Job, Rows | Failure], None, None]


class Executor(Protocol):
    """Runs jobs somewhere. A name of the group ``genbench.executors`` is a callable that makes one
    from keyword options."""

    def execute(self, jobs: Sequence[Job], observer: Observer) -> Answers:
        """Run ``jobs`` in any order; yield each once, when it ends. A failing job loses only its
        own rows. Closing the generator ends what still runs."""
        ...


class Ranks(Protocol):
    """Processes that run the same code in the same order; or one that is alone."""

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """What ``function`` returns, or raises, on rank 0, where alone it runs."""
        ...

    def barrier(self, error: BaseException) -> None:
        """For a rank whose work has raised: wait until every rank's has. Raises a ``GenbenchError``
        if one has not."""
        ...
