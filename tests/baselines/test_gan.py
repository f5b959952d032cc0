"""The GAN: losses and penalties against closed forms, the players' turns, DDP, a short training.

Run as a script, this file is the training of two processes that one of its tests starts.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from baselines.adversarial import LOSSES
from baselines.gan import Gan, GanOptions
from baselines.gan import gan as factory
from baselines.networks.gan import WEIGHTED, Discriminator
from genbench.api import Batch, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import call, check_options

DIGITS = SampleSpec("image", (1, 8, 8), levels=17)
POINTS = SampleSpec("points", (2,), levels=None)
SHAPES = [(1, 8, 8), (3, 12, 28), (1, 4, 4), (2, 16), (1, 4, 8, 8), (2,)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(shape: tuple[int, ...]) -> SampleSpec:
    return SampleSpec("points", shape, None) if len(shape) == 1 else SampleSpec("image", shape)


def gan(spec: SampleSpec, **options: Any) -> Gan:
    model: Gan = call(factory, spec, **options)
    return model


def train(model: Gan, batches: Iterator[Tensor], steps: int) -> None:
    """The loop's order of things, bare."""
    how = {name: model.optimization(name) for name in model.players}
    optimizers = {name: how[name].optimizer(model.players[name].named_parameters()) for name in how}
    for step in range(steps):
        progress = Progress(step, step, steps)
        for turn in model.losses(Batch(next(batches)), progress):
            optimizer = optimizers[turn.player]
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * how[turn.player].schedule(
                progress
            )
            optimizer.zero_grad(set_to_none=True)
            turn.loss.backward()
            optimizer.step()


class Line(nn.Module):
    """The generator of the closed forms: z ↦ θ + z."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, z: Tensor, labels: None) -> Tensor:
        return self.theta + z


def one_dimensional(loss: str, w: float, theta: float, r1: float) -> Gan:
    """D(x) = w x, deaf to the minibatch's deviation, against G(z) = θ + z."""
    head = nn.Linear(2, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[w, 0.0]]))
        head.bias.zero_()
    return Gan(
        Discriminator(nn.Identity(), nn.Sequential(head)),
        Line(theta),
        latent=1,
        classes=0,
        game=GanOptions(loss=loss, r1=r1, r1_interval=4, learning_rate=1e-3),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("loss", ["non-saturating", "hinge"])
@pytest.mark.parametrize("step", [0, 1])
def test_losses_and_gradients_have_their_closed_form(loss: str, step: int) -> None:
    w, theta, gamma = 0.7, -0.4, 0.3
    model = one_dimensional(loss, w, theta, gamma)
    x = torch.randn(256, 1) + 1
    torch.manual_seed(5)
    g = theta + torch.randn(256, 1)
    torch.manual_seed(5)
    turns = model.losses(Batch(x), Progress(step, 0, 1))

    turn = next(turns)
    turn.loss.backward()
    if loss == "non-saturating":
        value = -torch.sigmoid(w * x).log().mean() - (1 - torch.sigmoid(w * g)).log().mean()
        slope = -(x * torch.sigmoid(-w * x)).mean() + (g * torch.sigmoid(w * g)).mean()
    else:
        value = (1 - w * x).clamp(min=0).mean() + (1 + w * g).clamp(min=0).mean()
        slope = -(x * (w * x < 1)).mean() + (g * (w * g > -1)).mean()
    if step == 0:  # R1 of a line is γ/2 w²: eq. 9 of Mescheder et al. (2018), four times over
        value, slope = value + 4 * gamma / 2 * w**2, slope + 4 * gamma * w
        assert float(turn.diagnostics["r1"]) == pytest.approx(gamma / 2 * w**2)
    else:
        assert "r1" not in turn.diagnostics
    weight = model.players["discriminator"].get_parameter("head.0.weight")
    assert turn.player == "discriminator"
    assert turn.loss.item() == pytest.approx(value.item(), rel=1e-5)
    assert weight.grad is not None
    assert weight.grad[0, 0].item() == pytest.approx(slope.item(), rel=1e-5)

    with torch.no_grad():  # as if the discriminator had moved: the generator must see it there
        weight[0, 0] = v = 1.1
    turn = next(turns)
    turn.loss.backward()
    if loss == "non-saturating":
        value = -torch.sigmoid(v * g).log().mean()
        slope = -v * torch.sigmoid(-v * g).mean()
    else:
        value, slope = -(v * g).mean(), torch.tensor(-v)
    grad = model.players["generator"].get_parameter("theta").grad
    assert turn.player == "generator"
    assert turn.loss.item() == pytest.approx(value.item(), rel=1e-5)
    assert grad is not None
    assert grad.item() == pytest.approx(slope.item(), rel=1e-5)
    assert next(turns, None) is None


def test_accuracies_are_the_shares_told_rightly() -> None:
    model = one_dimensional("hinge", 1.0, 5.0, 0.0)
    turn = next(model.losses(Batch(torch.tensor([[1.0], [2.0], [3.0], [-1.0]])), Progress(0, 0, 1)))
    assert float(turn.diagnostics["accuracy_real"]) == 0.75
    assert float(turn.diagnostics["accuracy_fake"]) == 0.0  # at 5 ± 1, all pass as real


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_is_the_squared_gradient_of_its_definition(shape: tuple[int, ...]) -> None:
    discriminator = gan(spec_of(shape), channels=2).players["discriminator"].double()
    real, fake = torch.randn(2, 3, *shape, dtype=torch.float64)

    logits, squared_norm = discriminator(real, fake, penalty=True)
    jacobian = torch.autograd.functional.jacobian(lambda x: discriminator(x)[0].sum(), real)
    torch.testing.assert_close(squared_norm, jacobian.square().flatten(1).sum(1).float())

    plain, nothing = discriminator(real, fake)
    torch.testing.assert_close(logits, plain)
    assert nothing.numel() == 0


def test_penalty_moves_the_weights_as_finite_differences_do() -> None:
    discriminator = gan(DIGITS, channels=2).players["discriminator"].double()
    real = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    weight = discriminator.get_parameter("trunk.1.second.weight")
    discriminator(real, penalty=True)[1].sum().backward()
    assert weight.grad is not None
    index, h = (1, 0, 2, 1), 1e-3
    values = []
    for shift in (h, -2 * h):
        with torch.no_grad():
            weight[index] += shift
        values.append(discriminator(real, penalty=True)[1].double().sum().item())
    expected = (values[0] - values[1]) / (2 * h)
    assert weight.grad[index].item() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_minibatches_of_one_call_do_not_mix(shape: tuple[int, ...], penalty: bool) -> None:
    discriminator = gan(spec_of(shape), channels=2).players["discriminator"]
    real, fake = torch.randn(2, 5, *shape)
    logits, _ = discriminator(real, fake, penalty=penalty)
    assert logits.shape == (2, 5)
    for row, minibatch in zip(logits, (real, fake), strict=True):
        torch.testing.assert_close(row[None], discriminator(minibatch)[0])


def test_head_sees_the_deviation_of_its_minibatch() -> None:
    head = nn.Linear(4, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 1.0]]))
        head.bias.zero_()
    discriminator = Discriminator(nn.Identity(), nn.Sequential(head))
    wide, narrow = torch.randn(6, 3), torch.ones(6, 3)
    (first, second), _ = discriminator(wide, narrow)
    expected = wide.std(0, unbiased=False).mean()
    torch.testing.assert_close(first, expected.expand(6), rtol=1e-4, atol=0)
    torch.testing.assert_close(second, torch.full((6,), 1e-4))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_turn_gives_gradients_to_its_player_alone(
    shape: tuple[int, ...], spectral_norm: bool
) -> None:
    model = gan(spec_of(shape), channels=2, spectral_norm=spectral_norm)
    order = []
    for turn in model.losses(Batch(torch.rand(6, *shape) * 2 - 1), Progress(0, 0, 1)):
        order.append(turn.player)
        model.zero_grad()
        turn.loss.backward()
        for name, player in model.players.items():
            grads = [p.grad for p in player.parameters()]
            if name == turn.player:
                assert all(g is not None and g.abs().sum() > 0 for g in grads)
            else:
                assert all(g is None for g in grads)
            assert all(p.requires_grad for p in player.parameters())
    assert order == ["discriminator", "generator"]


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_have_the_shape_and_range_of_the_data(shape: tuple[int, ...]) -> None:
    spec = spec_of(shape)
    model = gan(spec, channels=2, latent=7)
    assert model.noise_shape == (7,)
    samples = model.sample(100 * torch.randn(5, 7), {})
    assert samples.shape == (5, *shape)
    assert (samples.abs().max() <= 1) == (spec.levels is not None)


def test_a_sample_depends_on_its_own_noise_alone() -> None:
    model = gan(DIGITS, channels=2)
    noise = torch.randn(4, *model.noise_shape)
    torch.testing.assert_close(model.sample(noise, {})[:1], model.sample(noise[:1], {}))


def test_learning_rate_falls_along_half_a_cosine() -> None:
    model = gan(POINTS, learning_rate=0.5)
    how = model.optimization("generator")
    (optimizer,) = how.optimizers(model.players["generator"])
    factors = [how.schedule(Progress(0, examples, 100)) for examples in (0, 25, 50, 100)]
    values = [optimizer.param_groups[0]["lr"] * factor for factor in factors]
    assert values == pytest.approx([0.5, 0.25 + 0.25 * math.sqrt(0.5), 0.25, 0.0])


def test_spectral_norm_bounds_every_layer() -> None:
    model = gan(DIGITS, channels=2, spectral_norm=True)
    train(model, iter(lambda: torch.rand(8, 1, 8, 8), None), steps=40)
    discriminator = model.players["discriminator"].eval()
    layers = [m for m in discriminator.modules() if isinstance(m, WEIGHTED)]
    assert len(layers) == 9  # one from pixels, two blocks of three, two in the head
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert norm.item() == pytest.approx(1, abs=0.05)


def test_ring_is_learnt() -> None:
    """Its modes, and not only its circle: of a uniform circle, 0.38 lies within 3σ of a centre."""
    angle = torch.arange(8) * (math.pi / 4)
    centres = torch.stack([angle.cos(), angle.sin()], 1)

    def batches() -> Iterator[Tensor]:
        while True:
            yield centres[torch.randint(8, (64,))] + 0.05 * torch.randn(64, 2)

    model = gan(POINTS, latent=2)
    train(model, batches(), steps=1500)
    samples = model.sample(torch.randn(1000, *model.noise_shape), {}).detach()
    distance, mode = torch.cdist(samples, centres).min(1)
    close = distance < 3 * 0.05
    assert close.float().mean() > 0.45
    assert len(mode[close].unique()) == 8


def test_mixed_precision_penalises_in_full_precision() -> None:
    model = gan(DIGITS, channels=4)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    real = torch.rand(8, 1, 8, 8).bfloat16().float()  # as Fabric rounds every input
    _, expected = model.players["discriminator"](real, penalty=True)
    for name, player in list(model.players.items()):
        model.players[name] = fabric.setup_module(player)
    _, squared_norm = model.players["discriminator"](real, penalty=True)
    torch.testing.assert_close(squared_norm, expected)
    for turn in model.losses(Batch(real), Progress(0, 0, 1)):
        fabric.backward(turn.loss)
        assert turn.loss.isfinite()


def test_two_processes_stay_in_step() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "in step" in done.stdout


def two_processes() -> None:
    """Train two processes on different data; fail unless all their weights agree, and moved."""
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    torch.manual_seed(0)
    model = gan(DIGITS, channels=2, r1_interval=2, spectral_norm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizers: dict[str, Any] = {}
    for name in list(model.players):
        player = model.players[name]
        optimizer = model.optimization(name).optimizer(player.named_parameters())
        model.players[name], optimizers[name] = fabric.setup(player, optimizer)

    def move(turn: PlayerStep) -> None:
        optimizers[turn.player].zero_grad(set_to_none=True)
        fabric.backward(turn.loss)
        optimizers[turn.player].step()

    for step in range(6):
        torch.manual_seed(10 * step + fabric.global_rank)
        for turn in model.losses(Batch(torch.rand(8, 1, 8, 8)), Progress(step, 0, 1)):
            move(turn)
    for name, value in model.state_dict().items():
        both = fabric.all_gather(value)
        assert isinstance(both, Tensor)
        if not torch.equal(both[0], both[1]):
            raise SystemExit(f"{name} differs between the processes")
        if value.numel() > 1 and torch.equal(both[0], before[name]):
            raise SystemExit(f"{name} never moved")
    if fabric.is_global_zero:
        print("in step")
    # Left to the interpreter's exit, gloo's threads may abort a process that has succeeded.
    fabric.barrier()
    torch.distributed.destroy_process_group()


OPTIONS = [
    ({"loss": "wasserstein"}, "'loss'.*'non-saturating' or 'hinge'"),
    ({"r1_intervall": 4}, "no option 'r1_intervall'; did you mean 'r1_interval'"),
    ({"channels": "many"}, "'channels'.*valid integer"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_options("model 'gan'", factory, options)


def test_options_resolve_and_build() -> None:
    resolved = check_options("model 'gan'", factory, {"loss": "hinge", "r1": 0, "channels": 2})
    assert gan(DIGITS, **resolved).loss is LOSSES["hinge"]
    assert check_options("model 'gan'", gan(DIGITS).sample, {}) == {}


OUT_OF_RANGE = {"channels": 0, "latent": 0, "r1": -1.0, "r1_interval": 0, "learning_rate": 0.0}


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE.items())
def test_options_out_of_range_are_told(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"option '{name}': input should be greater than"):
        check_options("model 'gan'", factory, {name: value})


@pytest.mark.parametrize("shape", [(1, 10, 8), (3, 6), (1, 4, 4, 4, 4)])
def test_shapes_that_do_not_fit_are_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"divisible by 4; the samples are \("):
        gan(spec_of(shape))


if __name__ == "__main__":
    two_processes()
