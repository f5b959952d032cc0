"""Texts as conditions of the diffusions: the encoder and the attention to it against PyTorch's own,
and whether a text decides what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from baselines.conditioning import Conditioning, ConditioningOptions
from baselines.ddpm import ddpm
from baselines.edm import edm
from baselines.flow_matching import flow_matching
from baselines.networks import NetworkOptions, denoising_network
from baselines.networks.attention import WHOLE_PRODUCTS, CrossAttention, attend
from baselines.networks.text import EncoderLayer, TextEncoder
from genbench.api import Batch, Categorical, Progress, SampleSpec, Text
from genbench.api.errors import UsageError

TEXT = Text(max_tokens=3, vocabulary=7)
SPEC = SampleSpec("image", (1, 8, 8), condition={"caption": TEXT})
DARK, BRIGHT = torch.tensor([1, 2, 0]), torch.tensor([1, 3, 4])


def scrambled(module: nn.Module) -> Any:
    """With no parameter that is zero by its initialisation."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double()


@pytest.mark.parametrize("positions", [5, WHOLE_PRODUCTS + 1])
@pytest.mark.parametrize("heads", [1, 4])
def test_what_is_not_there_is_not_attended_to(positions: int, heads: int) -> None:
    q = torch.randn(2, positions, 8, dtype=torch.float64)
    k, v = torch.randn(2, 2, 6, 8, dtype=torch.float64)
    there = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]).bool()
    mixed = attend(q, k, v, heads=heads, there=there)
    for row, count in enumerate((4, 1)):
        one = slice(row, row + 1)
        alone = attend(q[one], k[one, :count], v[one, :count], heads=heads)
        torch.testing.assert_close(mixed[one], alone)


def test_attention_to_a_context_is_pytorchs() -> None:
    ours = scrambled(CrossAttention(64, 24))
    theirs = nn.MultiheadAttention(64, 2, kdim=24, vdim=24, batch_first=True).double()
    keys, values = ours.keys_values.weight.chunk(2)
    theirs.load_state_dict(
        {
            "q_proj_weight": ours.queries.weight,
            "k_proj_weight": keys,
            "v_proj_weight": values,
            "in_proj_bias": torch.cat([ours.queries.bias, ours.keys_values.bias]),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x, vectors = torch.randn(2, 5, 64).double(), torch.randn(2, 4, 24).double()
    there = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).bool()
    context = ours.context_norm(vectors)
    mixed, _ = theirs(ours.norm(x), context, context, key_padding_mask=~there)
    torch.testing.assert_close(ours(x, (vectors, there)), x + mixed)


def test_a_layer_of_the_encoder_is_pytorchs() -> None:
    ours = scrambled(EncoderLayer(32))
    attention = ours.attention
    attention.context_norm.load_state_dict(attention.norm.state_dict())
    theirs = nn.TransformerEncoderLayer(
        32, 1, 128, 0.0, lambda x: gelu(x, approximate="tanh"), batch_first=True, norm_first=True
    ).double()
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat(
                [attention.queries.weight, attention.keys_values.weight]
            ),
            "self_attn.in_proj_bias": torch.cat(
                [attention.queries.bias, attention.keys_values.bias]
            ),
            **{f"self_attn.out_proj.{k}": v for k, v in attention.out.state_dict().items()},
            **{f"norm1.{k}": v for k, v in attention.norm.state_dict().items()},
            **{f"norm2.{k}": v for k, v in ours.norm.state_dict().items()},
            **{f"linear1.{k}": v for k, v in ours.dense[0].state_dict().items()},
            **{f"linear2.{k}": v for k, v in ours.dense[2].state_dict().items()},
        }
    )
    h = torch.randn(2, 4, 32).double()
    there = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    expected = theirs(h, src_key_padding_mask=~there)
    torch.testing.assert_close(ours(h, there)[there], expected[there])


def test_padding_is_no_part_of_a_text() -> None:
    encoder = scrambled(TextEncoder(TEXT, width=32, layers=2))
    tokens = torch.tensor([[1, 2, 0], [0, 0, 0]])
    (vectors, there), whole = encoder(tokens)
    assert there.tolist() == [[True, True, True, False], [True, False, False, False]]
    with torch.no_grad():
        encoder.places[2:] += 1.0
    (again, _), whole_again = encoder(tokens[1:])
    torch.testing.assert_close(whole_again, whole[1:])
    torch.testing.assert_close(again[:, 0], vectors[1:, 0])


def test_the_vector_of_a_whole_text_is_as_large_for_long_texts_as_for_short_ones() -> None:
    """A mean over the tokens of a text, which differ, would be a quarter as large for 16 of them as
    for one."""
    text = Text(max_tokens=15, vocabulary=1000)
    encoder = TextEncoder(text, width=256, layers=0)
    short, long = torch.zeros(64, 15, dtype=torch.int64), torch.randint(1, 1000, (64, 15))
    short[:, 0] = long[:, 0]
    for tokens in (short, long):
        (vectors, there), whole = encoder(tokens)
        by_hand = (vectors * there[:, :, None]).sum(dim=1) / there.sum(dim=1)[:, None] ** 0.5
        torch.testing.assert_close(whole, by_hand)
        assert whole.square().mean().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_other_words_give_another_output_and_the_same_in_another_order_too(network: Any) -> None:
    options = NetworkOptions(network=network, channels=8, multipliers=(1, 2))
    net = scrambled(denoising_network(SPEC, options=options, text=TEXT))
    x, time = torch.randn(1, 1, 8, 8).double(), torch.tensor([0.3]).double()

    def output(*tokens: int) -> Tensor:
        return net(x, time, torch.tensor([tokens]))

    outputs = [output(1, 2, 0), output(2, 1, 0), output(1, 3, 0), output(0, 0, 0)]
    for number, first in enumerate(outputs):
        for second in outputs[:number]:
            assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("factory", "network"), [(ddpm, "unet"), (edm, "unet"), (flow_matching, "dit")]
)
def test_the_text_decides_what_is_drawn(factory: Callable[..., Any], network: Any) -> None:
    """Plain pictures, dark or bright: after a short training each is drawn when it is asked for."""
    torch.manual_seed(0)
    options = NetworkOptions(network=network, channels=16, text_width=16, text_layers=1)
    model = factory(
        SPEC,
        conditioning=ConditioningOptions(conditional=True),
        network=options,
    )
    assert model.conditions == {"caption"}
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(300):
        bright = torch.rand(32) < 0.5
        tokens = torch.where(bright[:, None], BRIGHT, DARK)
        data = torch.where(bright, 0.8, -0.8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        for turn in model.losses(Batch(data, {"caption": tokens}), Progress(step, 32 * step, 4000)):
            optimizer.zero_grad()
            turn.loss.backward()
            optimizer.step()
    model.train(False)
    asked = torch.stack([DARK, BRIGHT] * 32)
    sampler = {"sampler": "ddim"} if factory is ddpm else {"sampler": "heun"}
    with torch.no_grad():
        for guidance in (1.0, 1.5):
            drawn = model.sample(
                torch.randn(64, 1, 8, 8), {"caption": asked}, steps=8, guidance=guidance, **sampler
            )
            right = drawn.mean(dim=(1, 2, 3)).sign() == torch.tensor([-1.0, 1.0] * 32)
            assert right.float().mean() > 0.9


def test_texts_are_left_out_whole() -> None:
    torch.manual_seed(0)
    given = Conditioning("caption", text=TEXT, dropout=0.25)
    tokens = torch.randint(1, 7, (4000, 3))
    dropped = given.dropped({"caption": tokens})["caption"]
    gone = (dropped == 0).all(dim=1)
    assert gone.float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropped[~gone], tokens[~gone])


def test_labels_come_before_texts() -> None:
    both = {"caption": TEXT, "label": Categorical(3)}
    options = ConditioningOptions(conditional=True)
    assert options.of(SampleSpec("image", (1, 8, 8), condition=both)).conditions == {"label"}
    assert options.of(SPEC) == Conditioning("caption", text=TEXT)
    assert ConditioningOptions().of(SPEC).conditions == frozenset()
    with pytest.raises(UsageError, match="no labels and no texts"):
        options.of(SampleSpec("image", (1, 8, 8)))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (SPEC, {"network": "ddpm"}, "texts are for network 'unet' or 'dit'"),
        (SampleSpec("points", (2,), None), {}, "for samples with sides"),
        (SPEC, {"text_width": 6}, "text_width must be a multiple of 4, got 6"),
    ],
)
def test_networks_without_texts_say_so(spec: SampleSpec, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        denoising_network(spec, options=NetworkOptions(**options), text=TEXT)


def test_pretrained_networks_take_no_texts(tmp_path: Any) -> None:
    with pytest.raises(
        UsageError, match="pretrained networks take labels, and this data has texts"
    ):
        edm(SPEC, pretrained=str(tmp_path), conditioning=ConditioningOptions(conditional=True))
