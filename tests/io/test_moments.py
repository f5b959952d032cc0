"""Published statistics: every layout that is in use, and every way in which one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.api.errors import DataError
from genbench.io import moments
from genbench.io.moments import open_moments

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6)) + 3
MU, SIGMA = FEATURES.mean(axis=0), np.cov(FEATURES, rowvar=False)


def saved(folder: Path, **arrays: object) -> Path:
    path = folder / "statistics.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_moments(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_mean_and_covariance_as_pytorch_fid_and_edm_save_them(tmp_path):
    held = open_moments(saved(tmp_path, mu=MU, sigma=SIGMA))
    assert held is not None
    assert held.mean.dtype == held.covariance.dtype == torch.float64
    assert np.array_equal(held.mean.numpy(), MU)
    assert np.allclose(held.covariance.numpy(), SIGMA, rtol=0, atol=1e-15)
    assert torch.equal(held.covariance, held.covariance.T)
    assert held.count is None
    assert held.id.startswith("file:statistics.npz@")


def test_compressed_and_with_more_beside(tmp_path):
    known = open_moments(saved(tmp_path, mu=MU, sigma=SIGMA))
    path = tmp_path / "more.npz"
    np.savez_compressed(path, mu=MU, sigma=SIGMA, name=np.array("cifar10"), step=7)
    held = open_moments(path)
    assert known is not None
    assert held is not None
    assert torch.equal(held.covariance, known.covariance)
    assert held.id.partition("@")[2] == known.id.partition("@")[2]
    assert held.id.startswith("file:more.npz@")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4", np.float16])
def test_features_as_score_sde_saves_them(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(moments, "_ROWS", 7)  # several parts, the last one short
    features = FEATURES.astype(dtype)
    path = saved(tmp_path, pool_3=features, logits=np.zeros((50, 10)))
    held = open_moments(path)
    assert held is not None
    exact = features.astype(np.float64)
    assert np.allclose(held.mean.numpy(), exact.mean(axis=0), rtol=1e-14)
    assert np.allclose(held.covariance.numpy(), np.cov(exact, rowvar=False), rtol=1e-12, atol=1e-13)
    assert held.count == 50


def test_a_mean_far_from_zero_cancels_nothing(tmp_path):
    features = RNG.normal(size=(500, 3)) + 1e6
    held = open_moments(saved(tmp_path, pool_3=features))
    assert held is not None
    assert np.allclose(held.covariance.numpy(), np.cov(features, rowvar=False), rtol=1e-9)


def test_the_id_follows_the_numbers(tmp_path):
    near = SIGMA.copy()
    near[0, 0] = np.nextafter(near[0, 0], 1e9)
    contents = [
        {"mu": MU, "sigma": SIGMA},
        {"mu": MU + 1e-12, "sigma": SIGMA},
        {"mu": MU, "sigma": near},
        {"pool_3": FEATURES},
        {"pool_3": FEATURES[::-1]},
    ]
    ids = [open_moments(saved(tmp_path, **content)).id for content in contents]  # type: ignore[union-attr]
    assert len(set(ids)) == len(contents)


@pytest.mark.parametrize(
    "sigma",
    [
        SIGMA.astype(np.float32),
        SIGMA.astype(np.float32) * (1 + np.triu(np.full((6, 6), 1e-6))),  # summed in two orders
        np.cov(FEATURES[:3], rowvar=False),  # fewer samples than features
        np.cov(FEATURES[:3], rowvar=False).astype(np.float32),
        np.zeros((6, 6)),  # constant features
        np.diag([0.0, 0, 1, 1, 1, 1]),
        1e-20 * SIGMA,
        np.diag([1, 2, 3, 4, 5, 6]),
    ],
)
def test_covariances_of_any_rank(tmp_path, sigma):
    held = open_moments(saved(tmp_path, mu=MU, sigma=sigma))
    assert held is not None
    assert torch.equal(held.covariance, held.covariance.T)


def test_no_statistics(tmp_path):
    images = np.zeros((3, 4, 4, 3), np.uint8)
    for arrays in (
        {"samples": images},
        {"images": images, "mu": MU, "sigma": SIGMA},
        {"x": images},
    ):
        assert open_moments(saved(tmp_path, **arrays)) is None
    # ADM's reference batches hold pictures, and statistics of more pictures than these.
    assert open_moments(saved(tmp_path, arr_0=images, mu=MU, sigma=SIGMA)) is None
    assert open_moments(saved(tmp_path, mu=MU)) is None
    np.save(tmp_path / "x.npy", MU)
    assert open_moments(tmp_path / "x.npy") is None
    assert open_moments(tmp_path) is None
    (tmp_path / "folder.npz").mkdir()
    assert open_moments(tmp_path / "folder.npz") is None


ASYMMETRIC = SIGMA + np.triu(np.full((6, 6), 0.01))


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        ({"mu": MU[:5], "sigma": SIGMA}, "mu has the shape (5,) and sigma (6, 6)"),
        ({"mu": MU, "sigma": SIGMA[:5]}, "not (D,) and (D, D)"),
        ({"mu": MU, "sigma": SIGMA.diagonal()}, "not (D,) and (D, D)"),
        ({"mu": MU[None], "sigma": SIGMA}, "not (D,) and (D, D)"),
        ({"mu": np.float64(1), "sigma": np.float64(1)}, "not (D,) and (D, D)"),
        ({"mu": MU[:0], "sigma": SIGMA[:0, :0]}, "not (D,) and (D, D)"),
        ({"mu": MU, "sigma": np.where(SIGMA > 0, SIGMA, np.nan)}, "mu or sigma holds NaN"),
        ({"mu": MU * np.inf, "sigma": SIGMA}, "mu or sigma holds NaN or infinity"),
        ({"mu": MU, "sigma": ASYMMETRIC}, "sigma is no covariance: it is not symmetric"),
        ({"mu": MU, "sigma": -SIGMA}, "sigma is no covariance: it has negative eigenvalues"),
        ({"mu": MU, "sigma": np.ones((6, 6)) - np.eye(6)}, "it has negative eigenvalues"),
        ({"mu": MU, "sigma": SIGMA.astype(complex)}, "sigma is of type complex128"),
        ({"mu": MU.astype("U8"), "sigma": SIGMA}, "mu is of type <U8, not of numbers"),
        ({"mu": MU > 0, "sigma": SIGMA}, "mu is of type bool"),
        ({"pool_3": FEATURES[:1]}, "pool_3 has the shape (1, 6), not (N, D) with N > 1"),
        ({"pool_3": FEATURES[0]}, "pool_3 has the shape (6,)"),
        ({"pool_3": FEATURES[:, :0]}, "pool_3 has the shape (50, 0)"),
        ({"pool_3": FEATURES[:, None, None]}, "pool_3 has the shape (50, 1, 1, 6)"),
        ({"pool_3": np.where(FEATURES > 3, np.inf, FEATURES)}, "pool_3 holds NaN or infinity"),
    ],
)
def test_what_are_no_statistics(tmp_path, arrays, cause):
    assert cause in refusal(saved(tmp_path, **arrays))


def test_objects_are_refused(tmp_path):
    assert "refused" in refusal(saved(tmp_path, mu=np.array([{}]), sigma=SIGMA))


def test_missing_empty_and_truncated_files(tmp_path):
    path = tmp_path / "statistics.npz"
    assert "No such file" in refusal(path)
    path.write_bytes(b"")
    assert "the file is empty" in refusal(path)
    data = saved(tmp_path, mu=MU, sigma=SIGMA).read_bytes()
    path.write_bytes(data[:-100])
    assert "truncated or damaged" in refusal(path)
