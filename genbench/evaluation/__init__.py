"""Samples + reference + extractor + metrics → scores, with their protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from genbench.api import ProgressCallback, Samples
from genbench.data import from_array, open_reference, open_samples
from genbench.devices.ranks import ALONE, Ranks
from genbench.evaluation.choice import every_output, resolve
from genbench.evaluation.embedding import embed
from genbench.evaluation.scorer import Scorer, check_fit, scorer
from genbench.evaluation.scores import Scores
from genbench.io.moments import Moments

__all__ = [
    "DEFAULT_METRICS",
    "VERSION",
    "Scorer",
    "Scores",
    "check_fit",
    "embed",
    "evaluate",
    "every_output",
    "resolve",
    "scorer",
]

SamplesLike: TypeAlias = "str | Path | Tensor | np.ndarray[Any, Any] | Samples"
"""``dataset:split``, a file, a folder of pictures, a tensor or an array ``(N, …)``, ``Samples``."""

VERSION = 4
"""Increased whenever the same samples and protocol would give other scores."""

DEFAULT_METRICS = (
    "frechet_distance",
    "kernel_distance",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi_score",
    "memorized",
)


def evaluate(
    samples: SamplesLike,
    reference: SamplesLike | Moments,
    *,
    train: SamplesLike | None = None,
    extractor: str = "inception",
    extractor_options: Mapping[str, Any] | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    data_dir: str | Path = "data",
    device: str = "cpu",
    ranks: Ranks = ALONE,
    report: ProgressCallback = lambda event: None,
) -> Scores:
    """Score anybody's samples against a reference.

    ``samples``, ``reference`` and ``train``: see ``SamplesLike``. ``reference`` may also be an
    ``.npz`` of published statistics (``mu`` and ``sigma``), with which only the Fréchet distance is
    computed; one that holds samples too gives the other scores from these. Without ``train``,
    metrics that need the training set are skipped, with the reason. ``ranks``: the processes that
    share the work, if there are several. Raises ``UsageError`` if something is unknown or does not
    fit.
    """

    def opened(source: SamplesLike) -> Samples:
        if isinstance(source, (str, Path)):
            return open_samples(str(source), Path(data_dir))
        return from_array(source) if isinstance(source, (Tensor, np.ndarray)) else source

    generated = opened(samples)
    against: Samples | Moments
    if isinstance(reference, (str, Path)):
        against = open_reference(str(reference), Path(data_dir))
    else:
        against = reference if isinstance(reference, Moments) else opened(reference)
    if not isinstance(against, Moments):
        check_fit(generated, against)
    score = scorer(
        reference=against,
        spec=generated.spec,
        train=None if train is None else opened(train),
        extractor=extractor,
        extractor_options=extractor_options,
        outputs=metrics,
        seed=seed,
        device=device,
    )
    return score(generated, ranks=ranks, report=report)
