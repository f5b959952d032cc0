"""Conformance checks: what a plugin promises, tried on a model, data set, extractor or metric.

``check_model(my_model)`` raises ``CheckFailed`` for the first promise that fails, and
``unittest.SkipTest``, as pytest understands, if no data fit. Under pytest each is a test of its
own::

    from genbench.testing import model_checks, parametrize_with_checks

    @parametrize_with_checks(model_checks(my_model))
    def test_my_model(check):
        check()

The other kinds work in the same way. ``genbench check`` prints every promise with its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec
from unittest import SkipTest

from genbench import registry
from genbench.api.errors import UnknownName, UsageError
from genbench.testing.checks import (
    DATA,
    FAILED,
    Check,
    CheckFailed,
    Result,
    parametrize_with_checks,
    untried,
)
from genbench.testing.datasets import dataset_checks
from genbench.testing.extractors import extractor_checks
from genbench.testing.metrics import metric_checks
from genbench.testing.models import model_checks
from genbench.testing.reads import opened_files, undeclared_reads

__all__ = [
    "Check",
    "CheckFailed",
    "Result",
    "check",
    "check_dataset",
    "check_extractor",
    "check_metric",
    "check_model",
    "dataset_checks",
    "extractor_checks",
    "metric_checks",
    "model_checks",
    "parametrize_with_checks",
    "undeclared",
]

P = ParamSpec("P")


def check(
    kind: str,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    data: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
) -> list[Check]:
    """The promises of a registered ``model``, ``dataset``, ``extractor`` or ``metric``; each is
    tried when its ``result`` is asked for.

    ``data``: data sets to try a model or an extractor on, by default digits and points-ring.
    Raises ``UsageError``.
    """
    opened_files()
    registry.add_plugin_files(plugins)
    chosen, where = dict(options or {}), Path(data_dir)
    if data and kind not in ("model", "extractor"):
        raise UsageError(f"--data is for models and extractors, not for a {kind}")
    if kind == "model":
        return model_checks(name, options=chosen, data=data or DATA, data_dir=where)
    if kind == "extractor":
        return extractor_checks(name, options=chosen, data=data or DATA, data_dir=where)
    if kind == "metric":
        return metric_checks(name, options=chosen)
    if kind != "dataset":
        raise UnknownName("kind of plugin", kind, ("model", "dataset", "extractor", "metric"))
    if chosen:
        raise UsageError("--option: a dataset has no options; write NAME:ARGUMENT")
    dataset, _, argument = name.partition(":")
    return dataset_checks(dataset, argument, data_dir=where)


def undeclared(kind: str, name: str, *, data_dir: str | Path = "data") -> list[Path]:
    """The files that were read while a plugin was checked and that its identity does not hold: if
    one of them changes, results that rest on it are not computed again."""
    (group,) = (group for group in registry.GROUPS if group.kind == kind)
    registered = name.partition(":")[0] if kind == "dataset" else name
    return undeclared_reads(group.code(registered), [Path(data_dir)])


def _raising(checks_of: Callable[P, list[Check]]) -> Callable[P, None]:
    """Takes what ``checks_of`` takes. Raises ``CheckFailed`` for the first promise that fails;
    ``unittest.SkipTest`` if no data fit, so that nothing could be tried."""

    def check_all(*args: P.args, **kwargs: P.kwargs) -> None:
        checks = checks_of(*args, **kwargs)
        for check in checks:
            if check.result.status == FAILED:
                check()
        if (reason := untried(checks)) is not None:
            raise SkipTest(reason)

    return check_all


check_model = _raising(model_checks)
check_dataset = _raising(dataset_checks)
check_extractor = _raising(extractor_checks)
check_metric = _raising(metric_checks)
