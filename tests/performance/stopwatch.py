"""A plugin that times the stages of a run where they happen: in its worker processes.

Each stage appends its seconds to the file that ``GENBENCH_STOPWATCH`` names.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genbench import evaluation, sampling
from genbench.training import loop


def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_time(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            line = f"{stage} {time.perf_counter() - start}\n"
            with Path(os.environ["GENBENCH_STOPWATCH"]).open("a", encoding="utf-8") as file:
                file.write(line)

    return with_time


loop.train = timed("train", loop.train)
sampling.draw = timed("sample", sampling.draw)
sampling.seconds_per_block = timed("time", sampling.seconds_per_block)
evaluation.Scorer.__call__ = timed("score", evaluation.Scorer.__call__)  # type: ignore[method-assign]
