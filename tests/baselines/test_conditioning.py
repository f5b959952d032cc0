"""Labels and guidance against the exact denoiser of a labelled mixture, and a reference solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mixtures import to_epsilon
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from baselines.conditioning import UNCONDITIONAL, class_count, labelled
from baselines.denoisers import Denoiser, NetworkDenoiser
from baselines.edm import Edm
from baselines.flow_matching import FlowMatching
from baselines.optimizers import OptimizerConfig
from baselines.predictions import EPSILON, Prediction, V, edm, velocity
from baselines.schedules import VP, LinearBetas, NoiseLevels, OptimalTransport, Schedule
from genbench.api import Categorical, SampleSpec
from genbench.api.errors import UsageError

SPEC = SampleSpec("points", (2,), None, {"label": Categorical(3)})
MEANS = torch.tensor([[0.8, 0.1], [-0.6, 0.5], [0.1, -0.9]], dtype=torch.float64)
DEVIATIONS = torch.tensor([0.2, 0.3, 0.15], dtype=torch.float64)
NULL = 3


def exact(schedule: Schedule, label: int) -> Denoiser:
    """E[x_0 | x_t, label] of one Gaussian a label, and of all three in equal parts without."""
    chosen = slice(None) if label == NULL else slice(label, label + 1)
    means, deviations = MEANS[chosen], DEVIATIONS[chosen]

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.view(-1, 1) for c in schedule(t))
        variance = (alpha * deviations) ** 2 + sigma**2
        off = x_t[:, None] - alpha[..., None] * means
        log_weight = -off.square().sum(-1) / (2 * variance) - variance.log()
        posterior = means + (alpha * deviations**2 / variance)[..., None] * off
        return (log_weight.softmax(1)[..., None] * posterior).sum(1)

    return denoise


class Exact(nn.Module):
    """The network that is exact for every label: F = a E[x_0 | x_t] + b E[ε | x_t]."""

    def __init__(self, schedule: Schedule, prediction: Prediction) -> None:
        super().__init__()
        self.schedule, self.prediction = schedule, prediction
        self.rows: list[int] = []

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        self.rows.append(len(x))
        t = self.time_of(time)
        x_t = x / self.prediction.c_in(*self.schedule(t))[:, None]
        clean = torch.zeros_like(x)
        for label in labels.unique().tolist():
            rows = labels == label
            clean[rows] = exact(self.schedule, label)(x_t[rows], t[rows])
        return self.prediction.target(
            self.schedule, clean, to_epsilon(self.schedule, clean, x_t, t), t
        )

    def time_of(self, label: Tensor) -> Tensor:
        if isinstance(self.schedule, NoiseLevels):
            return (4 * label).exp()
        t = label * self.schedule.t_max
        return t.round().long() if isinstance(self.schedule, LinearBetas) else t


WORLDS: list[tuple[Schedule, Prediction]] = [
    (LinearBetas(100), EPSILON),
    (LinearBetas(100), V),
    (VP(), EPSILON),
    (OptimalTransport(), velocity(1e-5)),
    (NoiseLevels(), edm(0.5)),
]


@pytest.mark.parametrize("scale", [0.0, 1.0, 1.5, 4.0])
@pytest.mark.parametrize(("schedule", "prediction"), WORLDS)
def test_guidance_is_that_of_the_exact_denoisers_at_each_time(
    schedule: Schedule, prediction: Prediction, scale: float
) -> None:
    network = Exact(schedule, prediction)
    labels = torch.tensor([0, 1, 2, 0, 2])
    denoise = NetworkDenoiser(network, schedule, prediction, labels, scale, NULL)
    generator = torch.Generator().manual_seed(0)
    for t in schedule.at(torch.tensor([0.05, 0.3, 0.6, 0.9], dtype=torch.float64)):
        _, sigma = schedule(t)
        x_t = (1 + sigma) * torch.randn(5, 2, dtype=torch.float64, generator=generator)
        null = exact(schedule, NULL)(x_t, t)
        label = torch.cat(
            [
                exact(schedule, k)(row, t)
                for k, row in zip(labels.tolist(), x_t[:, None], strict=True)
            ]
        )
        guided = denoise(x_t, t)
        # 1e-6: at the least noise ε, and with it F, is a difference of nearly equal numbers.
        torch.testing.assert_close(guided, null + scale * (label - null), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(denoise(x_t, t.expand(5)), guided)


def test_guidance_is_one_call_of_twice_the_rows_and_none_is_one_of_as_many() -> None:
    network = Exact(VP(), EPSILON)
    x_t, t = torch.zeros(4, 2).double(), torch.tensor(0.5).double()
    for scale, rows in ((2.0, 8), (1.0, 4)):
        network.rows.clear()
        NetworkDenoiser(network, VP(), EPSILON, torch.tensor([0, 1, 2, 0]), scale, NULL)(x_t, t)
        assert network.rows == [rows]


def test_guided_channels_are_those_of_x_alone() -> None:
    """A learned variance is the labels' own."""

    def network(x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([labels[:, None] * torch.ones_like(x), labels[:, None] + 10.0 + x], 1)

    view = NetworkDenoiser(network, VP(), EPSILON, torch.tensor([0, 1]), 3.0, 2)
    output = view.predict(torch.zeros(2, 2), torch.tensor(0.5).double())
    torch.testing.assert_close(output[:, 0], torch.tensor([2 + 3 * (0 - 2.0), 2 + 3 * (1 - 2.0)]))
    torch.testing.assert_close(output[:, 2], torch.tensor([10.0, 11.0]))


def reference(schedule: Schedule, x: Tensor, labels: Tensor, scale: float) -> Tensor:
    """The guided field by scipy, from t_max to 0.002 and from there by the denoiser.

    The probability-flow ODE is dx/dt = (x - D(x, t))/t, for EDM (Karras et al. 2022, eq. 3) as for
    straight paths, where it is ε - x_0 with ε = (x - (1 - t) x_0)/t.
    """

    def guided(x: Any, t: float, label: int) -> Any:
        rows, time = torch.as_tensor(x)[None], torch.tensor(t).double()
        null, own = exact(schedule, NULL)(rows, time), exact(schedule, label)(rows, time)
        return (null + scale * (own - null))[0].numpy()

    ends = []
    for start, label in zip(x.numpy(), labels.tolist(), strict=True):
        solved = solve_ivp(
            lambda t, x, label=label: (x - guided(x, t, label)) / t,
            (schedule.t_max, 0.002),
            start,
            method="DOP853",
            rtol=1e-7,
            atol=1e-7,
        )
        assert solved.success
        ends.append(guided(solved.y[:, -1], 0.002, label))
    return torch.as_tensor(np.stack(ends))


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("name", ["edm", "flow-matching"])
def test_guided_samples_follow_the_guided_field(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 2, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 2, 0])
    how = OptimizerConfig(1e-3), labelled(3)
    model: Any
    if name == "edm":
        schedule: Schedule = NoiseLevels()
        network = Exact(schedule, edm(0.5))
        model = Edm(SPEC, schedule, network, *how, prediction=edm(0.5))
        options: dict[str, Any] = {"steps": 200}
    else:
        schedule = OptimalTransport(0.0)
        network = Exact(schedule, velocity(0.0))
        model = FlowMatching(SPEC, schedule, network, *how, prediction=velocity(0.0))
        options = {"sampler": "midpoint", "steps": 300}
    samples = model.sample(noise, {"label": labels}, guidance=scale, **options)
    expected = reference(schedule, schedule.t_max * noise, labels, scale)
    torch.testing.assert_close(samples, expected, rtol=0, atol=2e-3)


def test_labels_are_dropped_at_their_rate() -> None:
    torch.manual_seed(0)
    labels = torch.arange(3).repeat(4000)
    dropped = labelled(3, dropout=0.1).dropped({"label": labels})["label"]
    gone = dropped == NULL
    # 1,200 of 12,000, give or take a standard deviation of 33.
    assert abs(int(gone.sum()) - 1200) < 4.5 * 33
    assert torch.equal(dropped[~gone], labels[~gone])


def test_an_unconditional_model_has_no_labels_and_draws_nothing() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    condition = {"label": torch.tensor([1, 2])}
    assert UNCONDITIONAL.dropped(condition) == condition
    assert UNCONDITIONAL.of(condition) is None
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("conditional", "count"), [(True, 3), (False, 0)])
def test_classes_are_those_of_the_data(conditional: bool, count: int) -> None:
    assert class_count(SPEC, conditional=conditional) == count
    assert labelled(count).conditions == ({"label"} if conditional else set())


def test_data_without_labels_has_no_conditional_model() -> None:
    with pytest.raises(UsageError, match="this data has no labels"):
        class_count(SampleSpec("points", (2,), None), conditional=True)


def test_guidance_needs_labels() -> None:
    labelled(3).check_guidance(2.0)
    UNCONDITIONAL.check_guidance(1.0)
    with pytest.raises(UsageError, match="guidance needs a model that was trained with conditio"):
        UNCONDITIONAL.check_guidance(2.0)
