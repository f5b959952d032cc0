"""The transformer: diffusers' output with equal weights, and signals of any kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from torch import Tensor, nn

from baselines.networks import denoising_network
from baselines.networks.dit import DiT, sincos_positions
from baselines.networks.layers import Sinusoids
from genbench.api import SampleSpec
from genbench.api.errors import UsageError
from genbench.registry import call

SHAPES = [(2, 16), (1, 8, 8), (3, 8, 12), (1, 8, 4, 4)]


def network(shape: tuple[int, ...], **options: Any) -> DiT:
    torch.manual_seed(0)
    defaults = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "dropout": 0.0}
    spec = SampleSpec("any", shape)
    net = call(denoising_network, spec, network="dit", **(defaults | options))
    assert isinstance(net, DiT)
    return net


def stir(module: nn.Module) -> None:
    """Give the layers that start at zero something to pass on."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def diffusers_state(ours: DiT) -> dict[str, Tensor]:
    """The weights of ``ours`` under diffusers' names, whose blocks each embed time and label."""
    state = ours.state_dict()
    theirs: dict[str, Tensor] = {}

    def layer(name: str, weight: Tensor, bias: Tensor) -> None:
        theirs.update({f"{name}.weight": weight, f"{name}.bias": bias})

    def same(name: str, ours: str) -> None:
        layer(name, state[f"{ours}.weight"], state[f"{ours}.bias"])

    weights = state["signals.layers.4.weight"].split(ours.signals.widths)
    biases = state["signals.layers.4.bias"].split(ours.signals.widths)
    same("pos_embed.proj", "stem")
    layer("proj_out_1", weights[-1], biases[-1])
    same("proj_out_2", "out")
    for index in range(len(ours.blocks)):
        block, mine = f"transformer_blocks.{index}", f"blocks.{index}"
        same(f"{block}.norm1.emb.timestep_embedder.linear_1", "signals.layers.0")
        same(f"{block}.norm1.emb.timestep_embedder.linear_2", "signals.layers.2")
        rows = state["signals.labels.weight"]
        theirs[f"{block}.norm1.emb.class_embedder.embedding_table.weight"] = rows
        layer(f"{block}.norm1.linear", weights[index], biases[index])
        parts = zip(
            state[f"{mine}.queries_keys_values.weight"].chunk(3),
            state[f"{mine}.queries_keys_values.bias"].chunk(3),
            strict=True,
        )
        for part, (weight, bias) in zip("qkv", parts, strict=True):
            layer(f"{block}.attn1.to_{part}", weight, bias)
        same(f"{block}.attn1.to_out.0", f"{mine}.mixed")
        same(f"{block}.ff.net.0.proj", f"{mine}.dense.0")
        same(f"{block}.ff.net.2", f"{mine}.dense.3")
    return theirs


@torch.no_grad()
def test_with_equal_weights_it_gives_the_output_of_diffusers() -> None:
    ours = network((4, 8, 8), channels=64, outputs=2, classes=10).eval()
    stir(ours)
    # diffusers spaces the frequencies as Ho et al. 2020 do; Peebles & Xie as Dhariwal & Nichol do.
    ours.signals.embedding = Sinusoids(256, cosines_first=True)
    theirs = DiTTransformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        patch_size=2,
        num_layers=4,
        num_attention_heads=2,
        attention_head_dim=64,
        num_embeds_ada_norm=10,
        norm_eps=1e-6,
    ).eval()
    missing, unexpected = theirs.load_state_dict(diffusers_state(ours), strict=False)
    assert (missing, unexpected) == ([], [])
    x, t, labels = torch.randn(3, 4, 8, 8), torch.tensor([1, 400, 1000]), torch.tensor([0, 9, 10])
    out = theirs(x, t, labels).sample
    assert (ours(x, t / 1000, labels) - out).norm() < 1e-5 * out.norm()


def test_positions_are_diffusers_and_each_has_its_own_code() -> None:
    theirs = get_2d_sincos_pos_embed(32, (4, 4), base_size=4, output_type="pt")
    torch.testing.assert_close(sincos_positions([4, 4], 32), theirs.float())
    for grid in ([7], [3, 5], [2, 3, 4]):
        code = sincos_positions(grid, 32)
        assert code.shape[1] == 32
        assert torch.cdist(code, code).fill_diagonal_(1).min() > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_signals_of_any_dimension(shape: tuple[int, ...]) -> None:
    net = network(shape, classes=3, outputs=2)
    x, time, labels = torch.randn(3, *shape), torch.rand(3), torch.tensor([0, 1, 3])
    out = net(x, time, labels)
    assert out.shape == (3, 2 * shape[0], *shape[1:])
    assert not out.any()
    stir(net)
    net(x, time, labels).square().sum().backward()
    untouched = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []
    torch.testing.assert_close(
        net(x, time, labels)[1:2], net(x[1:2], time[1:2], labels[1:2]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_what_comes_out_at_a_patch_lies_where_the_patch_was(shape: tuple[int, ...]) -> None:
    """With no path but the patch's own: blocks that change nothing, and layers that undo one
    another."""
    net = network(shape, channels=64)
    size = net.out.out_features
    basis = torch.zeros(128, size)
    basis[:size] = torch.eye(size)
    net.positions.zero_()
    net.norm = nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        # The values of a patch, of which those of one position follow one another.
        values = basis.view(128, *[net.patch] * (len(shape) - 1), shape[0])
        net.stem.weight.copy_(values.movedim(-1, 1))
        net.stem.bias.zero_()
        net.out.weight.copy_(basis.T)
    x = torch.randn(2, *shape)
    torch.testing.assert_close(net(x, torch.rand(2)), x)


@pytest.mark.parametrize(
    ("multipliers", "width", "tokens", "heads"),
    [((1, 2), 128, 16, 2), ((1,), 64, 64, 1), ((1, 1, 3), 192, 4, 3)],
)
def test_it_is_as_wide_and_as_deep_as_the_unets(
    multipliers: tuple[int, ...], width: int, tokens: int, heads: int
) -> None:
    net = network((1, 8, 8), channels=64, multipliers=multipliers, blocks=3)
    assert len(net.blocks) == 6 * len(multipliers)
    assert net.positions.shape == (tokens, width)
    assert {block.heads for block in net.blocks} == {heads}


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 9, 8), {}, "each must be divisible by 2; the samples are 9×8"),
        ((1, 2, 2, 2, 2), {}, "needs samples of 1 to 3 sides, not 4"),
        ((1, 8, 8), {"channels": 5}, "the width of a DiT must be a multiple of 4, got 10"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        network(shape, **options)


def test_bfloat16_gives_the_same_output_but_for_rounding() -> None:
    net = network((1, 8, 8))
    stir(net)
    x, time = torch.randn(4, 1, 8, 8), torch.rand(4)
    exact = net(x, time)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = net(x, time).float()
    assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()
