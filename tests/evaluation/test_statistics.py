"""References that are published statistics, alone or beside samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import genbench
from genbench.api import SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.data import open_samples


def test_published_statistics_give_a_frechet_distance_alone(tmp_path: Path) -> None:
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    other = torch.randn(400, 2, generator=torch.Generator().manual_seed(1)).double() + 1
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=other.mean(0).numpy(), sigma=other.T.cov().numpy())
    wanted = ["frechet_distance", "precision", "memorized"]
    scores = genbench.evaluate(points, path, extractor="identity", metrics=wanted)
    samples = genbench.evaluate(points, other, extractor="identity", metrics=wanted)
    value = scores.values["frechet_distance"]
    assert scores.values.keys() == {"frechet_distance"}
    assert value.value == pytest.approx(samples.values["frechet_distance"].value, rel=1e-6)
    assert value.low is not None
    assert value.note is None
    assert "holds statistics" in scores.skipped["precision"]
    assert scores.protocol["reference"].startswith("file:statistics.npz@")


def test_statistics_beside_samples_give_the_frechet_distance_and_samples_the_rest(
    tmp_path: Path,
) -> None:
    """As the reference batches of guided-diffusion have them: of more samples than they hold."""
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    held = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    mu, sigma = np.array([3.0, 4.0]), np.diag([4.0, 9.0])
    path = tmp_path / "batch.npz"
    np.savez(path, arr_0=held.numpy(), mu=mu, sigma=sigma)
    wanted = ["frechet_distance", "kernel_distance", "precision", "recall"]
    scores = genbench.evaluate(points, path, extractor="identity", metrics=wanted)
    alone = genbench.evaluate(points, held, extractor="identity", metrics=wanted)
    assert scores.skipped == {}
    # Heusel et al. 2017: |m₁ - m₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)
    x = points.double().numpy()
    cov = np.cov(x, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(cov @ sigma)).sum().real
    known = ((x.mean(0) - mu) ** 2).sum() + np.trace(cov + sigma) - 2 * root
    assert scores.values["frechet_distance"].value == pytest.approx(known, rel=1e-9)
    assert alone.values["frechet_distance"].value < known / 10
    for name in wanted[1:]:
        assert scores.values[name] == alone.values[name]
    (note,) = scores.notes
    assert note.startswith("frechet_distance: from the statistics in file:batch.npz")
    assert any(line.startswith("statistics: ") for line in scores.differences(alone))
    few = genbench.evaluate(points, path, extractor="identity", metrics=["precision"])
    assert "statistics" not in few.protocol
    np.savez(path, arr_0=held.numpy(), mu=mu, sigma=2 * sigma)
    other = genbench.evaluate(points, path, extractor="identity", metrics=["precision"])
    assert other.protocol["reference"] != few.protocol["reference"]


def test_statistics_of_another_network_beside_samples_leave_these(tmp_path: Path) -> None:
    points, held = torch.randn(50, 2), torch.randn(60, 2)
    path = tmp_path / "batch.npz"
    np.savez(path, samples=held.numpy(), mu=np.zeros(3), sigma=np.eye(3))
    options = {"extractor": "identity", "metrics": ["frechet_distance"]}
    scores = genbench.evaluate(points, path, **options)  # type: ignore[arg-type]
    alone = genbench.evaluate(points, held, **options)  # type: ignore[arg-type]
    values = [one.values["frechet_distance"].value for one in (scores, alone)]
    assert values[0] == values[1]
    assert "from the samples in file:batch.npz: its statistics are of 3 features" in scores.notes[0]


def test_a_mu_and_a_sigma_that_are_no_statistics(tmp_path: Path) -> None:
    """Of a normalisation, or of each sample's latent code."""
    held = torch.randn(60, 2).numpy()
    plain = open_samples(str(_saved(tmp_path, samples=held)), tmp_path).id
    for mu, sigma in ((0.5, 0.5), (np.zeros(2), np.ones(2)), (np.zeros((60, 4)),) * 2):
        path = _saved(tmp_path, samples=held, mu=mu, sigma=sigma)
        assert open_samples(str(path), tmp_path).id == plain


def _saved(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    return folder / "x.npz"


def test_scores_that_need_no_reference_do_not_mind_statistics(
    halves: tuple[TensorSamples, TensorSamples], tmp_path: Path
) -> None:
    train, test = halves
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=np.zeros(64), sigma=np.eye(64))
    wanted = ["vendi_score", "inception_score", "memorized", "authenticity"]
    scores = genbench.evaluate(test, path, train=train, extractor="digits", metrics=wanted)
    beside = genbench.evaluate(test, train, train=train, extractor="digits", metrics=wanted)
    assert scores.skipped == {}
    assert scores.values == beside.values
    other = TensorSamples(SampleSpec("image", (1, 4, 4), 17), "other", train.data[..., :4, :4])
    with pytest.raises(UsageError, match="does not fit other"):
        genbench.evaluate(test, path, train=other, extractor="digits", metrics=wanted)


def test_statistics_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    scores = genbench.evaluate(
        torch.randn(50, 2), path, extractor="identity", metrics=["frechet_distance"]
    )
    assert scores.skipped["frechet_distance"] == (
        "frechet_distance: the reference has 3 features a sample, the generated samples have 2"
    )
