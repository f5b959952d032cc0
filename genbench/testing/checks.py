"""A check: one promise of a plugin, and the result of trying it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from genbench.api.errors import GenbenchError, UsageError, one_line
from genbench.registry import check_options, kept_surroundings, schema

if TYPE_CHECKING:
    import pytest

DATA = ("digits", "points-ring")
"""The default data sets for models and extractors: pictures and points."""

OPTIONS = "are keyword-only and annotated, with valid defaults"
"""The promise of all factories: their signature is their schema."""

PASSED, FAILED, SKIPPED, NOT_OFFERED = "passed", "failed", "skipped", "not offered"


class CheckFailed(GenbenchError):
    """A failed check: the promise, then what was seen."""


class NotOffered(Exception):
    """Raised by an attempt whose promise is about something that the plugin does not offer, and
    need not offer; the argument is its name."""


@dataclass(frozen=True)
class Result:
    """How one check ended."""

    status: str
    """``passed``, ``failed``, ``skipped`` or ``not offered``."""
    reason: str = ""
    """What was seen, if it failed; why it could not be tried, if it was skipped; what is not
    offered."""
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
    ``SkipTest``, a ``NotOffered`` or a ``UsageError``: a plugin refuses samples with the last."""
    needs: Sequence[Check] = ()
    """Checks that must pass first; otherwise this one would report their fault."""

    @cached_property
    def result(self) -> Result:
        for need in self.needs:
            if need.result.status != PASSED:
                return Result(SKIPPED, need.cause)
        try:
            with kept_surroundings():
                reason = self.attempt()
        except NotOffered as name:
            return Result(NOT_OFFERED, str(name))
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
        return f"tried only if this check passes: {self.promise}"

    def __call__(self) -> None:
        """Raises ``CheckFailed``; ``unittest.SkipTest``, as pytest understands, with the reason.
        Nothing is wrong with a plugin that does not offer what the promise is about."""
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


def all_refused(checks: Sequence[Check], advice: str) -> None:
    """An attempt: that not each of ``checks``, which differ in their samples, refuses its own.
    Raises ``SkipTest`` if each does: data that do not fit are no fault of the plugin."""
    if all(check.result.status == SKIPPED for check in checks):
        said = [f"{check.about}: {check.result.reason}" for check in checks]
        raise SkipTest("; ".join([*said, advice]))


def untried(checks: Sequence[Check]) -> str | None:
    """Why nothing of a plugin could be tried on any samples, if that is so and nothing failed."""
    on_samples = [check for check in checks if check.about] or checks
    seen = {check.result.status for check in on_samples} - {SKIPPED, NOT_OFFERED}
    if seen or any(check.result.status == FAILED for check in checks):
        return None
    return next(check.result.reason for check in checks if check.result.status == SKIPPED)


def wrong_options(
    function: Callable[..., Any], arguments: tuple[str, ...], chosen: Mapping[str, Any]
) -> str | None:
    """Why a function does not keep the promise ``OPTIONS``, or ``None``.

    ``arguments``: what the harness passes by position. ``chosen``: options given, and valid.
    """
    parameters = inspect.signature(function).parameters.values()
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(by_position) < len(arguments):
        return f"it does not take ({', '.join(arguments)}) by position"
    for extra in by_position[len(arguments) :]:
        return f"{extra.name!r} is not keyword-only, so that no suite can set it"
    options = schema(function)
    for name, parameter in options.items():
        if parameter.annotation is parameter.empty:
            return f"{name!r} has no annotation, so that a wrong value is not reported"
    defaults = {name: p.default for name, p in options.items() if p.default is not p.empty}
    try:
        check_options("it", function, {**defaults, **chosen})
    except UsageError as error:
        return str(error)
    return None
