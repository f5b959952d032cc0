"""StyleGAN2 with adaptive augmentation: its penalties against their definitions, its sizes against
the published ones, and the promises of a contestant."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from baselines.networks.stylegan2 import (
    Generator,
)
from baselines.stylegan2_ada import StyleGan2Ada
from baselines.stylegan2_ada import stylegan2_ada as factory
from genbench.api import Batch, Categorical, Progress, SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import call, check_options
from genbench.testing.checks import PASSED
from genbench.testing.models import model_checks

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 12, 28), (2, 32), (1, 4, 8, 8), (1, 7, 7)]
TINY: dict[str, Any] = {"channels": 2, "max_channels": 4, "latent": 6}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(*shape: int, classes: int = 0) -> SampleSpec:
    return SampleSpec("image", shape, condition={"label": Categorical(classes)} if classes else {})


def stylegan2_ada(spec: SampleSpec, **options: Any) -> StyleGan2Ada:
    model: StyleGan2Ada = call(factory, spec, **options)
    return model


def tiny(*shape: int, **options: Any) -> StyleGan2Ada:
    return stylegan2_ada(spec_of(*shape), **(TINY | options))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Lengths(nn.Module):
    """The generator of the closed form: path lengths θ |z|."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, z: Tensor, *others: Any, **options: Any) -> tuple[Tensor, Tensor]:
        return self.theta * z, self.theta * z.abs()[:, 0]


def test_path_penalty_is_about_its_running_mean() -> None:
    model = tiny(1, 8, 8, path_length=2.0, latent=1)
    theta = 1.5
    model.players["generator"] = Lengths(theta)
    model.path_mean.fill_(0.8)
    torch.manual_seed(4)
    turn = model.path_turn(torch.zeros(9, 1, 8, 8), None)
    torch.manual_seed(4)
    sizes = torch.randn(4, 1).abs()[:, 0]  # of half a minibatch
    mean = 0.99 * 0.8 + 0.01 * (theta * sizes).mean()
    torch.testing.assert_close(model.path_mean, mean)
    penalty = 2 * (theta * sizes - mean).square().mean()
    torch.testing.assert_close(turn.diagnostics["path_length"], penalty)
    torch.testing.assert_close(turn.loss.detach(), 4 * penalty)
    turn.loss.backward()
    # The mean moves with θ as well, as in the authors' code: by a hundredth of the lengths' own.
    moved = sizes - 0.01 * sizes.mean()
    slope = 4 * 2 * (2 * (theta * sizes - mean) * moved).mean()
    torch.testing.assert_close(model.players["generator"].get_parameter("theta").grad, slope)


@pytest.mark.parametrize("augmentation", ["none", "ada"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 16), (1, 4, 8, 8)])
def test_r1_is_the_squared_gradient_of_its_definition(
    shape: tuple[int, ...], augmentation: str
) -> None:
    """With respect to the samples as they come, whatever becomes of them before they are seen."""
    model = tiny(*shape, augment=augmentation)
    discriminator = model.players["discriminator"].double()
    if model.ada is not None:
        model.ada.p.fill_(0.7)
    transform = model.transform()
    real = torch.randn(4, *shape, dtype=torch.float64)

    def logits_of(x: Tensor) -> Tensor:
        torch.manual_seed(6)
        return discriminator(x, augment=transform)[0].sum()

    torch.manual_seed(6)
    logits, squared_norm = discriminator(real, augment=transform, penalty=True)
    jacobian = torch.autograd.functional.jacobian(logits_of, real)
    torch.testing.assert_close(squared_norm[0], jacobian.square().flatten(1).sum(1).float())
    torch.testing.assert_close(logits.sum(), logits_of(real))


def test_turns_are_regularised_at_their_intervals() -> None:
    model = tiny(1, 8, 8, path_length=1.0, mixing=0.9)
    players = []
    for step in range(17):
        turns = model.losses(Batch(torch.rand(4, 1, 8, 8)), Progress(step, 0, 1))
        players.append("".join(turn.player[0] for turn in turns))
    lazy = {0: "ddgg", 4: "dgg", 8: "dgg", 12: "dgg", 16: "ddgg"}
    assert players == [lazy.get(step, "dg") for step in range(17)]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_turn_gives_gradients_to_its_player_alone(
    shape: tuple[int, ...], conditional: bool
) -> None:
    spec = spec_of(*shape, classes=3)
    model = stylegan2_ada(
        spec, **TINY, path_length=1.0, mixing=0.9, conditional=conditional, residual=False
    )
    for player in model.players.values():  # no strength at zero, nothing that never reached a loss
        for parameter in player.parameters():
            nn.init.normal_(parameter)
    batch = Batch(torch.rand(4, *shape) * 2 - 1, {"label": torch.tensor([0, 1, 2, 0])})
    order = []
    for turn in model.losses(batch, Progress(0, 0, 1)):
        order.append(turn.player)
        model.zero_grad()
        turn.loss.backward()
        for name, player in model.players.items():
            grads = [p.grad for p in player.parameters()]
            # Under DDP every parameter must have one, be it zero.
            assert all((g is not None) == (name == turn.player) for g in grads)
            assert all(g is None or g.isfinite().all() for g in grads)
    assert order == ["discriminator"] * 2 + ["generator"] * 2


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_have_the_shape_of_the_data(shape: tuple[int, ...]) -> None:
    model = tiny(*shape, latent=7)
    assert model.noise_shape == (7,)
    assert model.conditions == frozenset()
    assert model.sample(torch.randn(5, 7), {}).shape == (5, *shape)


def test_labels_make_a_difference_to_both_players() -> None:
    model = stylegan2_ada(spec_of(1, 8, 8, classes=3), **TINY, conditional=True)
    assert model.conditions == {"label"}
    noise, labels = torch.randn(3, 6), torch.tensor([0, 1, 2])
    samples = model.sample(noise, {"label": labels})
    torch.testing.assert_close(model.sample(noise, {"label": labels}), samples)
    assert not torch.allclose(model.sample(noise, {"label": labels.flip(0)})[0], samples[0])
    discriminator = model.players["discriminator"]
    (one,), _ = discriminator(samples, labels=labels)
    (two,), _ = discriminator(samples, labels=labels.flip(0))
    assert one[0] != two[0]
    assert one[1] == two[1]


def test_truncation_goes_towards_the_mean_of_w() -> None:
    model = tiny(1, 8, 8)
    network = model.players["generator"]
    assert isinstance(network, Generator)
    noise = torch.randn(64, 6)
    network(noise)
    w = network.mapping(noise, None)
    torch.testing.assert_close(network.style_mean, 0.005 * w.mean(0))
    model.train(False)
    network.style_mean.copy_(w[0])
    before = network.style_mean.clone()
    whole = model.sample(noise[:2], {})
    torch.testing.assert_close(model.sample(noise[:2], {}, truncation=1.0), whole)
    none = model.sample(noise[:2], {}, truncation=0.0)
    torch.testing.assert_close(none, whole[:1].expand(2, -1, -1, -1))
    half = model.sample(noise[:2], {}, truncation=0.5)
    expected = network.synthesize((w[:2] + w[0])[:, None].expand(-1, 4, -1) / 2)
    torch.testing.assert_close(half, expected)
    assert torch.equal(network.style_mean, before)


def test_adam_is_corrected_for_the_steps_that_only_regularise() -> None:
    model = tiny(1, 8, 8, learning_rate=0.0025)
    for player, share in (("discriminator", 16 / 17), ("generator", 4 / 5)):
        how = model.optimization(player)
        (group,) = how.optimizer(model.players[player].named_parameters()).param_groups
        assert group["betas"] == (0.0, pytest.approx(0.99**share))
        assert group["lr"] == pytest.approx(0.0025 * share)
        assert how.schedule(Progress(3, 9, 10)) == 1


PUBLISHED = {
    # Huang et al. (2024), table 2, configuration A: 24.767 M and 24.001 M.
    "FFHQ 256": ((3, 256, 256), {"channels": 64, "mapping_layers": 8}, 0, 24.767, 24.001),
    # What the published code counts in its configuration "cifar".
    "CIFAR-10": ((3, 32, 32), {"channels": 512, "residual": False}, 0, 19.948, 20.721),
    "CIFAR-10, classes": ((3, 32, 32), {"channels": 512, "residual": False}, 10, 20.215, 23.090),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_have_their_parameters(name: str) -> None:
    shape, options, classes, generator, discriminator = PUBLISHED[name]
    with torch.device("meta"):
        model = stylegan2_ada(
            spec_of(*shape, classes=classes), latent=512, conditional=classes > 0, **options
        )
    assert round(count(model.players["generator"]) / 1e6, 3) == generator
    assert round(count(model.players["discriminator"]) / 1e6, 3) == discriminator


def test_trains_in_step_on_two_processes_and_resumes_with_everything_switched_on() -> None:
    options = TINY | {"path_length": 1.0, "mixing": 0.5, "ada_examples": 200, "ada_target": 0.0}
    checks = model_checks(factory, options=options, data=["digits"])
    wanted = [check for check in checks if "process" in check.promise or "resume" in check.promise]
    assert len(wanted) == 2
    assert [f"{check}: {check.result}" for check in wanted if check.result.status != PASSED] == []


def test_mixed_precision_regularises_in_full_precision() -> None:
    model = tiny(1, 8, 8, augment="none", path_length=1.0)
    real = torch.rand(8, 1, 8, 8).bfloat16().float()  # as Fabric rounds every input

    def penalties() -> list[Tensor]:
        torch.manual_seed(2)
        turns = model.losses(Batch(real), Progress(0, 0, 1))
        return [next(iter(turn.diagnostics.values())) for turn in list(turns)[1::2]]

    expected = penalties()
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    for name, player in list(model.players.items()):
        model.players[name] = fabric.setup_module(player)
    model.path_mean.zero_()
    torch.testing.assert_close(penalties()[0], expected[0])
    for turn in model.losses(Batch(real), Progress(0, 0, 1)):
        fabric.backward(turn.loss)
        assert turn.loss.isfinite()


def test_wrong_requests_are_told() -> None:
    def refuses(options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            check_options("model 'stylegan2-ada'", factory, options)

    refuses({"augment": "adaptive"}, "'augment'.*'ada' or 'none'")
    refuses({"ada_targt": 0.5}, "no option 'ada_targt'; did you mean 'ada_target'")
    refuses({"mixing": 1.5}, "'mixing'.*less than or equal to 1")
    refuses({"r1": -1}, "'r1'.*greater than or equal to 0")
    with pytest.raises(UsageError, match="signals with sides, and the samples are points"):
        stylegan2_ada(SampleSpec("points", (2,), None))
    with pytest.raises(UsageError, match="no labels"):
        stylegan2_ada(spec_of(1, 8, 8), conditional=True)
    for shape in [(1, 35, 35), (1, 4, 4, 4, 4)]:
        with pytest.raises(UsageError, match=r"at most 3 sides.*the samples have \d+ × "):
            stylegan2_ada(spec_of(*shape))
