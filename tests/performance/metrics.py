"""Fréchet distance and manifold scores against the libraries whose numbers they equal.

Memory is what a fresh process holds at its most, less what it held with the features alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from prdc import compute_prdc
from race import fastest
from ratio import Ratio
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from genbench.metrics.frechet import frechet_distance
from genbench.metrics.manifold import manifold_scores

NEIGHBOURS = 5


def measure(tiny: bool = False) -> Iterator[Ratio]:
    """Seconds, the least of rounds that alternate, and megabytes; the results must agree."""
    count, width, rounds = (300, 32, 1) if tiny else (10_000, 2048, 3)
    yield from frechet(width, rounds)
    yield from manifold(count, width, rounds)


def frechet(width: int, rounds: int) -> list[Ratio]:
    """From the same two Gaussians: correlated, of full rank, variances over several decades."""
    torch.manual_seed(0)
    mixture = torch.randn(width, width) * torch.logspace(0, -1, width)[:, None]
    gaussians = [
        statistics((torch.randn(4 * width, width) @ mixture).double() * scale) for scale in (1, 1.1)
    ]
    (mu1, sigma1), (mu2, sigma2) = gaussians
    theirs = [{"mu": mu.numpy(), "sigma": sigma.numpy()} for mu, sigma in gaussians]
    values: dict[str, float] = {}
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: frechet_distance(mu1, sigma1, mu2, sigma2),
        "torch-fidelity": lambda: next(
            iter(fid_statistics_to_metric(*theirs, verbose=False).values())
        ),
        "torchmetrics": lambda: float(_compute_fid(mu1, sigma1, mu2, sigma2)),
    }
    seconds = fastest(
        {name: lambda name=name: values.update({name: runs[name]()}) for name in runs}, rounds
    )
    scale = float(sigma1.trace() + sigma2.trace())
    ratios = []
    for peer, target in {"torch-fidelity": 0.4, "torchmetrics": 0.35}.items():
        apart = abs(values["ours"] - values[peer]) / scale
        if apart > 1e-9:
            raise AssertionError(f"{peer} has another distance, {apart:.0e} of the traces apart")
        what = f"Fréchet distance at {width:,} features"
        note = f"{peer}, {apart:.0e} of the traces apart"
        ratios.append(Ratio(what, seconds["ours"], seconds[peer], "s", False, target, note))
    return ratios


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), x.T.cov()


def manifold(count: int, width: int, rounds: int) -> list[Ratio]:
    """Each in processes of its own, since memory once taken is kept."""
    runs = [(alone("ours", count, width), alone("theirs", count, width)) for _ in range(rounds)]
    ours, theirs = (list(zip(*side, strict=True)) for side in zip(*runs, strict=True))
    if ours[2] != theirs[2]:
        raise AssertionError(f"not the same scores: {ours[2][0]} and {theirs[2][0]}")
    size = f"{count:,} × {width:,} a side"
    note = "prdc, equal counts"
    return [
        Ratio(f"precision … coverage, {size}", min(ours[0]), min(theirs[0]), "s", False, 0.3, note),
        Ratio(f"the same, memory, {size}", max(ours[1]), min(theirs[1]), "MB", False, 0.1, note),
    ]


def alone(who: str, count: int, width: int) -> tuple[float, float, str]:
    """Seconds, megabytes and the scores."""
    done = subprocess.run(
        [sys.executable, __file__, who, str(count), str(width)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    seconds, megabytes, scores = done.stdout.splitlines()[-3:]
    return float(seconds), float(megabytes), scores


def score(who: str, count: int, width: int) -> None:
    random = np.random.default_rng(0)
    real, fake = (random.normal(size=(count, width)) * (1 + 0.01 * i) for i in (0, 1))
    run: dict[str, Callable[[int], Mapping[str, float]]] = {
        "ours": lambda n: {
            name: estimate.value
            for name, estimate in manifold_scores(
                torch.from_numpy(real[:n]), torch.from_numpy(fake[:n]), NEIGHBOURS
            ).items()
        },
        "theirs": lambda n: compute_prdc(real[:n], fake[:n], NEIGHBOURS),
    }
    run[who](50)  # what is loaded once is no part of either
    resident("clear")
    before = resident("VmRSS")
    start = time.perf_counter()
    scores = run[who](count)
    seconds = time.perf_counter() - start
    print(seconds)
    print((resident("VmHWM") - before) / 1e3)
    print({name: float(scores[name]) for name in ("precision", "recall", "density", "coverage")})


def resident(what: str) -> float:
    """Kilobytes that Linux says this process holds, or held at its most; ``clear`` starts anew."""
    if what == "clear":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return 0.0
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(what))


if __name__ == "__main__":
    score(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
