"""Precision and recall, density and coverage: two manifolds drawn as balls around samples."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.neighbours import memberships, nearest
from genbench.metrics.resampling import mean, rescaled, share
from genbench.store import hash_tensor

Balls: TypeAlias = Literal["open", "closed"]
"""Whether a ball excludes what lies exactly on its border (d < r), or holds it (d ≤ r)."""


def neighbour_radii(x: Tensor, neighbours: int) -> Tensor:
    """Distance of each row of ``(N, D)`` to its k-th nearest other row: ``(N,)``, float64.

    A copy of a row is another row. N > ``neighbours``.
    """
    # The nearest of all is the row itself.
    return nearest(x, x, neighbours + 1, neighbours + 1)[0][:, 0]


_kept: OrderedDict[tuple[str, int], Tensor] = OrderedDict()


def cached_radii(x: Tensor, neighbours: int) -> Tensor:
    """``neighbour_radii``, remembered for the last four sets: one reference or training set, with
    its quadratic number of distances, serves every entry, seed and snapshot."""
    key = hash_tensor(*torch.split(x, 1024)), neighbours  # in parts: each is copied
    if key not in _kept:
        _kept[key] = neighbour_radii(x, neighbours)
    _kept.move_to_end(key)
    while len(_kept) > 4:
        _kept.popitem(last=False)
    return _kept[key].to(x.device)


def manifold_scores(
    reference: Tensor, generated: Tensor, neighbours: int, balls: Balls = "open"
) -> dict[str, Estimate]:
    """``precision``, ``recall``, ``density`` and ``coverage`` of ``(M, D)`` against ``(N, D)``.

    With a ball around every sample that reaches to its k-th nearest of the same set: precision is
    the share of generated samples inside some reference ball, recall the share of reference samples
    inside some generated ball (Kynkäänniemi et al. 2019, eq. 1 and 2); density is 1/(kM) times the
    number of pairs (reference ball, generated sample inside), coverage the share of reference balls
    with a generated sample inside (Naeem et al. 2020). All are in [0, 1] but density, which is in
    [0, N/k] and about 1 for equal distributions.

    Open balls, d < r, are those of prdc, with which most densities and coverages were published;
    closed ones, d ≤ r, those of Kynkäänniemi et al. 2019 and of torch-fidelity. They differ
    where distances tie. Of a sample with k copies or more the radius is 0: open, it holds nothing,
    and sets of copies alone score 0 against themselves; closed, it holds the copies. A note says
    how many radii are 0.

    The intervals of precision and density are over draws of the generated samples, given the balls
    of the reference; those of recall and coverage over draws of the reference samples, given the
    balls of the generated set and the radii of the reference.
    """
    reference_radii = cached_radii(reference, neighbours)
    generated_radii = neighbour_radii(generated, neighbours)
    balls_around_generated = torch.zeros_like(generated_radii, dtype=torch.int64)
    # Small tensors kept from block to block would each pin, in the allocator, the room that a large
    # one has just left: 12 MB a block.
    recalled = torch.empty_like(reference_radii, dtype=torch.bool)
    covered = torch.empty_like(recalled)
    done = 0
    for around_reference, around_generated in memberships(
        reference, reference_radii, generated, generated_radii, closed=balls == "closed"
    ):
        balls_around_generated += around_reference.count_nonzero(dim=0)
        rows = slice(done, done + len(around_reference))
        torch.any(around_reference, dim=1, out=covered[rows])
        torch.any(around_generated, dim=1, out=recalled[rows])
        done = rows.stop
    around = mean(balls_around_generated, least=0.0)
    of_reference, of_generated = (
        _empty(side, radii, neighbours, balls)
        for side, radii in (("reference", reference_radii), ("generated", generated_radii))
    )
    return {
        "precision": replace(share(balls_around_generated > 0), note=of_reference),
        "recall": replace(share(recalled), note=of_generated),
        "density": replace(rescaled(around, lambda number: number / neighbours), note=of_reference),
        "coverage": replace(share(covered), note=of_reference),
    }


def _empty(side: str, radii: Tensor, neighbours: int, balls: Balls) -> str | None:
    """A note on balls of radius 0, if there are any."""
    count = int((radii == 0).sum())
    if count == 0:
        return None
    held = "nothing (of closed balls, the copies)" if balls == "open" else "the copies alone"
    return (
        f"{count} of {len(radii)} {side} radii are 0, of samples with {neighbours} copies or more: "
        f"{balls} balls hold {held}"
    )


class Manifold(FeatureMetric):
    """Improved precision and recall, and density and coverage, from balls of k nearest neighbours.

    One ``neighbours`` serves all four: 5, as in prdc, the implementation of Naeem et al. 2020;
    Kynkäänniemi et al. 2019 take 3 for precision and recall. ``balls``: see ``manifold_scores``. A
    collapsed generator has high precision and low recall and coverage. Needs more than
    ``neighbours`` samples a side.
    """

    outputs: Mapping[str, Output] = {
        "precision": Output(True, "precision", "fidelity", decimals=3),
        "recall": Output(True, "recall", "diversity", decimals=3),
        "density": Output(True, "density", "fidelity", decimals=3),
        "coverage": Output(True, "coverage", "diversity", decimals=3),
    }
    version = 1

    def __init__(self, *, neighbours: int = 5, balls: Balls = "open") -> None:
        super().__init__()
        self.neighbours = neighbours
        self.balls = balls

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        require_rows("manifold", "reference", reference, least=self.neighbours + 1)
        require_rows("manifold", "generated", generated, least=self.neighbours + 1)
        return manifold_scores(reference, generated, self.neighbours, self.balls)


class ClosedManifold(Manifold):
    """The same of closed balls, which hold what lies on their border: for features in which many
    distances tie or samples are copies, as binary vectors."""

    outputs: Mapping[str, Output] = {
        f"{name}_closed": replace(output, heading=f"{output.heading}, closed balls")
        for name, output in Manifold.outputs.items()
    }

    def __init__(self, *, neighbours: int = 5, balls: Balls = "closed") -> None:
        super().__init__(neighbours=neighbours, balls=balls)

    def compute(self) -> Mapping[str, Estimate]:
        return {f"{name}_closed": estimate for name, estimate in super().compute().items()}
