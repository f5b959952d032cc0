"""R3GAN: its losses and penalties against closed forms and definitions, its schedules, its sizes
against table 9 of the paper, a short training."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from baselines.augmentation import augment
from baselines.networks.r3gan import Block
from baselines.networks.stylegan2 import judged
from baselines.r3gan import R3Gan
from baselines.r3gan import r3gan as factory
from genbench.api import Batch, Categorical, Progress, SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import call, check_options

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 12, 28), (2, 32), (1, 4, 8, 8), (2,)]
TINY: dict[str, Any] = {"channels": 4, "max_channels": 8, "blocks": 1, "latent": 6}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(*shape: int, classes: int = 0) -> SampleSpec:
    condition = {"label": Categorical(classes)} if classes else {}
    if len(shape) == 1:
        return SampleSpec("points", shape, None, condition)
    return SampleSpec("image", shape, condition=condition)


def r3gan(spec: SampleSpec, **options: Any) -> R3Gan:
    model: R3Gan = call(factory, spec, **options)
    return model


def tiny(*shape: int, **options: Any) -> R3Gan:
    return r3gan(spec_of(*shape), **(TINY | options))


class Line(nn.Module):
    """The generator of the closed forms: z ↦ θ + z."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.theta + z


class Slope(nn.Module):
    """Its discriminator: D(x) = w x."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(
        self, *minibatches: Tensor, penalty: bool = False, **others: Any
    ) -> tuple[Tensor, Tensor]:
        return judged(lambda x: self.w * x[:, 0], minibatches, penalty, torch.float32)


def test_losses_and_gradients_have_their_closed_form() -> None:
    """Of pairs x, g: log(1 + exp(w (g - x))), and γ/2 w² for each of R1 and R2."""
    w, theta, gamma = 0.7, -0.4, 0.3
    model = tiny(1, latent=1, gamma=gamma)
    model.players = nn.ModuleDict({"discriminator": Slope(w), "generator": Line(theta)})
    x = torch.randn(256, 1) + 1
    torch.manual_seed(5)
    g = theta + torch.randn(256, 1)
    torch.manual_seed(5)
    turns = model.losses(Batch(x), Progress(0, 0, 1))

    turn = next(turns)
    turn.loss.backward()
    value = -torch.sigmoid(w * (x - g)).log().mean() + 2 * gamma / 2 * w**2
    slope = -((x - g) * torch.sigmoid(w * (g - x))).mean() + 2 * gamma * w
    parameter = model.players["discriminator"].get_parameter("w")
    assert turn.player == "discriminator"
    assert float(turn.diagnostics["r1"]) == pytest.approx(gamma / 2 * w**2)
    assert float(turn.diagnostics["r2"]) == pytest.approx(gamma / 2 * w**2)
    assert float(turn.diagnostics["accuracy"]) == pytest.approx((x > g).float().mean().item())
    torch.testing.assert_close(turn.loss.detach(), value)
    torch.testing.assert_close(parameter.grad, slope)

    with torch.no_grad():  # as if the discriminator had moved: the generator must see it there
        parameter.fill_(v := 1.1)
    parameter.grad = None
    turn = next(turns)
    turn.loss.backward()
    assert turn.player == "generator"
    torch.testing.assert_close(turn.loss.detach(), -torch.sigmoid(v * (g - x)).log().mean())
    gradient = model.players["generator"].get_parameter("theta").grad
    torch.testing.assert_close(gradient, -v * torch.sigmoid(v * (x - g)).mean())
    assert parameter.grad is None
    assert next(turns, None) is None


@pytest.mark.parametrize("p", [0.0, 0.6])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 16), (1, 4, 8, 8), (2,)])
def test_r1_and_r2_are_the_squared_gradients_of_their_definitions(
    shape: tuple[int, ...], p: float
) -> None:
    model = tiny(*shape).double()
    for parameter in model.parameters():  # the blocks' last layers are zero at the start
        nn.init.normal_(parameter, std=0.3)
    real = torch.randn(3, *shape, dtype=torch.float64)
    fake = torch.randn(3, *shape, dtype=torch.float64)
    discriminator = model.players["discriminator"]
    transform = partial(augment, p=p)

    def logits_of(real: Tensor, fake: Tensor) -> Tensor:
        torch.manual_seed(6)
        return discriminator(real, fake, augment=transform)[0].sum()

    torch.manual_seed(6)
    logits, squared_norms = discriminator(real, fake, augment=transform, penalty=True)
    for mine, jacobian in zip(
        squared_norms,
        torch.autograd.functional.jacobian(logits_of, (real, fake)),
        strict=True,
    ):
        torch.testing.assert_close(mine, jacobian.square().flatten(1).sum(1).float())
    torch.testing.assert_close(logits.sum(), logits_of(real, fake))


def test_minibatches_of_one_call_do_not_mix() -> None:
    discriminator = tiny(3, 8, 8).players["discriminator"]
    real, fake = torch.randn(2, 5, 3, 8, 8)
    logits, norms = discriminator(real, fake, penalty=True)
    assert logits.shape == norms.shape == (2, 5)
    for row, minibatch in zip(logits, (real, fake), strict=True):
        torch.testing.assert_close(row[None], discriminator(minibatch)[0])


def test_blocks_start_as_the_identity_and_small() -> None:
    """Zhang et al. (2019): zero last layers, the others by L to the power of -1/4 and -1/2."""
    for dimensions, power in ((2, -1 / 4), (0, -1 / 2)):
        block = Block(64, dimensions, group=16, blocks=8)
        x = torch.randn(3, 64, *[4] * dimensions)
        assert torch.equal(block(x), x)
        gain = math.sqrt(2 / (1 + 0.2**2)) * 8**power
        for layer in block.layers[:-1]:
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx(gain / math.sqrt(fan_in), rel=0.05)


def test_schedules_go_along_half_a_cosine_until_the_burn_in_is_over() -> None:
    model = tiny(
        2, learning_rate=0.5, final_learning_rate=0.1, beta2=0.9, final_beta2=0.99, burn_in=40
    )
    how = model.optimization("generator")
    optimizer = how.optimizer(model.players["generator"].named_parameters())
    (group,) = optimizer.param_groups
    rates, betas = [], []
    for examples in (0, 10, 20, 40, 90):
        rates.append(optimizer.defaults["lr"] * how.schedule(Progress(0, examples, 100)))
        group["lr"] = rates[-1]  # which is all that the loop tells it
        optimizer.step()
        betas.append(group["betas"][1])
    gone = [0, 0.5 - math.sqrt(0.125), 0.5, 1, 1]
    assert rates == pytest.approx([0.5 - 0.4 * share for share in gone])
    assert betas == pytest.approx([0.9 + 0.09 * share for share in gone])
    assert group["betas"][0] == 0


def test_half_of_the_training_is_burn_in_unless_told_otherwise() -> None:
    rate = tiny(2, learning_rate=0.5, final_learning_rate=0.1).optimization("generator")
    assert [rate.schedule(Progress(0, examples, 100)) for examples in (25, 50, 75)] == (
        pytest.approx([0.3, 0.1, 0.1])
    )


def test_constant_rate_leaves_the_last_beta() -> None:
    model = tiny(2, learning_rate=0.5, final_learning_rate=0.5)
    (optimizer,) = model.optimization("generator").optimizers(model.players["generator"])
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.0, 0.99)


# Channels at full size, other options, classes, sides; parameters in millions.
TABLE_9 = {
    "Stacked MNIST": (768, {}, 0, 32, 20.73, 20.68),
    "CIFAR-10": (768, {}, 10, 32, 20.78, 21.28),
    "FFHQ 256": (96, {}, 0, 256, 23.06, 23.01),
    "FFHQ 64": (384, {}, 0, 64, 22.43, 22.38),
    "ImageNet 32": (1536, {"max_channels": 1536, "group": 32}, 1000, 32, 82.91, 86.55),
    "ImageNet 64": (1536, {"max_channels": 1536, "group": 32}, 1000, 64, 103.57, 107.21),
}


@pytest.mark.parametrize("name", TABLE_9)
def test_published_configurations_have_their_parameters(name: str) -> None:
    channels, options, classes, side, generator, discriminator = TABLE_9[name]
    with torch.device("meta"):
        model = r3gan(
            spec_of(3, side, side, classes=classes),
            channels=channels,
            conditional=classes > 0,
            **options,
        )
    counts = {
        name: round(sum(p.numel() for p in player.parameters()) / 1e6, 2)
        for name, player in model.players.items()
    }
    assert counts == {"discriminator": discriminator, "generator": generator}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_turn_gives_gradients_to_its_player_alone(
    shape: tuple[int, ...], conditional: bool
) -> None:
    model = r3gan(
        spec_of(*shape, classes=3), **TINY, conditional=conditional, augment_probability=0.5
    )
    batch = Batch(torch.rand(4, *shape) * 2 - 1, {"label": torch.tensor([0, 1, 2, 0])})
    order = []
    for turn in model.losses(batch, Progress(0, 1, 1)):
        order.append(turn.player)
        model.zero_grad()
        turn.loss.backward()
        for name, player in model.players.items():
            grads = [p.grad for p in player.parameters()]
            # Under DDP every parameter must have one, be it zero.
            assert all((g is not None) == (name == turn.player) for g in grads)
            assert all(g is None or g.isfinite().all() for g in grads)
    assert order == ["discriminator", "generator"]


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_have_the_shape_of_the_data(shape: tuple[int, ...]) -> None:
    model = tiny(*shape)
    assert model.noise_shape == (6,)
    assert model.conditions == frozenset()
    noise = torch.randn(5, 6)
    samples = model.sample(noise, {})
    assert samples.shape == (5, *shape)
    torch.testing.assert_close(model.sample(noise[:1], {}), samples[:1])


def test_labels_make_a_difference_to_both_players() -> None:
    model = r3gan(spec_of(1, 8, 8, classes=3), **TINY, conditional=True)
    assert model.conditions == {"label"}
    noise, labels = torch.randn(3, 6), torch.tensor([0, 1, 2])
    samples = model.sample(noise, {"label": labels})
    assert not torch.allclose(model.sample(noise, {"label": labels.flip(0)})[0], samples[0])
    discriminator = model.players["discriminator"]
    (one,), _ = discriminator(samples, labels=labels)
    (two,), _ = discriminator(samples, labels=labels.flip(0))
    assert one[0] != two[0]
    assert one[1] == two[1]


def test_mixed_precision_penalises_in_full_precision() -> None:
    model = tiny(1, 8, 8)
    real = torch.rand(8, 1, 8, 8).bfloat16().float()  # as Fabric rounds every input
    _, expected = model.players["discriminator"](real, penalty=True)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    for name, player in list(model.players.items()):
        model.players[name] = fabric.setup_module(player)
    _, squared_norm = model.players["discriminator"](real, penalty=True)
    torch.testing.assert_close(squared_norm, expected)
    for turn in model.losses(Batch(real), Progress(0, 0, 1)):
        fabric.backward(turn.loss)
        assert turn.loss.isfinite()


def test_wrong_requests_are_told() -> None:
    def refuses(options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            check_options("model 'r3gan'", factory, options)

    refuses({"gama": 1}, "no option 'gama'; did you mean 'gamma'")
    refuses({"beta2": 1}, "'beta2'.*less than 1")
    refuses({"augment_probability": 1.5}, "'augment_probability'.*less than or equal to 1")
    with pytest.raises(UsageError, match="no labels"):
        r3gan(spec_of(1, 8, 8), conditional=True)
    for shape in [(1, 35, 35), (1, 4, 4, 4, 4)]:
        with pytest.raises(UsageError, match=r"at most 3 sides.*the samples have \d+ × "):
            r3gan(spec_of(*shape))
