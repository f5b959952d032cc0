"""Results of GenEval (Ghosh et al. 2023), as its evaluation code writes them
(https://github.com/djghosh13/geneval, ``evaluation/evaluate_images.py``): a ``.jsonl`` file with an
object for each image.

The images were judged there, by GenEval's detector. Here the judgements are counted, as
``evaluation/summary_scores.py`` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from genbench.api.errors import DataError, UsageError, did_you_mean
from genbench.io.files import shown
from genbench.io.rows import Row, read_rows

TASKS = {
    "single_object": "single object",
    "two_object": "two object",
    "counting": "counting",
    "colors": "colors",
    "position": "position",
    "color_attr": "color attribution",
}
"""The tag of each task in the file → its name in the paper."""

OWN_PROMPTS = "GenEval's 553"
_OWN_PROMPTS_SHA256 = "db13d3b9aa8c662809a99c92f2af07b46958f6017d12755e52462a5a9fc428d7"
"""Of the prompts in ``prompts/evaluation_metadata.jsonl``, sorted, a line each."""


@dataclass(frozen=True)
class Judged:
    """The images of one task."""

    correct: int
    images: int

    @property
    def share(self) -> float:
        """Of correct images, in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True)
class GenEvalResults:
    """What a file of results says."""

    tasks: Mapping[str, Judged]
    """By tag, each of ``TASKS``."""
    prompts: str
    """``OWN_PROMPTS``, or how many others."""

    @property
    def images(self) -> int:
        """Of all tasks."""
        return sum(task.images for task in self.tasks.values())

    @property
    def overall(self) -> float:
        """The mean of the shares of the six tasks, which have unequal numbers of images: not the
        share of all images."""
        return fmean(task.share for task in self.tasks.values())


def read_results(path: Path) -> GenEvalResults:
    """The results in a ``.jsonl`` file.

    Raises ``UsageError`` for another suffix; ``DataError``, which names the line, for what is no
    result of an image, an unknown task and an image that is there twice, and for a file without
    images of a task.
    """
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"{shown(path)}: GenEval's results are a .jsonl file")
    verdicts: dict[str, list[bool]] = {tag: [] for tag in TASKS}
    prompts = set[str]()
    first: dict[str, str] = {}
    for row in read_rows(path):
        tag, correct = row.text("tag"), _correct(row)
        if tag not in TASKS:
            raise DataError(f"{row.where}: no task {tag!r}{did_you_mean(tag, TASKS)}")
        name = row.text("filename")
        if name in first:
            raise DataError(f"{row.where}: the image {name!r} is at {first[name]}, too")
        first[name] = row.where
        verdicts[tag].append(correct)
        prompts.add(row.text("prompt"))
    missing = [tag for tag, of_task in verdicts.items() if not of_task]
    if missing:
        raise DataError(
            f"{shown(path)}: no images of {', '.join(missing)}; the overall score is the mean of "
            f"all {len(TASKS)} tasks"
        )
    tasks = {tag: Judged(sum(of_task), len(of_task)) for tag, of_task in verdicts.items()}
    digest = hashlib.sha256("\n".join(sorted(prompts)).encode()).hexdigest()
    own = digest == _OWN_PROMPTS_SHA256
    return GenEvalResults(tasks, OWN_PROMPTS if own else f"{len(prompts):,} others")


def _correct(row: Row) -> bool:
    value = row.fields.get("correct")
    if not isinstance(value, bool):
        near = "" if "correct" in row.fields else did_you_mean("correct", row.fields)
        raise DataError(f"{row.where}: 'correct' is neither true nor false{near}")
    return value
