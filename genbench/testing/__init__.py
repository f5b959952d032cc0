"""Conformance checks: what a plugin promises, tried on a model, data set, extractor or metric.

``check_model(my_model)`` raises ``CheckFailed`` for the first promise that fails. Under pytest
each is a test of its own::

    from genbench.testing import model_checks, parametrize_with_checks

    @parametrize_with_checks(model_checks(my_model))
    def test_my_model(check):
        check()

The others likewise; ``genbench check`` prints every promise, and what became of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from genbench.testing.checks import FAILED, Check, CheckFailed, Result, parametrize_with_checks
from genbench.testing.datasets import dataset_checks
from genbench.testing.extractors import extractor_checks
from genbench.testing.metrics import metric_checks
from genbench.testing.models import model_checks

__all__ = [
    "Check",
    "CheckFailed",
    "Result",
    "check_dataset",
    "check_extractor",
    "check_metric",
    "check_model",
    "dataset_checks",
    "extractor_checks",
    "metric_checks",
    "model_checks",
    "parametrize_with_checks",
]

P = ParamSpec("P")


def _raising(checks_of: Callable[P, list[Check]]) -> Callable[P, None]:
    """Takes what ``checks_of`` takes. Raises ``CheckFailed`` for the first promise that fails."""

    def check_all(*args: P.args, **kwargs: P.kwargs) -> None:
        for check in checks_of(*args, **kwargs):
            if check.result.status == FAILED:
                check()

    return check_all


check_model = _raising(model_checks)
check_dataset = _raising(dataset_checks)
check_extractor = _raising(extractor_checks)
check_metric = _raising(metric_checks)
