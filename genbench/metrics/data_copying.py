"""Data copying: are samples nearer to the training set than unseen data? (Meehan et al. 2020)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Set

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.api.errors import UsageError
from genbench.api.seeding import derive
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.neighbours import nearest

COMPONENTS = 64
"""Principal components of the training features that are kept at most, as in dgm-eval."""

MORE_THAN = 20
"""Generated samples that a cell must hold to count."""


def mann_whitney_z(x: Tensor, y: Tensor) -> float:
    """The z-score of the number of pairs with x > y, ties by half, of ``(N,)`` and ``(M,)``.

    Standard normal for equal distributions, far below 0 where ``x`` tends to be smaller. As in
    Meehan et al.'s code, the mean NM/2 is lowered by ½, a correction for continuity.
    """
    n, m = len(x), len(y)
    ordered = y.sort().values
    below, up_to = torch.searchsorted(ordered, x), torch.searchsorted(ordered, x, right=True)
    pairs = float((below + up_to).sum()) / 2
    return (pairs - (n * m / 2 - 0.5)) / math.sqrt(n * m * (n + m + 1) / 12)


def data_copying(
    train: Tensor, reference: Tensor, generated: Tensor, cells: int, seed: int
) -> float:
    """C_T (Meehan et al. 2020): the mean over cells of ``mann_whitney_z`` of the distances
    to the cell's nearest training sample, generated against reference.

    ``(T, D)``, ``(N, D)`` and ``(M, D)``. Beyond 64 dimensions the first 64 principal components of
    the training set stand for them. The cells are those of k-means on the training set, weighted by
    their share of the reference; one counts where it holds more than 20 generated samples. Raises
    ``UsageError`` if no cell with a reference sample does.
    """
    from sklearn.cluster import KMeans  # slow to import, and only needed here
    from sklearn.exceptions import ConvergenceWarning

    train, reference, generated = _reduced(train, reference, generated)
    clusters = KMeans(cells, n_init=10, random_state=derive(seed, "data_copying") % 2**32)
    with warnings.catch_warnings():
        # Of fewer different training samples than cells, where some stay empty, and do not count.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters.fit(train.cpu().numpy())
    of_train, of_reference, of_generated = (
        torch.from_numpy(clusters.predict(x.cpu().numpy())).to(x.device)
        for x in (train, reference, generated)
    )
    weights: list[int] = []
    scores: list[float] = []
    for cell in range(cells):
        neighbours = train[of_train == cell]
        unseen, made = reference[of_reference == cell], generated[of_generated == cell]
        if len(unseen) > 0 and len(made) > MORE_THAN:
            to_made, _ = nearest(made, neighbours, 1, 1)
            to_unseen, _ = nearest(unseen, neighbours, 1, 1)
            weights.append(len(unseen))
            scores.append(mann_whitney_z(to_made[:, 0], to_unseen[:, 0]))
    if not weights:
        raise UsageError(
            f"data_copying needs a cell with reference samples and more than {MORE_THAN} generated "
            f"ones; there is none among {cells}"
        )
    return sum(w * z for w, z in zip(weights, scores, strict=True)) / sum(weights)


def _reduced(train: Tensor, *others: Tensor) -> list[Tensor]:
    """All sets, float64; along the principal components of ``train`` if they have more
    dimensions."""
    sets = [x.double() for x in (train, *others)]
    if train.shape[1] <= COMPONENTS:
        return sets
    centre = sets[0].mean(dim=0)
    centred = [x - centre for x in sets]
    _, directions = torch.linalg.eigh(centred[0].T @ centred[0])  # from the least to the largest
    return [x @ directions[:, -COMPONENTS:] for x in centred]


class DataCopying(FeatureMetric):
    """C_T: a z-score below 0 where generated samples lie nearer to the training samples than unseen
    reference samples do, and above 0 where they lie farther.

    About 0 is best; far below 0 the training set is copied, far above it the data are missed. It is
    called better the higher it is, since it looks for copies. It has no interval, being a test: for
    equal distributions its standard deviation is at most 1 (1 for one cell). It grows with the root
    of the counts: compare at equal counts. Needs as many training samples as ``cells``.
    """

    sides: Set[str] = frozenset({"train", "reference", "generated"})
    outputs: Mapping[str, Output] = {
        "data_copying": Output(
            True, "data copying, C_T", "memorization", decimals=2, floor="reference"
        )
    }
    version = 1

    def __init__(self, *, cells: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.cells = cells
        self.seed = seed

    def compute(self) -> Mapping[str, Estimate]:
        train = self.all_of("train")
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        require_rows("data_copying", "train", train, least=self.cells)
        score = data_copying(train, reference, generated, self.cells, self.seed)
        return {"data_copying": Estimate(score)}
