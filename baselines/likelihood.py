"""Exact likelihood by the instantaneous change of variables, along the probability-flow ODE.

log p_end(x) = log p_T(x_T) + ∫ ∇·v dt from end to T = t_max, along dx/dt = v (Chen et al. 2018,
theorem 1; Song et al. 2021, eq. 39), with N(0, sigma_T²), where sampling starts, for p_T. The
divergence is estimated by probes e of unit covariance, E[e · (∂v/∂x) e] (Skilling 1989, Hutchinson
1990), which a sample keeps along its path (Grathwohl et al. 2019): unbiased; or taken exactly.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from baselines.denoisers import Denoiser, affine
from baselines.samplers import integrate
from baselines.samplers.dormand_prince import Adaptive, select
from baselines.schedules import Schedule, derivatives, on
from genbench.api import SampleSpec

Trace: TypeAlias = Literal["rademacher", "gaussian", "exact"]
"""Random signs or normal probes; or each unit vector: as many backward passes as a sample has
numbers."""


def bits_per_dim(
    denoise: Denoiser,
    schedule: Schedule,
    stored: Tensor,
    spec: SampleSpec,
    *,
    end: float,
    trace: Trace = "rademacher",
    probes: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> Tensor:
    """Negative log likelihood of ``stored`` ``(B, *shape)`` in bits per dimension: ``(B,)``.

    Integers 0 … levels-1 are dequantised uniformly (Theis et al. 2016): level k becomes the model's
    view of k + U - 1/2, U in [0, 1), anywhere in the cell that ``spec.decode`` rounds to k. That is
    u = (k + U)/levels in other units: 2 (levels u - 1/2)/(levels - 1) - 1. A cell is 2/(levels - 1)
    wide, so a value costs -log₂ p(x) - log₂(2/(levels - 1)) bits, in the mean over U at least what
    the integers cost (Jensen's inequality). Of real-valued data it is -log₂ p(x) alone, the
    density's own, which may be negative.

    A network trained on whole levels has its density there, ever more so as ``end`` goes to 0, and
    little between them, where dequantised data lie: its bits are many.

    Args:
        end: The time at which the data are taken to be: as in sampling, a little above 0.
        trace, probes: See ``log_likelihood``, as for the rest.
    """
    width = 1.0
    if spec.levels is None:
        x = spec.encode(stored)
    else:
        x = spec.encode(stored + torch.rand(stored.shape).to(stored.device) - 0.5)
        width = 2 / (spec.levels - 1)
    nats = log_likelihood(
        denoise,
        schedule,
        x,
        end=end,
        trace=trace,
        probes=probes,
        rtol=rtol,
        atol=atol,
        max_steps=max_steps,
    )
    return -(nats / math.prod(spec.shape) + math.log(width)) / math.log(2)


def log_likelihood(
    denoise: Denoiser,
    schedule: Schedule,
    x: Tensor,
    *,
    end: float,
    trace: Trace = "rademacher",
    probes: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> Tensor:
    """log p_end(x) of x ``(B, *shape)`` in nats: ``(B,)``; under ``inference_mode`` too.

    Args:
        end: A time at which the velocity is finite, in a schedule that is differentiable in t.
        trace: How the divergence is taken.
        probes: Of a sample, each a backward pass an evaluation; without meaning where exact.
        rtol, atol, max_steps: Of ``DormandPrince``, over a sample and its log density together.

    Raises:
        GenbenchError: ``max_steps`` do not do.
    """
    with torch.inference_mode(False), torch.no_grad():
        x = x.clone()
        shape, dimensions = x.shape[1:], x[0].numel()
        directions = _directions(x, trace, probes)
        share = 1.0 if trace == "exact" else 1 / len(directions)

        def slope(state: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            """v and ∇·v, of v = a x + b F as of ``velocity``."""
            prediction, network = affine(select(denoise, rows))
            a, b = prediction.shares(schedule, t, *derivatives(schedule, t))
            x_t = state[:, :-1].view(-1, *shape)
            chosen = directions[:, rows.to(x.device)]
            output, traced = _value_and_trace(network, x_t, t, chosen)
            divergence = on(traced, a) * dimensions + on(traced, b) * share * traced
            v = on(x_t, a) * x_t + on(x_t, b) * output
            return torch.cat([v.flatten(1), divergence[:, None]], 1)

        start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
        times = torch.tensor([end, schedule.t_max], dtype=torch.float64)
        stop = integrate(Adaptive(slope, rtol, atol, max_steps), start, times)
        _, sigma = schedule(times[-1])
        square = (stop[:, :-1] / sigma).square().sum(1)
        return stop[:, -1] - square / 2 - dimensions * (sigma * math.sqrt(2 * math.pi)).log()


def _directions(x: Tensor, trace: Trace, probes: int) -> Tensor:
    """``(K, B, *shape)``, drawn on the CPU: the same for every device."""
    size = (probes, *x.shape)
    if trace == "rademacher":
        directions = torch.randint(2, size) * 2 - 1
    elif trace == "gaussian":
        directions = torch.randn(size)
    else:
        count = x[0].numel()
        directions = torch.eye(count).view(count, 1, *x.shape[1:]).expand(count, *x.shape)
    return directions.to(x)


def _value_and_trace(
    network: Denoiser, x_t: Tensor, t: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """F, and Σ_k e_k · (∂F/∂x_t) e_k: ``(B,)``."""
    with torch.enable_grad():
        x_t = x_t.clone().requires_grad_()
        output = network(x_t, t)
    total = x_t.new_zeros(len(x_t))
    for e in directions:
        # A sample's F depends on no other's x_t, so one pass serves them all.
        (product,) = torch.autograd.grad(output, x_t, e, retain_graph=True)
        total += (product * e).flatten(1).sum(1)
    return output.detach(), total
