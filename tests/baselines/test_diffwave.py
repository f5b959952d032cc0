"""DiffWave: its network written out again, the published size, and its noise schedule."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks import denoising_network
from baselines.networks.diffwave import DiffWave
from baselines.schedules import RangeBetas
from genbench.api import Categorical, SampleSpec, Text
from genbench.api.errors import UsageError
from genbench.registry import call, models

SOUND = SampleSpec("audio", (1, 64), 1 << 16, {"label": Categorical(3)}, 8000.0)


def network(**options: Any) -> DiffWave:
    torch.manual_seed(0)
    defaults = {"shape": (1, 64), "frame": 1, "width": 8, "depth": 7}
    net = DiffWave(**(defaults | options))
    nn.init.normal_(net.out.weight)  # it starts at zero
    return net


def written_out(
    state: dict[str, Tensor], x: Tensor, time: Tensor, cycle: int, label: Tensor | None = None
) -> Tensor:
    """Kong et al. 2021, section 3 and figure 2, by the names of the weights."""

    def dense(name: str, h: Tensor) -> Tensor:
        return F.linear(h, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(name: str, h: Tensor, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        padding = dilation * (weight.shape[2] // 2)
        return F.conv1d(h, weight, state[f"{name}.bias"], padding=padding, dilation=dilation)

    angles = time[:, None] * 1000 * 10 ** -torch.linspace(0, 4, 64)
    embedded = torch.cat([angles.sin(), angles.cos()], dim=1)
    for layer in (0, 2):
        embedded = F.silu(dense(f"signals.layers.{layer}", embedded))
    shifts = dense("signals.layers.4", embedded)
    depth = max(int(name.split(".")[1]) for name in state if name.startswith("layers.")) + 1
    width = state["stem.weight"].shape[0]
    h, skips = conv("stem", x).relu(), []
    for index in range(depth):
        at = slice(index * width, (index + 1) * width)
        y = conv(f"layers.{index}.conv", h + shifts[:, at, None], 2 ** (index % cycle))
        if label is not None:
            rows = slice(2 * index * width, 2 * (index + 1) * width)
            y = y + dense("labels.1", state["labels.0.weight"][label])[:, rows, None]
        y = y[:, :width].sigmoid() * y[:, width:].tanh()
        y = conv(f"layers.{index}.out", y)
        h = (h + y[:, :width]) / math.sqrt(2)
        skips.append(y[:, width:])
    total = torch.stack(skips).sum(0) / math.sqrt(depth)
    return conv("out", conv("skip", total).relu())


@pytest.mark.parametrize("classes", [0, 3])
def test_the_network_is_that_of_the_paper(classes: int) -> None:
    net = network(classes=classes)
    x, time = torch.randn(5, 1, 64), torch.rand(5)
    label = torch.tensor([0, 1, 2, 3, 3]) if classes else None
    with torch.no_grad():
        made = net(x, time) if label is None else net(x, time, label)
        # 64 positions: dilations of 1, 2, 4, 8 and 16, and again of 1 and 2.
        expected = written_out(net.state_dict(), x, time, cycle=5, label=label)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)


def test_the_published_network_has_24_million_weights_and_three_cycles_of_twelve() -> None:
    """Kong et al. 2021, section 5.3: 36 layers of 256 channels, 24 M, for 16,000 samples."""
    with torch.device("meta"):
        net = DiffWave((1, 16_000), frame=1, width=256, depth=36)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == 24
    dilations = [layer.conv.dilation[0] for layer in net.layers]
    assert dilations == [2**i for i in range(12)] * 3


def test_a_frame_is_so_many_samples() -> None:
    """What lies in one frame comes out where it went in."""
    net = network(frame=4, width=16, depth=1)
    nn.init.zeros_(net.layers[0].conv.weight)  # frames no longer see each other
    x = torch.zeros(2, 1, 64)
    x[1, 0, 21] = 1
    with torch.no_grad():
        first, second = net(x, torch.full((2,), 0.5))
    stem_only = (first - second)[0].nonzero().flatten().tolist()
    assert stem_only == []  # no residual layer passes x on but by its convolution
    net = network(frame=4, width=16, depth=1)
    with torch.no_grad():
        first, second = net(x, torch.full((2,), 0.5))
    changed = set(((first - second)[0] != 0).nonzero().flatten().tolist())
    assert changed == set(range(16, 28))  # the frame of 21 and its neighbours


def test_it_starts_at_zero_and_depends_on_the_time() -> None:
    net = DiffWave((1, 64), frame=2, width=8, depth=3)
    x, time = torch.randn(2, 1, 64), torch.tensor([0.1, 0.9])
    assert not net(x, time).any()
    nn.init.normal_(net.out.weight)
    assert not torch.allclose(net(x, time), net(x, time.flip(0)))


def test_of_several_outputs_each_has_the_shape_of_x() -> None:
    net = network(frame=4, outputs=2, shape=(3, 64))
    assert net(torch.randn(2, 3, 64), torch.rand(2)).shape == (2, 6, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": 3}, "a multiple of the frame's 3 samples, and it is 64"),
        ({"shape": (1, 8, 8)}, "network 'diffwave' needs samples of one side, not 2"),
        ({"shape": (2,)}, "network 'diffwave' needs samples of one side, not 0"),
    ],
)
def test_what_it_cannot_take(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network(**options)


def test_as_the_network_of_other_diffusions() -> None:
    """A position of a U-Net's lowest level is a frame, its width and its depth are the same."""
    net = call(
        denoising_network, SOUND, network="diffwave", channels=8, multipliers=(1, 1, 2), blocks=2
    )
    assert isinstance(net, DiffWave)
    assert (net.frame, len(net.layers), net.layers[0].conv.in_channels) == (4, 12, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 0.1}, "dropout is no option of network 'diffwave'"),
        ({"attention": (16,)}, "attention is an option of the U-Nets"),
    ],
)
def test_options_of_other_networks(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        models.make("edm", SOUND, network="diffwave", **options)


@pytest.mark.parametrize(("timesteps", "last", "left"), [(50, 0.05, 0.28), (200, 0.02, 0.13)])
def test_the_papers_schedules(timesteps: int, last: float, left: float) -> None:
    schedule = RangeBetas(timesteps, last)
    assert schedule.beta[0] == 1e-4
    assert schedule.beta[-1] == pytest.approx(last)
    steps = schedule.beta.diff()
    torch.testing.assert_close(steps, steps[0].expand_as(steps))
    assert float(schedule.alpha_bar[-1]) == pytest.approx(left, abs=5e-3)


def test_the_contestant_is_a_ddpm_that_predicts_the_noise() -> None:
    model = models.make("diffwave", SOUND, channels=8, layers=4, frame=4, conditional=True)
    assert model.conditions == {"label"}
    noise, label = torch.randn(2, 1, 64), torch.tensor([0, 2])
    # At first F = 0, so that no noise is predicted: each step divides by its √α.
    sample = model.sample(noise, {"label": label}, sampler="ddim", steps=50)
    torch.testing.assert_close(sample, noise / model.schedule.alpha_bar[-1].sqrt().float())


def test_texts_are_refused() -> None:
    spec = SampleSpec("audio", (1, 64), None, {"caption": Text(4, 9)}, 8000.0)
    with pytest.raises(UsageError, match="diffwave reads no texts"):
        models.make("diffwave", spec, conditional=True)
