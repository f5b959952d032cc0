"""Spectral and batch normalisation of the GANs, against torch's decompositions and layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines.networks.batch_norm import PASSES, ROWS, BatchNorm, StandingStatistics
from baselines.networks.spectral_norm import SpectralNorm, normalise_spectra
from genbench import registry
from genbench.api import Batch, Categorical, Progress, SampleSpec


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


LAYERS = [
    nn.Linear(7, 5),
    nn.Conv1d(3, 6, 3),
    nn.Conv2d(3, 6, 3),
    nn.Conv3d(2, 4, 2),
    nn.Embedding(4, 9),
]


def largest(weight: Tensor) -> Tensor:
    return torch.linalg.svdvals(weight.detach().flatten(1))[0]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_normalised_weight_has_largest_singular_value_1(layer: nn.Module) -> None:
    weight = layer.get_parameter("weight").detach().clone()
    normalise_spectra(layer)
    for _ in range(200):
        normalised = layer.weight
    torch.testing.assert_close(normalised, weight / largest(weight), rtol=1e-4, atol=1e-5)


def test_one_use_in_training_is_one_step_of_power_iteration() -> None:
    weight = torch.randn(6, 4)
    norm = SpectralNorm(weight)
    norm.u = u = nn.functional.normalize(torch.randn(6), dim=0)
    v = weight.T @ u
    v = v / v.norm()
    after = weight @ v / (weight @ v).norm()
    out = norm(weight)
    torch.testing.assert_close(norm.u, after)
    torch.testing.assert_close(out, weight / (after @ weight @ v))
    norm.eval()
    norm(weight)
    torch.testing.assert_close(norm.u, after)  # evaluation leaves it


def test_spectral_norm_has_the_gradient_of_its_paper() -> None:
    """Eq. 12: (E - ⟨E, W̄⟩ u vᵀ)/σ, for the gradient E by the normalised weight."""
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(5, 3, dtype=torch.float64)
    norm = SpectralNorm(weight).double()
    for _ in range(500):
        norm(weight)
    (slope,) = torch.autograd.grad((norm(weight) * upstream).sum(), weight)
    left, values, right = torch.linalg.svd(weight.detach(), full_matrices=False)
    inner = (upstream * weight.detach() / values[0]).sum()
    expected = (upstream - inner * torch.outer(left[:, 0], right[0])) / values[0]
    torch.testing.assert_close(slope, expected)


def test_spectral_norm_is_exact_under_autocast() -> None:
    weight = torch.randn(16, 16)
    one, other = SpectralNorm(weight), SpectralNorm(weight)
    other.load_state_dict(one.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        out = one(weight)
    assert torch.equal(out, other(weight))
    assert torch.equal(one.u, other.u)


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5), (8, 3, 4, 2), (8, 3, 2, 2, 2)])
def test_batch_norm_in_training_is_torchs(shape: tuple[int, ...]) -> None:
    theirs = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    ours, x = BatchNorm(3), torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs[len(shape)](3)(x))


def test_conditional_batch_norm_scales_and_shifts_by_label() -> None:
    norm, x = BatchNorm(3, classes=4), torch.randn(6, 3, 2, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    labels = torch.tensor([0, 3, 1, 1, 2, 3])
    normal = nn.BatchNorm2d(3, affine=False)(x)
    out = norm(x, labels)
    for row, label in enumerate(labels.tolist()):
        scale, shift = norm.weight[label, :, None, None], norm.bias[label, :, None, None]
        torch.testing.assert_close(out[row], normal[row] * scale + shift)


class Generator(nn.Module):
    """Noise scaled by 3 and shifted by 2 and, where there are classes, by the label."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.norm = BatchNorm(2, classes)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        shift = 2.0 if labels is None else labels[:, None].float()
        out: Tensor = self.norm(self.scale * noise + shift, labels)
        return out


def test_standing_moments_are_those_of_the_generators_distribution() -> None:
    generator = Generator().eval()
    StandingStatistics(2, 0)(generator)
    assert generator.norm.moments is not None
    mean, variance = generator.norm.moments
    error = 3 / (PASSES * ROWS) ** 0.5
    torch.testing.assert_close(mean, torch.full((2,), 2.0), rtol=0, atol=4 * error)
    torch.testing.assert_close(variance, torch.full((2,), 9.0), rtol=0.2, atol=0)
    assert not generator.training


@pytest.mark.parametrize(
    ("seen", "mean", "variance"),
    [
        ([], 1.5, 1.25),  # of labels 0 … 3 evenly
        ([3], 3.0, 0.0),
        ([0, 3, 3, 3, 3, 3, 3, 3], 2.625, 9 * 7 / 64),
    ],
)
def test_standing_labels_are_as_frequent_as_in_training(
    seen: list[int], mean: float, variance: float
) -> None:
    generator, settle = Generator(classes=4).eval(), StandingStatistics(2, 4)
    settle(generator)
    for label in seen:
        settle.count(torch.tensor([label] * 2))
    settle(generator)
    assert generator.norm.moments is not None
    error = (9 + variance) ** 0.5 / (PASSES * ROWS) ** 0.5
    found, spread = generator.norm.moments
    torch.testing.assert_close(found, torch.full((2,), mean), rtol=0, atol=4 * error)
    torch.testing.assert_close(spread, torch.full((2,), 9 + variance), rtol=0.2, atol=0)


@pytest.mark.parametrize("name", ["gan", "dcgan", "wgan-gp", "sngan"])
def test_a_training_counts_its_labels(name: str) -> None:
    model = registry.models.make(
        name, SampleSpec("points", (2,), None, {"label": Categorical(3)}), conditional=True
    )
    batch = Batch(torch.randn(6, 2), {"label": torch.tensor([0, 2, 2, 2, 0, 2])})
    for step in range(2):
        list(model.losses(batch, Progress(step, 0, 100)))
    counts = [value for key, value in model.state_dict().items() if key.endswith("label_counts")]
    assert [value.tolist() for value in counts] == [[4, 0, 8]]


def test_standing_moments_follow_the_weights_and_touch_no_stream() -> None:
    generator, settle = Generator().eval(), StandingStatistics(2, 0)
    state = torch.get_rng_state()
    settle(generator)
    first = generator.norm.moments
    settle(generator)
    assert generator.norm.moments is first  # nothing has changed, nothing is done
    with torch.no_grad():
        generator.scale.mul_(2)
    settle(generator)
    assert first is not None
    assert generator.norm.moments is not None
    torch.testing.assert_close(generator.norm.moments[1], 4 * first[1])
    generator.load_state_dict(Generator().state_dict())
    settle(generator)
    assert torch.equal(generator.norm.moments[1], first[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_standing_evaluations_are_not_counted_as_samples() -> None:
    generator, calls = Generator().eval(), []
    generator.register_forward_hook(lambda *_: calls.append(1))
    StandingStatistics(2, 0)(generator)
    assert calls == []


def test_a_standing_sample_does_not_depend_on_its_companions() -> None:
    generator = Generator().eval()
    StandingStatistics(2, 0)(generator)
    noise = torch.randn(5, 2)
    torch.testing.assert_close(generator(noise)[:1], generator(noise[:1]))
