"""The networks of DCGAN and of the residual GANs: published counts, formulas, minibatches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines.networks import dcgan, gan, resnet_gan
from baselines.networks.batch_norm import BatchNorm
from baselines.networks.dcgan import halved
from baselines.networks.spectral_norm import normalise_spectra
from genbench.api.errors import UsageError

SHAPES = [(1, 8, 8), (3, 32, 32), (2, 28), (1, 8, 16, 8), (2,)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_halved_sides() -> None:
    assert halved((1, 4, 4)) == [(4, 4), (2, 2)]
    assert halved((1, 8, 8)) == [(8, 8), (4, 4), (2, 2)]
    assert halved((1, 16, 16)) == [(16, 16), (8, 8), (4, 4)]
    assert halved((1, 28, 28)) == [(28, 28), (14, 14), (7, 7)]
    assert halved((3, 64)) == [(64,), (32,), (16,), (8,), (4,)]
    assert halved((1, 8, 16, 12)) == [(8, 16, 12), (4, 8, 6), (2, 4, 3)]


@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 9, 8), (3, 7), (1, 8, 8, 8, 8)])
def test_sides_that_cannot_be_halved_are_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"at most 3 sides, each even .*; they are \("):
        halved(shape)


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    return inputs * outputs + outputs * bias


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return kernel**2 * inputs * outputs + outputs


def residual_generator(width: int, classes: int) -> int:
    """By hand, of the released codes: gen_models/resnet_32.py of pfnet-research/sngan_projection,
    Generator in gan_cifar_resnet.py of igul222/improved_wgan_training, which are the same."""
    norm = 2 * width * max(1, classes)
    block = 2 * norm + 2 * conv(width, width, 3) + conv(width, width, 1)
    return linear(128, 16 * width) + 3 * block + 2 * width + conv(width, 3, 3)


def residual_discriminator(width: int, classes: int, bias: bool) -> int:
    """Likewise, of dis_models/snresnet_32.py and Discriminator."""
    first = conv(3, width, 3) + conv(width, width, 3) + conv(3, width, 1)
    down = 2 * conv(width, width, 3) + conv(width, width, 1)
    stay = 2 * conv(width, width, 3)
    return first + down + 2 * stay + linear(width, 1, bias) + classes * width


@pytest.mark.parametrize("classes", [0, 10])
def test_published_sizes_of_the_residual_networks(classes: int) -> None:
    shape = (3, 32, 32)
    generator = resnet_gan.generator(shape, channels=256, latent=128, bounded=True, classes=classes)
    assert count(generator) == residual_generator(256, classes)
    discriminator = resnet_gan.discriminator(
        shape, channels=128, classes=classes, pool="sum", bias=False
    )
    assert count(discriminator) == residual_discriminator(128, classes, bias=False)
    if classes == 0:
        assert (count(generator), count(discriminator)) == (4_276_739, 1_053_824)
        small = resnet_gan.generator(shape, channels=128, latent=128, bounded=True, classes=0)
        critic = resnet_gan.discriminator(shape, channels=128, classes=0, pool="mean", bias=True)
        assert (count(small), count(critic)) == (1_204_483, 1_053_825)


def test_dcgan_of_the_paper_has_its_layers() -> None:
    """Figure 1: 100 numbers, 1024 maps of 4×4, and four fractionally strided convolutions."""
    generator = dcgan.generator((3, 64, 64), channels=128, latent=100, bounded=True, classes=0)
    ups = [layer for layer in generator if isinstance(layer, nn.ConvTranspose2d)]
    assert [(up.in_channels, up.out_channels) for up in ups] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 3),
    ]
    norms = [layer for layer in generator if isinstance(layer, BatchNorm)]
    assert [len(norm.weight) for norm in norms] == [1024, 512, 256, 128]
    assert ups[0].weight.std().item() == pytest.approx(0.02, rel=0.01)
    # 100 × 16,384 numbers, four kernels of 4×4, a bias of the output, the norms.
    kernels = 16 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert count(generator) == 1_638_400 + kernels + 3 + 2 * (1024 + 512 + 256 + 128)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: tuple[int, ...], classes: int) -> None:
    labels = torch.tensor([0, 2, 1, 1]) if classes else None
    for module in (dcgan, resnet_gan):
        generator = module.generator(shape, channels=2, latent=5, bounded=True, classes=classes)
        samples = generator(torch.randn(4, 5), labels)
        assert samples.shape == (4, *shape)
        assert samples.abs().max() <= 1
    judge = dcgan.discriminator(shape, channels=2, classes=classes)
    assert judge(samples, samples, labels=labels).shape == (2, 4)
    critic = resnet_gan.discriminator(shape, channels=2, classes=classes, pool="sum", bias=True)
    logits, slopes = critic(samples, samples, labels=labels, slopes=True)
    assert (logits.shape, slopes.shape) == ((2, 4), (4,))


@pytest.mark.parametrize("shape", SHAPES)
def test_minibatches_of_one_call_do_not_mix(shape: tuple[int, ...]) -> None:
    """DCGAN's batch normalisation sees the real samples alone, and the generated ones alone."""
    one, two = torch.randn(2, 6, *shape)
    judge = dcgan.discriminator(shape, channels=2, classes=0)
    critic = resnet_gan.discriminator(shape, channels=2, classes=0, pool="mean", bias=True)
    together, _ = critic(one, two)
    for row, x in enumerate((one, two)):
        torch.testing.assert_close(judge(one, two)[row], judge(x)[0])
        torch.testing.assert_close(together[row], critic(x)[0][0])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2,)])
def test_the_projection_discriminator_is_its_formula(
    shape: tuple[int, ...], normalised: bool
) -> None:
    """f(x, y) = ψ(φ(x)) + yᵀ V φ(x) (Miyato & Koyama 2018, eq. 3), y one-hot."""
    network = resnet_gan.discriminator(shape, channels=4, classes=5, pool="sum", bias=True)
    if normalised:
        normalise_spectra(network)
    network.eval()
    x, labels = torch.randn(6, *shape), torch.tensor([4, 0, 3, 3, 1, 2])
    (logits,), _ = network(x, labels=labels)
    phi = network.trunk(x)
    y = nn.functional.one_hot(labels, 5).float()
    assert network.embedding is not None
    v = network.embedding.weight
    expected = network.last(phi)[:, 0] + torch.einsum("bk,kf,bf->b", y, v, phi)
    torch.testing.assert_close(logits, expected)
    (other,), _ = network(x, labels=labels.roll(1))
    assert not torch.equal(other, logits)


def test_the_projection_of_gan_is_its_formula() -> None:
    network = gan.discriminator((1, 8, 8), channels=4, spectral_norm=False, classes=5)
    x, labels = torch.randn(6, 1, 8, 8), torch.tensor([4, 0, 3, 3, 1, 2])
    taken: list[Tensor] = []
    network.head[-1].register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    (logits,), _ = network(x, labels=labels)
    assert network.embedding is not None
    v = network.embedding.weight[labels]
    torch.testing.assert_close(logits, network.head[-1](taken[0])[:, 0] + (v * taken[0]).sum(1))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_slopes_are_those_of_their_definition(shape: tuple[int, ...], classes: int) -> None:
    """‖∇D(x̂)‖, x̂ = x + ε (g - x), ε ~ U[0, 1] for each pair (Gulrajani et al. 2017, eq. 3)."""
    network = resnet_gan.discriminator(shape, channels=2, classes=classes, pool="sum", bias=True)
    network.double()
    labels = torch.tensor([0, 2, 1, 1]) if classes else None
    real, fake = torch.randn(2, 4, *shape, dtype=torch.float64)
    torch.manual_seed(5)
    _, slopes = network(real, fake, labels=labels, slopes=True)
    torch.manual_seed(5)
    share = torch.rand(4, *[1] * len(shape), dtype=torch.float64)
    between = real + share * (fake - real)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network(x, labels=labels)[0].sum(), between
    )
    torch.testing.assert_close(slopes, jacobian.flatten(1).norm(dim=1).float())


def test_slopes_move_the_weights_as_their_definition_does() -> None:
    network = resnet_gan.discriminator((1, 8, 8), channels=3, classes=0, pool="sum", bias=True)
    network.double()
    real, fake = torch.randn(2, 4, 1, 8, 8, dtype=torch.float64)
    torch.manual_seed(5)
    (network(real, fake, slopes=True)[1].double() - 1).square().mean().backward()
    moved = [p.grad for p in network.parameters()]

    network.zero_grad()
    torch.manual_seed(5)
    share = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    between = (real + share * (fake - real)).requires_grad_()
    logits = network.last(network.trunk(between))
    (gradient,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
    (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
    for ours, parameter in zip(moved, network.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_critic_without_slope_has_a_finite_penalty() -> None:
    """Where ‖∇D‖ = 0 the norm has no derivative; it must not become NaN."""
    network = resnet_gan.discriminator((1, 8, 8), channels=2, classes=0, pool="sum", bias=True)
    nn.init.zeros_(network.last.weight)
    x = torch.randn(3, 1, 8, 8)
    _, slopes = network(x, x, slopes=True)
    (slopes - 1).square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
