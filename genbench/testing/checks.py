"""A promise of a plugin, tried; and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from unittest import SkipTest

from genbench.api.errors import GenbenchError, UsageError, one_line
from genbench.registry import kept_surroundings

if TYPE_CHECKING:
    import pytest

DATA = ("digits", "points-ring")
"""What models and extractors are tried on, unless told otherwise: pictures and points."""

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class CheckFailed(GenbenchError):
    """A promise that a plugin does not keep: the promise, then what was seen."""


@dataclass(frozen=True)
class Result:
    """How one check ended."""

    status: str
    """``kept``, ``broken`` or ``skipped``."""
    reason: str = ""
    """What was seen, where a promise is broken; why it could not be tried, where it is skipped."""
    error: BaseException | None = None
    """What the plugin raised, if it did."""


@dataclass(frozen=True, eq=False)
class Check:
    """One promise, on one kind of samples; it is tried once, when it is first asked for."""

    promise: str
    about: str
    """The samples that it is tried on; empty where it takes none."""
    attempt: Callable[[], str | None]
    """``None``, or in one line what breaks the promise. Whatever it raises breaks it too, but for a
    ``SkipTest`` or a ``UsageError``: a plugin refuses samples with the latter."""
    needs: Sequence[Check] = ()
    """Checks without which this one would tell of their fault, not of its own."""

    @cached_property
    def result(self) -> Result:
        for need in self.needs:
            if need.result.status != PASSED:
                return Result(SKIPPED, need.cause)
        try:
            with kept_surroundings():
                reason = self.attempt()
        except SkipTest as refusal:
            return Result(SKIPPED, " ".join(str(refusal).split()))
        except UsageError as refusal:
            return Result(SKIPPED, one_line(refusal))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Result(FAILED, one_line(error), error)
        return Result(PASSED) if reason is None else Result(FAILED, reason)

    @property
    def cause(self) -> str:
        """Why those that need this check are skipped."""
        if self.result.status == SKIPPED:
            return self.result.reason
        return f"tried only where this is kept: {self.promise}"

    def __call__(self) -> None:
        """Raises ``CheckFailed``; ``unittest.SkipTest``, as pytest understands, with the reason."""
        if self.result.status == FAILED:
            raise CheckFailed(f"{self.promise}: {self.result.reason}") from self.result.error
        if self.result.status == SKIPPED:
            raise SkipTest(self.result.reason)

    def __str__(self) -> str:
        return f"{self.about}: {self.promise}" if self.about else self.promise


def parametrize_with_checks(checks: Sequence[Check]) -> pytest.MarkDecorator:
    """A pytest decorator: the test's argument ``check`` becomes each of ``checks`` in turn."""
    import pytest

    return pytest.mark.parametrize("check", checks, ids=str)


def all_refused(checks: Sequence[Check], advice: str) -> str | None:
    """An attempt: that not each of ``checks``, which differ in their samples, refuses its own."""
    if any(check.result.status != SKIPPED for check in checks):
        return None
    return "; ".join([*(f"{check.about}: {check.result.reason}" for check in checks), advice])
