"""Our scores against those of other implementations, on the same features.

    python tests/performance/agreement.py [--json]

Differences are relative: of a Fréchet distance to tr Σ₁ + tr Σ₂, of the others to the value, or to
1 where that is larger. Each row is the largest difference over its cases; in the peers' square
roots of singular products more is lost to rounding than in ours.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass

import click
import numpy as np
import torch
from cleanfid.fid import frechet_distance as clean_fid
from cleanfid.fid import kernel_distance as clean_kid
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance as pytorch_fid
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import _compute_fid
from vendi_score import vendi

from genbench.metrics.frechet import frechet_distance
from genbench.metrics.inception_score import inception_scores
from genbench.metrics.kernel import polynomial_mmd2
from genbench.metrics.manifold import manifold_scores
from genbench.metrics.vendi import vendi_score


@dataclass(frozen=True)
class Agreement:
    """How far one score is from a peer's."""

    score: str
    peer: str
    cases: int
    difference: float
    """The largest, relative."""
    tolerance: float


def measure() -> Iterator[Agreement]:
    """Every score that a peer computes from the same features."""
    yield from frechet()
    yield from kernel()
    yield from manifold()
    yield inception()
    yield vendi_scores()


def sets() -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of features: of full rank and not, equal, with a feature that never changes."""
    torch.manual_seed(0)
    mixture = torch.randn(64, 64) * torch.logspace(0, -2, 64)[:, None]

    def draw(count: int, shift: float) -> Tensor:
        return (torch.randn(count, 64) @ mixture + shift).double()

    constant = draw(500, 0.3)
    constant[:, 5] = 2
    same = draw(500, 0)
    return {
        "full rank": (draw(500, 0), draw(700, 0.2)),
        "fewer samples than features": (draw(40, 0), draw(50, 0.2)),
        "one set of full rank": (draw(40, 0), draw(500, 0.2)),
        "equal": (same, same),
        "a constant feature": (constant, draw(500, 0)),
    }


def frechet() -> Iterator[Agreement]:
    cases = {}
    for name, pair in sets().items():
        (mu1, sigma1), (mu2, sigma2) = ((x.mean(0), x.T.cov()) for x in pair)
        ours = frechet_distance(mu1, sigma1, mu2, sigma2)
        arrays = [moment.numpy() for moment in (mu1, sigma1, mu2, sigma2)]
        one, other = ({"mu": mu, "sigma": sigma} for mu, sigma in (arrays[:2], arrays[2:]))
        theirs = {
            "pytorch-fid": pytorch_fid(*arrays),
            "clean-fid": clean_fid(*arrays),
            "torch-fidelity": next(iter(fid_statistics_to_metric(one, other, False).values())),
            "torchmetrics": float(_compute_fid(mu1, sigma1, mu2, sigma2)),
        }
        scale = float(sigma1.trace() + sigma2.trace())
        cases[name] = {peer: abs(ours - value) / scale for peer, value in theirs.items()}
    for peer in next(iter(cases.values())):
        yield largest("Fréchet distance", peer, [case[peer] for case in cases.values()], 1e-6)


def kernel() -> Iterator[Agreement]:
    by_peer: dict[str, list[float]] = {"torch-fidelity": [], "clean-fid": []}
    for x, y in sets().values():
        size = min(len(x), len(y))
        x, y = x[:size], y[:size]
        ours = polynomial_mmd2(x, y).value
        whole = {"kid_subsets": 1, "kid_subset_size": size, "verbose": False, "rng_seed": 0}
        theirs = kid_features_to_metric(x, y, **whole)["kernel_inception_distance_mean"]
        by_peer["torch-fidelity"].append(relative(ours, theirs))
        theirs = clean_kid(x.numpy(), y.numpy(), num_subsets=1, max_subset_size=size)
        by_peer["clean-fid"].append(relative(ours, theirs))
    for peer, differences in by_peer.items():
        yield largest("kernel distance, one subset of all", peer, differences, 1e-9)


def manifold() -> Iterator[Agreement]:
    by_peer: dict[str, list[float]] = {"prdc": [], "torch-fidelity": []}
    for x, y in sets().values():
        ours = {name: e.value for name, e in manifold_scores(x, y, 5).items()}
        theirs = compute_prdc(x.numpy(), y.numpy(), 5)
        by_peer["prdc"].append(max(abs(ours[name] - theirs[name]) for name in theirs))
    # Closed balls there, open ones here: equal where no two distances are.
    for name in ("full rank", "fewer samples than features", "one set of full rank"):
        x, y = sets()[name]
        ours = {name: e.value for name, e in manifold_scores(x, y, 3).items()}
        options = {"prc_neighborhood": 3, "prc_batch_size": 1000, "verbose": False}
        prc = prc_features_to_metric(y, x, **options, save_cpu_ram=False)
        by_peer["torch-fidelity"].append(
            max(abs(ours[name] - float(prc[name])) for name in ("precision", "recall"))
        )
    # Equal counts: what differs is the rounding of their shares, there in float32.
    yield largest("precision, recall, density, coverage", "prdc", by_peer["prdc"], 1e-15)
    yield largest("precision, recall", "torch-fidelity", by_peer["torch-fidelity"], 1e-7)


def inception() -> Agreement:
    differences = []
    for splits in (1, 5, 10):
        logits = 3 * torch.randn(1003, 20, generator=torch.Generator().manual_seed(splits))
        ours = float(inception_scores(logits, splits).mean())
        theirs = isc_features_to_metric(logits, splits, shuffle=False)
        differences.append(relative(ours, theirs["inception_score_mean"]))
    return largest("inception score, without a shuffle", "torch-fidelity", differences, 1e-9)


def vendi_scores() -> Agreement:
    differences = []
    for x, _ in sets().values():
        ours = vendi_score(x).value
        differences.append(relative(ours, vendi.score_dual(x.numpy(), normalize=True)))
    return largest("Vendi score", "vendi-score", differences, 1e-9)


def relative(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(1.0, abs(theirs))


def largest(score: str, peer: str, differences: list[float], tolerance: float) -> Agreement:
    # Not ``max``, which may pass over a NaN.
    return Agreement(score, peer, len(differences), float(np.max(differences)), tolerance)


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(as_json: bool) -> None:
    # Some of what the peers call is outdated, and some of them print.
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        rows = list(measure())
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print("| score | peer | cases | largest difference |")
    print("|---|---|---:|---:|")
    for row in rows:
        said = "none" if row.difference == 0 else f"{row.difference:.0e}"
        print(f"| {row.score} | {row.peer} | {row.cases} | {said} |")


if __name__ == "__main__":
    main()
