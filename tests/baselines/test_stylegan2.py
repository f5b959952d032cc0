"""StyleGAN2 with adaptive augmentation: its layers against explicit sums, its penalties against
their definitions, its sizes against the published ones, and the promises of a contestant."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from scipy.signal import upfirdn
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, pad

from baselines.networks.pyramid import Filter, sizes, widths
from baselines.networks.stylegan2 import (
    Conv,
    Generator,
    Linear,
    ModulatedConv,
    StyledLayer,
    deviation,
    path_lengths_of,
)
from baselines.stylegan2_ada import StyleGan2Ada, stylegan2_ada
from genbench.errors import UsageError
from genbench.registry import check_options
from genbench.testing.checks import KEPT
from genbench.testing.models import model_checks
from genbench.types import Batch, Categorical, Progress, SampleSpec

CONVOLVE = {1: conv1d, 2: conv2d, 3: conv3d}
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 12, 28), (2, 32), (1, 4, 8, 8), (1, 7, 7)]
TINY: dict[str, Any] = {"channels": 2, "max_channels": 4, "latent": 6}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(*shape: int, classes: int = 0) -> SampleSpec:
    return SampleSpec("image", shape, condition={"label": Categorical(classes)} if classes else {})


def tiny(*shape: int, **options: Any) -> StyleGan2Ada:
    return stylegan2_ada(spec_of(*shape), **(TINY | options))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shaken(module: nn.Module) -> nn.Module:
    """With nothing left at zero, in double precision."""
    for parameter in module.double().parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 4, 6)])
def test_resampling_is_the_published_filter_between_zeros(space: tuple[int, ...]) -> None:
    """Against SciPy, a side at a time: its output of length 2n + 2 has one value more at each
    end than twice the side."""
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    filter = Filter(len(space)).double()
    taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
    up = down = x.numpy()
    for axis in range(2, x.dim()):
        side = x.shape[axis]
        up = upfirdn(2 * taps, up, up=2, axis=axis).take(range(1, 2 * side + 1), axis)
        down = upfirdn(taps, down, axis=axis).take(range(2, side + 2, 2), axis)
    torch.testing.assert_close(filter.up(x), torch.from_numpy(up))
    torch.testing.assert_close(filter.down(x), torch.from_numpy(down))


@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 4, 6)])
def test_down_is_the_adjoint_of_up(space: tuple[int, ...]) -> None:
    filter = Filter(len(space)).double()
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    y = torch.randn_like(filter.up(x))
    torch.testing.assert_close(
        (filter.up(x) * y).sum(), 2 ** len(space) * (x * filter.down(y)).sum()
    )
    inner = (..., *[slice(1, -1)] * len(space))
    torch.testing.assert_close(filter.up(torch.ones_like(x))[inner], torch.ones_like(y)[inner])


LEVELS = {
    (8, 8): [(4, 4), (8, 8)],
    (28, 28): [(7, 7), (14, 14), (28, 28)],
    (12, 28): [(6, 14), (12, 28)],
    (16,): [(4,), (8,), (16,)],
    (7, 7): [(7, 7)],
}


@pytest.mark.parametrize(("space", "expected"), LEVELS.items())
def test_sides_are_halved_together(space: tuple[int, ...], expected: list[tuple[int, ...]]) -> None:
    assert sizes("it", space) == expected


def spread(x: Tensor) -> Tensor:
    """Zeros between the values."""
    out = x.new_zeros(*x.shape[:2], *(2 * side - 1 for side in x.shape[2:]))
    out[(..., *[slice(None, None, 2)] * (x.dim() - 2))] = x
    return out


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("space", [(4,), (3, 5), (3, 2, 4)])
def test_modulated_convolution_has_its_own_weights_for_each_sample(
    space: tuple[int, ...], up: bool, demodulate: bool
) -> None:
    """Equations 1 and 3 of Karras et al. (2020), written out."""
    dimensions = len(space)
    convolve = CONVOLVE[dimensions]
    layer = ModulatedConv(3, 4, 3, dimensions, 6, demodulate=demodulate)
    shaken(layer)
    x = torch.randn(2, 3, *space, dtype=torch.float64)
    w = torch.randn(2, 6, dtype=torch.float64)
    expected = []
    for sample, style in zip(x, layer.style(w), strict=True):
        weight = layer.weight * style.view(1, -1, *[1] * dimensions)
        if demodulate:
            energy = weight.square().flatten(1).sum(1) + 1e-8
            weight = weight / energy.sqrt().view(-1, 1, *[1] * dimensions)
        else:
            weight = weight / math.sqrt(3 * 3**dimensions)
        if up:
            # The adjoint convolution correlates with the kernel turned round.
            turned = weight.flip(*range(2, 2 + dimensions))
            full = convolve(pad(spread(sample[None]), [2, 2] * dimensions), turned)
            kernel = 2**dimensions * layer.filter.kernel.expand(4, 1, *[4] * dimensions)
            y = convolve(pad(full, [1, 1] * dimensions), kernel, groups=4)
        else:
            y = convolve(sample[None], weight, padding=1)
        expected.append(y[0])
    torch.testing.assert_close(layer(x, w, up=up), torch.stack(expected))


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("space", [(8,), (6, 4), (4, 2, 6)])
def test_convolution_smooths_before_it_skips(space: tuple[int, ...], width: int) -> None:
    dimensions = len(space)
    convolve = CONVOLVE[dimensions]
    layer = Conv(2, 3, width, dimensions)
    shaken(layer)
    x = torch.randn(2, 2, *space, dtype=torch.float64)
    weight = layer.weight / math.sqrt(2 * width**dimensions)
    kernel = layer.filter.kernel.expand(2, 1, *[4] * dimensions)
    border = [1 + width // 2] * 2 * dimensions
    full = convolve(convolve(pad(x, border), kernel, groups=2), weight, layer.bias)
    every = (..., *[slice(None, None, 2)] * dimensions)
    torch.testing.assert_close(layer(x, down=True), full[every])
    torch.testing.assert_close(layer(x), convolve(x, weight, layer.bias, padding=width // 2))


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_layers_move_at_their_rate_whatever_their_size(rate: float) -> None:
    """What Adam's first step, of size lr for every weight, makes of the weights in use."""
    layer = Linear(400, 50, rate=rate)
    identity = torch.eye(400)

    def used() -> Tensor:
        return (layer(identity) - layer(torch.zeros(1, 400))).detach()

    before, bias = used(), layer(torch.zeros(1, 400)).detach()
    assert before.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.02)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    layer(torch.randn(8, 400)).square().sum().backward()
    optimizer.step()
    step = (used() - before).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3 * rate / 20), rtol=0.05, atol=1e-7)
    step = (layer(torch.zeros(1, 400)) - bias).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3 * rate), rtol=0.01, atol=1e-7)


def test_noise_is_one_plane_for_all_channels() -> None:
    layer = StyledLayer(3, 4, 2, 6, up=False)
    x, w = torch.randn(5, 3, 6, 6), torch.randn(5, 6)
    torch.testing.assert_close(layer(x, w), layer(x, w))  # its strength is zero at the start
    with torch.no_grad():
        layer.strength.fill_(0.5)
        layer.conv.weight.zero_()
    y = layer(x, w) / math.sqrt(2)
    noise = torch.where(y > 0, y, 5 * y)
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert noise.std().item() == pytest.approx(0.5, rel=0.2)
    assert not torch.allclose(noise[0], noise[1])


def test_deviation_is_that_of_its_group() -> None:
    x = torch.randn(2 * 6, 3, 4, 4)
    ours = deviation(x, 2, 4)  # of 6 samples, groups of 3
    for minibatch in range(2):
        for first in range(2):
            rows = [6 * minibatch + first + 2 * k for k in range(3)]
            expected = (x[rows].var(0, unbiased=False) + 1e-8).sqrt().mean()
            torch.testing.assert_close(ours[rows], expected.expand(3, 1, 4, 4))


def generator(**options: Any) -> Generator:
    module = Generator(
        2, sizes("it", (8, 8)), widths(2, channels=2, max_channels=4), latent=5, **options
    )
    return module.double()


def test_path_lengths_are_those_of_the_jacobian() -> None:
    """Of a linear generator, whose Jacobian is its matrix; the last layer's w counts as zero."""
    matrix = torch.randn(2 * 8 * 8, 3 * 5, dtype=torch.float64)
    styles = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)

    def synthesize(styles: Tensor) -> Tensor:
        return (styles.flatten(1) @ matrix.T).view(-1, 2, 8, 8)

    torch.manual_seed(3)
    samples, lengths = path_lengths_of(synthesize, styles)
    torch.manual_seed(3)
    y = torch.randn(4, 2, 8, 8, dtype=torch.float64) / 8
    torch.testing.assert_close(samples, synthesize(styles))
    expected = (y.flatten(1) @ matrix).square().sum(1) / 3  # the mean square over the layers
    torch.testing.assert_close(lengths, expected.sqrt())


def test_path_lengths_of_the_network_are_those_of_its_jacobian() -> None:
    module = generator(mapping_layers=2, classes=0)
    z = torch.randn(3, 5, dtype=torch.float64)
    module.train(False)
    torch.manual_seed(3)
    samples, lengths = module(z, path_lengths=True)
    # The network draws its noises, whose strength is zero at the start, before y is drawn.
    torch.manual_seed(3)
    torch.testing.assert_close(module(z)[0], samples)
    y = torch.randn_like(samples) / 8
    styles = module.mapping(z, None)[:, None].expand(-1, module.count, -1)
    jacobian = torch.autograd.functional.jacobian(module.synthesize, styles)
    for i in range(3):
        gradient = torch.einsum("chw,chwld->ld", y[i], jacobian[i, :, :, :, i])
        torch.testing.assert_close(lengths[i], gradient.square().sum(1).mean().sqrt())


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
    turn = model._path_turn(torch.zeros(9, 1, 8, 8), None)
    torch.manual_seed(4)
    sizes = torch.randn(4, 1).abs()[:, 0]  # of half a minibatch
    mean = 0.99 * 0.8 + 0.01 * (theta * sizes).mean()
    torch.testing.assert_close(model.path_mean, mean)
    penalty = 2 * (theta * sizes - mean).square().mean()
    torch.testing.assert_close(turn.diagnostics["path_length"], penalty)
    torch.testing.assert_close(turn.loss.detach(), 4 * penalty)
    turn.loss.backward()
    slope = 4 * 2 * (2 * (theta * sizes - mean) * sizes).mean()
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
    transform = model._augment()
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


def test_mixing_takes_another_w_from_some_layer_on() -> None:
    network = generator(mapping_layers=2, classes=0)
    z = torch.randn(400, 5, dtype=torch.float64)
    own = network.mapping(z, None)[:, None]
    styles = network._styles(z, None, 1.0, 0.9)
    kept = (styles == own).all(2)
    assert kept[:, 0].all()
    assert (kept[:, :-1] >= kept[:, 1:]).all()  # once another, always another
    assert (~kept[:, -1]).double().mean().item() == pytest.approx(0.9, abs=0.06)
    assert torch.equal(network._styles(z, None, 1.0, 0.0), own.expand(-1, 4, -1))


def test_adam_is_corrected_for_the_steps_that_only_regularise() -> None:
    model = tiny(1, 8, 8, learning_rate=0.0025)
    for player, share in (("discriminator", 16 / 17), ("generator", 4 / 5)):
        how = model.optimization(player)
        (group,) = how.optimizer(model.players[player].parameters()).param_groups
        assert group["betas"] == (0.0, pytest.approx(0.99**share))
        assert how.learning_rate(Progress(3, 9, 10)) == pytest.approx(0.0025 * share)


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
    options = TINY | {"path_length": 1.0, "mixing": 0.5, "ada_images": 200, "ada_target": 0.0}
    checks = model_checks(stylegan2_ada, options=options, data=["digits"])
    wanted = [check for check in checks if "process" in check.promise or "resume" in check.promise]
    assert len(wanted) == 2
    assert [f"{check}: {check.result}" for check in wanted if check.result.status != KEPT] == []


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
            check_options("model 'stylegan2-ada'", stylegan2_ada, options)

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
