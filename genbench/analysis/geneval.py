"""A file of GenEval's results → a row of the leaderboard ``geneval``."""

from __future__ import annotations

from pathlib import Path

from scipy.stats import binomtest

from genbench.analysis.published import GENEVAL
from genbench.analysis.standings import Imported, Standing, StandingScore
from genbench.analysis.statistics import LEVEL
from genbench.io.geneval import Judged, read_results

NOTE = (
    f"Counted in GenEval's results, in brackets Wilson's {LEVEL:.0%} interval of a task, as if its "
    "images were independent; those of one prompt are not, and the interval is too narrow. The "
    "results do not say whether the model was given the prompts in other words"
)


def imported(path: Path) -> Imported:
    """The row of the results in ``path``, a ``.jsonl`` file, whose name without the suffix names
    the model.

    The score of a task is the share of its images that are correct, with the interval of Wilson
    1927; the overall score is the mean of the tasks' scores, without an interval. Raises what
    ``read_results`` does.
    """
    found = read_results(path)
    scores = {GENEVAL: StandingScore(found.overall)}
    scores |= {f"{GENEVAL}_{tag}": _score(task) for tag, task in found.tasks.items()}
    row = Standing(
        rank=None,
        label=str(path.with_suffix("")),
        settings="",
        scores=scores,
        nfe=None,
        origin=str(path),
        note=NOTE,
        imported=True,
    )
    return Imported(row, found.images, {"prompts": found.prompts})


def _score(task: Judged) -> StandingScore:
    interval = binomtest(task.correct, task.images).proportion_ci(LEVEL, method="wilson")
    return StandingScore(task.share, float(interval.low), float(interval.high))
