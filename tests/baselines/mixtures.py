"""Data whose denoiser is known: Gaussians and their mixtures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from baselines.denoisers import Denoiser, velocity
from baselines.schedules import VE, VP, NoiseLevels, OptimalTransport, Schedule, SubVP, on

CONTINUOUS: dict[str, Schedule] = {"vp": VP(), "subvp": SubVP(), "ve": VE(0.01, 50.0)}
EVERY_ODE = CONTINUOUS | {"ot": OptimalTransport(), "edm": NoiseLevels()}


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def to_epsilon(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """ε = (x_t - alpha_t x_0) / sigma_t."""
    alpha_t, sigma_t = schedule(t)
    return (x_t - on(x_t, alpha_t) * x_0) / on(x_t, sigma_t)


def refuse(x: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight in D dimensions: means ``(K, D)``, covariances ``(K, D, D)``."""

    means: Tensor
    covariances: Tensor

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """E[x_0 | x_t] = Σ_k p(k | x_t) (m_k + alpha C_k S_k⁻¹ (x_t - alpha m_k)), with
        S_k = alpha² C_k + sigma² I the covariance of x_t in the k-th mode."""
        # C_k = Q diag(λ) Qᵀ, so that S_k⁻¹ is quick for every sigma.
        values, vectors = torch.linalg.eigh(self.covariances)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = (c.view(-1, 1, 1) for c in schedule(t))
            spread = alpha**2 * values + sigma**2
            off = torch.einsum("kij,bki->bkj", vectors, x_t[:, None] - alpha * self.means)
            log_weight = -(off.square() / spread + spread.log()).sum(-1) / 2
            moved = torch.einsum("kij,bkj->bki", vectors, alpha * values / spread * off)
            return (log_weight.softmax(1)[..., None] * (self.means + moved)).sum(1)

        return denoise

    def moments(self) -> tuple[Tensor, Tensor]:
        mean = self.means.mean(0)
        between = torch.einsum("ki,kj->ij", self.means - mean, self.means - mean)
        return mean, self.covariances.mean(0) + between / len(self.means)

    def log_density(self, x: Tensor, alpha: float = 1.0, sigma: float = 0.0) -> Tensor:
        """Of alpha x_0 + sigma ε at x ``(B, D)``, by scipy: ``(B,)`` in nats."""
        noise = sigma**2 * np.eye(x.shape[1])
        modes = [
            multivariate_normal(alpha * m.numpy(), alpha**2 * c.numpy() + noise).logpdf(x.numpy())
            for m, c in zip(self.means, self.covariances, strict=True)
        ]
        return torch.as_tensor(logsumexp(modes, axis=0) - np.log(len(modes))).view(len(x))


GAUSSIAN = Mixture(f64(0.3, -0.2)[None], f64(0.5, 0.2, 0.2, 0.1).view(1, 2, 2))
PAIR = Mixture(
    torch.stack([f64(0.8, 0.1), f64(-0.6, -0.3)]),
    torch.stack([f64(0.04, 0.02, 0.02, 0.05), f64(0.02, 0.0, 0.0, 0.09)]).view(2, 2, 2),
)


@dataclass(frozen=True)
class Labelled:
    """The denoiser, along VP, of data that are each sample's label, give or take 0.1."""

    labels: Tensor

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.view(-1, 1) for c in VP()(t))
        mean = self.labels[:, None]
        return mean + 0.01 * alpha / (0.01 * alpha**2 + sigma**2) * (x_t - alpha * mean)

    def select(self, rows: Tensor) -> Labelled:
        return replace(self, labels=self.labels[rows])


def scipy_ode(
    denoise: Denoiser,
    schedule: Schedule,
    x: Tensor,
    times: Tensor,
    *,
    method: str = "DOP853",
    tolerance: float = 1e-10,
) -> tuple[Tensor, int]:
    """One sample x ``(D,)``, or several ``(B, D)`` that share their steps, along the
    probability-flow ODE by scipy: at ``times[1:]``, and in how many evaluations."""

    def slope(t: float, y: NDArray[np.float64]) -> NDArray[np.float64]:
        time, x_t = torch.tensor(t, dtype=torch.float64), torch.as_tensor(y).view(-1, x.shape[-1])
        result: NDArray[np.float64] = velocity(denoise, schedule, x_t, time).numpy()
        return result.ravel()

    solved = solve_ivp(
        slope,
        (float(times[0]), float(times[-1])),
        x.flatten().numpy(),
        method=method,
        t_eval=times[1:].numpy(),
        rtol=tolerance,
        atol=tolerance,
    )
    return torch.as_tensor(solved.y.T).reshape(-1, *x.shape), solved.nfev
