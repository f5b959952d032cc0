"""The networks of WaveGAN and SpecGAN (Donahue, McAuley & Puckette 2019, appendix D).

Those of DCGAN, with longer kernels in one dimension, and without normalisation. A sound ``(C, T)``
has kernels of 25 and strides of 4, a spectrogram ``(C, F, T)`` kernels of 5 and strides of 2.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.networks.dcgan import TRANSPOSED
from baselines.networks.gan import CONV, Generator
from baselines.networks.resnet_gan import ProjectionDiscriminator
from genbench.api.errors import UsageError

SLOPE = 0.2
"""Of the critic's leaky ReLUs."""
KERNEL = {1: 25, 2: 5}
STRIDE = {1: 4, 2: 2}
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
LEAST = {1: 8, 2: 4}
"""No side of the first map is shorter: 16,384 samples come from 16, 128×128 pictures from 4×4."""


def reduced(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sides of ``(C, *space)`` at full size, and after each reduction of all of them.

    Raises:
        UsageError: Other than one or two sides, or sides that cannot be reduced once.
    """
    space = shape[1:]
    if len(space) not in KERNEL:
        raise UsageError(f"the networks of WaveGAN need one or two sides, not {len(space)}")
    stride, least = STRIDE[len(space)], LEAST[len(space)]
    sides = [space]
    while all(side % stride == 0 and side // stride >= least for side in sides[-1]):
        sides.append(tuple(side // stride for side in sides[-1]))
    if len(sides) == 1:
        raise UsageError(
            f"each side must be a multiple of {stride}, and {stride * least} at least; "
            f"the samples are {'×'.join(map(str, space))}"
        )
    return sides


def generator(
    shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool, classes: int
) -> Generator:
    """From ``(B, latent)`` and labels ``(B,)``, which come as one-hot vectors beside the noise, to
    ``(B, *shape)``, in [-1, 1] where ``bounded``.

    ``channels`` is the width below full size, doubled with each reduction but the first.
    """
    features, *space = shape
    sides = reduced(shape)
    kernel, stride = KERNEL[len(space)], STRIDE[len(space)]
    padding, more = (kernel - stride + 1) // 2, 1
    widths = [channels * 2**level for level in range(len(sides) - 1)]
    up = TRANSPOSED[len(space)]
    layers: list[nn.Module] = [
        nn.Linear(latent + classes, widths[-1] * math.prod(sides[-1])),
        nn.Unflatten(1, (widths[-1], *sides[-1])),
    ]
    for wide, narrow in pairwise([*reversed(widths), features]):
        layers += [nn.ReLU(), up(wide, narrow, kernel, stride, padding, more)]
    if bounded:
        layers.append(nn.Tanh())
    return Generator(classes, *layers).apply(initialise)


def critic(
    shape: tuple[int, ...], *, channels: int, classes: int, shuffle: int
) -> ProjectionDiscriminator:
    """Of samples ``(C, *space)``, with the widths of ``generator``, and after each layer of a
    sound's but the last ``PhaseShuffle`` of so many positions."""
    features, *space = shape
    sides = reduced(shape)
    kernel, stride = KERNEL[len(space)], STRIDE[len(space)]
    padding = (kernel - stride + 1) // 2
    widths = [channels * 2**level for level in range(len(sides) - 1)]
    down = CONV[len(space)]
    layers: list[nn.Module] = []
    for narrow, wide in pairwise([features, *widths]):
        layers += [down(narrow, wide, kernel, stride, padding), nn.LeakyReLU(SLOPE)]
        if shuffle and len(space) == 1 and wide != widths[-1]:
            layers.append(PhaseShuffle(shuffle))
    width = widths[-1] * math.prod(sides[-1])
    trunk = nn.Sequential(*layers, nn.Flatten()).apply(initialise)
    return ProjectionDiscriminator(trunk, width, classes, bias=True)


class PhaseShuffle(nn.Module):
    """Each sample of ``(B, C, T)``, all its channels alike, moved by a random whole number of up to
    ``most`` positions either way; what is missing is filled in by reflection (section 3.3).

    So the critic cannot tell generated sounds by the phase of what strided convolutions leave.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[2]
        shifts = torch.randint(-self.most, self.most + 1, (len(x), 1), device=x.device)
        place = (torch.arange(length, device=x.device) - shifts).abs()
        place = (length - 1) - ((length - 1) - place).abs()
        return x.gather(2, place[:, None].expand_as(x))


def initialise(module: nn.Module) -> None:
    """Weights from U(-√(6/(i + o)), √(6/(i + o))) (Glorot & Bengio 2010, eq. 16), as the authors'
    TensorFlow does by default; biases 0."""
    if isinstance(module, LAYERS):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
