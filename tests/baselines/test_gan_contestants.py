"""gan, dcgan, wgan-gp, sngan and vae as the harness meets them: turns, samples, labels, options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from genbench import registry
from genbench.api import Batch, Categorical, GenerativeModel, Progress, SampleSpec
from genbench.api.errors import UsageError

NAMES = ["gan", "dcgan", "wgan-gp", "sngan", "vae"]
CRITICS = ["wgan-gp", "sngan"]
SHAPES = [(1, 8, 8), (3, 32, 32), (2, 16), (1, 8, 8, 8), (2,)]
LABEL = {"label": Categorical(3)}


def spec_of(shape: tuple[int, ...], condition: Mapping[str, Any] = LABEL) -> SampleSpec:
    if len(shape) == 1:
        return SampleSpec("points", shape, None, condition)
    return SampleSpec("image", shape, condition=condition)


def build(name: str, spec: SampleSpec, **options: Any) -> Any:
    """As narrow as can be, from a fixed seed."""
    torch.manual_seed(0)
    factory = registry.models.get(name)
    small = {"channels": 2, "latent": 5} | options
    return registry.call(factory, spec, **registry.check_options(name, factory, small))


def batch_of(shape: tuple[int, ...]) -> Batch:
    return Batch(torch.rand(6, *shape) * 2 - 1, {"label": torch.arange(6) % 3})


def optimizers_of(model: GenerativeModel) -> dict[str, Any]:
    return {
        name: model.optimization(name).optimizer(player.named_parameters())
        for name, player in model.players.items()
    }


def train(model: GenerativeModel, optimizers: dict[str, Any], steps: range) -> list[str]:
    """The loop's order of things, reseeded at each step as it does; who moved."""
    moved = []
    for step in steps:
        torch.manual_seed(step)
        for turn in model.losses(batch_of((1, 8, 8)), Progress(step, 6 * step, 60)):
            optimizers[turn.player].zero_grad()
            turn.loss.backward()
            optimizers[turn.player].step()
            moved.append(turn.player)
    return moved


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_turn_trains_the_whole_of_its_player_alone(
    name: str, shape: tuple[int, ...], conditional: bool
) -> None:
    model = build(name, spec_of(shape), conditional=conditional)
    order = []
    for turn in model.losses(batch_of(shape), Progress(4, 24, 60)):
        order.append(turn.player)
        model.zero_grad()
        turn.loss.backward()
        for player, network in model.players.items():
            grads = [p.grad for p in network.parameters()]
            if player == turn.player:
                assert all(g is not None and g.isfinite().all() for g in grads)
            else:
                assert all(g is None for g in grads)
    assert order == list(model.players)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_shape_of_the_data_and_keep_to_themselves(
    name: str, shape: tuple[int, ...]
) -> None:
    model = build(name, spec_of(shape)).eval()
    noise = torch.randn(6, *model.noise_shape)
    samples = model.sample(noise, {}).detach()
    assert samples.shape == (6, *shape)
    if name != "vae" or len(shape) > 1:  # its decoder's noise comes from the stream
        alone = model.sample(noise[2:3], {}).detach()
        torch.testing.assert_close(alone, samples[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2,)])
@pytest.mark.parametrize("name", NAMES)
def test_a_conditional_model_heeds_its_labels(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, spec_of(shape), conditional=True)
    assert model.conditions == {"label"}
    for parameter in model.parameters():  # labels that scale by 1 and shift by 0 make no difference
        nn.init.normal_(parameter, std=0.3)
    model.eval()
    noise = torch.randn(1, *model.noise_shape).expand(3, -1)
    options = {"decoder_noise": 0.0} if name == "vae" else {}
    samples = model.sample(noise, {"label": torch.arange(3)}, **options).detach()
    assert len(samples.unique(dim=0)) == 3
    again = model.sample(noise[:1], {"label": torch.tensor([1])}, **options).detach()
    torch.testing.assert_close(again, samples[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_unconditional_model_is_deaf_to_labels(name: str) -> None:
    labelled, bare = (build(name, spec_of((1, 8, 8), about)) for about in (LABEL, {}))
    assert labelled.conditions == frozenset()
    for (key, one), (other_key, other) in zip(
        labelled.state_dict().items(), bare.state_dict().items(), strict=True
    ):
        assert key == other_key
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_not_there_are_told(name: str) -> None:
    with pytest.raises(UsageError, match=r"conditional = true needs labels, .* no labels"):
        build(name, spec_of((1, 8, 8), {}), conditional=True)


@pytest.mark.parametrize("n_critic", [1, 2, 5])
@pytest.mark.parametrize("name", CRITICS)
def test_the_generator_has_one_turn_in_n(name: str, n_critic: int) -> None:
    model = build(name, spec_of((1, 8, 8)), n_critic=n_critic)
    critic, generator = model.players
    moved = train(model, optimizers_of(model), range(10))
    assert moved == ([critic] * n_critic + [generator]) * (10 // n_critic)


@pytest.mark.parametrize("name", CRITICS)
def test_the_generators_turn_has_samples_of_its_own(name: str) -> None:
    model = build(name, spec_of((1, 8, 8)), n_critic=1, generator_batch=3, conditional=True)
    rows: list[int] = []
    model.players["generator"].register_forward_hook(lambda _, __, out: rows.append(len(out)))
    for _ in model.losses(batch_of((1, 8, 8)), Progress(0, 0, 60)):
        pass
    assert rows == [6, 18]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_is_the_undisturbed_one(name: str, conditional: bool) -> None:
    """Everything that counts is in the state: the spectral norms' vectors, the VAE's σ."""
    whole = build(name, spec_of((1, 8, 8)), conditional=conditional)
    train(whole, optimizers_of(whole), range(8))

    first = build(name, spec_of((1, 8, 8)), conditional=conditional)
    optimizers = optimizers_of(first)
    train(first, optimizers, range(3))
    second = build(name, spec_of((1, 8, 8)), conditional=conditional)
    second.load_state_dict(first.state_dict())
    loaded = optimizers_of(second)
    for player, optimizer in optimizers.items():
        loaded[player].load_state_dict(optimizer.state_dict())
    train(second, loaded, range(3, 8))
    for key, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("shape", [(1, 8, 8), (2,)])
@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, spec_of(shape), conditional=True)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    for player, network in list(model.players.items()):
        model.players[player] = fabric.setup_module(network)
    for turn in model.losses(batch_of(shape), Progress(4, 24, 60)):
        fabric.backward(turn.loss)
        assert turn.loss.isfinite()
    assert all(p.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "rates", "betas"),
    [
        ("gan", [3e-3, 1.5e-3, 0.0], (0.0, 0.99)),
        ("dcgan", [2e-4, 1e-4, 0.0], (0.5, 0.999)),
        ("wgan-gp", [2e-4, 1e-4, 0.0], (0.0, 0.9)),
        ("sngan", [2e-4, 1e-4, 0.0], (0.0, 0.9)),
    ],
)
def test_adam_has_the_betas_of_the_papers_and_rates_fall(
    name: str, rates: list[float], betas: tuple[float, float]
) -> None:
    how = build(name, spec_of((1, 8, 8)), learning_rate=rates[0]).optimization("generator")
    optimizer: Any = how.optimizer(iter([("weight", nn.Parameter(torch.zeros(1)))]))
    factors = [how.schedule(Progress(0, n, 100)) for n in (0, 50, 100)]
    assert [optimizer.defaults["lr"] * factor for factor in factors] == pytest.approx(rates)
    assert optimizer.defaults["betas"] == betas


OPTIONS = [
    ("dcgan", {"chanels": 3}, "no option 'chanels'; did you mean 'channels'"),
    ("dcgan", {"decay": "step"}, "'decay'.*'cosine', 'linear' or 'none'"),
    ("wgan-gp", {"n_critic": 0}, "option 'n_critic': input should be greater than 0"),
    ("wgan-gp", {"penalty": -1}, "option 'penalty': input should be greater than or equal to 0"),
    ("sngan", {"generator_batch": 0}, "option 'generator_batch': input should be greater than 0"),
    ("vae", {"beta": -1}, "option 'beta': input should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS)
def test_wrong_options_are_told(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, spec_of((1, 8, 8)), **options)


@pytest.mark.parametrize("name", ["dcgan", "wgan-gp", "sngan"])
def test_shapes_that_do_not_fit_are_told(name: str) -> None:
    with pytest.raises(UsageError, match=r"each even and at least 4.*\(1, 9, 8\)"):
        build(name, spec_of((1, 9, 8)))


def gaussian_points(count: int) -> Tensor:
    return 0.3 * torch.randn(count, 2) + torch.tensor([0.5, -0.2])


def test_the_vaes_loss_is_the_bound_at_its_best_sigma() -> None:
    """-log N(x; μ, σ²) + KL(q ‖ N(0, 1)), by torch.distributions, at σ² = mean (x - μ)²."""
    model = build("vae", spec_of((2,)))
    batch = Batch(gaussian_points(64))
    torch.manual_seed(7)
    (turn,) = model.losses(batch, Progress(0, 1, 1))
    torch.manual_seed(7)
    mean, code_mean, code_log_variance = model.players["autoencoder"](batch.data)
    sigma = (batch.data - mean).square().mean().sqrt()
    likelihood = torch.distributions.Normal(mean, sigma).log_prob(batch.data).sum(1)
    code = torch.distributions.Normal(code_mean, (code_log_variance / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(code, prior).sum(1)
    expected = (divergence - likelihood).mean() / 2
    torch.testing.assert_close(turn.loss, expected, rtol=1e-4, atol=1e-5)
    assert float(turn.diagnostics["divergence"]) == pytest.approx(divergence.mean().item())
    assert model.error.item() == pytest.approx(sigma.square().item(), rel=1e-4)
    for sign in (-0.1, 0.1):  # no other σ makes the batch likelier
        other = torch.distributions.Normal(mean, sigma * (1 + sign))
        assert other.log_prob(batch.data).sum() < likelihood.sum()


@pytest.mark.parametrize(("examples", "share"), [(0, 0.0), (1, 0.25), (4, 1.0), (8, 1.0)])
def test_beta_weighs_the_divergence_and_rises_over_half_a_training(
    examples: int, share: float
) -> None:
    losses = {}
    for beta in (0.0, 1.0, 3.0):
        model = build("vae", spec_of((1, 8, 8)), beta=beta)
        torch.manual_seed(7)
        (turn,) = model.losses(batch_of((1, 8, 8)), Progress(0, examples, 8))
        losses[beta] = turn.loss.item(), float(turn.diagnostics["divergence"])
    for beta in (1.0, 3.0):
        added = losses[beta][0] - losses[0.0][0]
        assert added == pytest.approx(share * beta * losses[beta][1] / 64, rel=1e-3)


def test_the_vaes_noise_and_temperature() -> None:
    model = build("vae", spec_of((2,))).eval()
    with torch.no_grad():
        model.error.fill_(0.04)
    noise = torch.randn(1, 5).expand(4000, 5)
    samples = model.sample(noise, {}).detach()
    means = model.sample(noise, {}, decoder_noise=0.0).detach()
    torch.testing.assert_close(samples.std(0), torch.full((2,), 0.2), rtol=0.05, atol=0)
    torch.testing.assert_close(samples.mean(0), means[0], rtol=0, atol=0.02)
    cold = model.sample(torch.randn(3, 5), {}, temperature=0.0, decoder_noise=0.0)
    assert len(cold.unique(dim=0)) == 1
    pictures = build("vae", spec_of((1, 8, 8))).eval()
    noise = torch.randn(2, 5)
    assert torch.equal(pictures.sample(noise, {}), pictures.sample(noise, {}, decoder_noise=0.0))


def test_a_vae_learns_a_gaussian() -> None:
    """Its samples have the mean and the spread of the data, σ's share included."""
    model = build("vae", spec_of((2,)), channels=4, latent=2)
    optimizers = optimizers_of(model)
    for step in range(600):
        torch.manual_seed(step)
        for turn in model.losses(Batch(gaussian_points(64)), Progress(step, step, 600)):
            optimizers[turn.player].zero_grad()
            turn.loss.backward()
            optimizers[turn.player].step()
    samples = model.eval().sample(torch.randn(4000, 2), {}).detach()
    torch.testing.assert_close(samples.mean(0), torch.tensor([0.5, -0.2]), rtol=0, atol=0.05)
    torch.testing.assert_close(samples.std(0), torch.full((2,), 0.3), rtol=0.2, atol=0)
