"""DF-GAN: its losses and its penalty against closed forms and definitions, the sizes of the
authors' networks, and a short training in which a text decides what is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.df_gan import DfGan
from baselines.df_gan import df_gan as factory
from baselines.networks.df_gan import Fusion, UpBlock
from genbench.api import Batch, Categorical, Progress, SampleSpec, Text
from genbench.api.errors import UsageError
from genbench.registry import call, check_options

SHAPES = [(1, 8, 8), (3, 28, 28), (2, 12, 32), (2, 32), (1, 8, 8, 8)]
TEXT = Text(max_tokens=3, vocabulary=7)
TINY: dict[str, Any] = {"channels": 2, "latent": 5, "text_width": 4, "text_layers": 1}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(*shape: int, **condition: Any) -> SampleSpec:
    return SampleSpec("image", shape, condition=condition or {"caption": TEXT})


def df_gan(spec: SampleSpec, **options: Any) -> DfGan:
    model: DfGan = call(factory, spec, **check_options("df-gan", factory, options))
    return model


def scrambled(model: Any) -> Any:
    """With no layer that is silent by its initialisation."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def batch_of(*shape: int, size: int = 4) -> Batch:
    texts = torch.randint(1, TEXT.vocabulary, (size, TEXT.max_tokens))
    return Batch(torch.rand(size, *shape) * 2 - 1, {"caption": texts})


class Shift(nn.Module):
    """The generator of the closed form: z ↦ θ + z, whatever the text."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        return self.theta + z


class Product(nn.Module):
    """Its discriminator: D(x, t) = w x t, where t is the one token."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(
        self, *minibatches: Tensor, tokens: Tensor, mismatched: bool = False, penalty: bool = False
    ) -> tuple[Tensor, Tensor]:
        t = tokens[:, 0].float()
        rows = [self.w * x[:, 0] * t for x in minibatches]
        if mismatched:
            rows.append(self.w * minibatches[0][:, 0] * t.roll(1))
        slopes = (self.w * t).square() + (self.w * minibatches[0][:, 0]).square()
        return torch.stack(rows), slopes if penalty else rows[0].new_empty(0)


@pytest.mark.parametrize("k", [0.0, 0.1])
def test_losses_have_their_closed_form(k: float) -> None:
    """Hinges of which the two wrong kinds count half each, and k E[‖(w t, w x)‖⁶]."""
    w, theta = 0.3, -0.4
    model = df_gan(spec_of(1, 8, 8), **TINY, penalty=k)
    model.players = nn.ModuleDict({"discriminator": Product(w), "generator": Shift(theta)})
    model.noise_shape = (1,)
    x, t = torch.randn(256, 1) + 1, torch.randint(1, 4, (256, 1))
    torch.manual_seed(5)
    g = theta + torch.randn(256, 1)
    torch.manual_seed(5)
    turns = model.losses(Batch(x, {"caption": t}), Progress(0, 0, 1))

    turn = next(turns)
    real, fake = (w * x * t).squeeze(), (w * g * t).squeeze()
    wrong = (w * x * t.roll(1, dims=0)).squeeze()
    expected = (1 - real).clamp(min=0).mean()
    expected += ((1 + fake).clamp(min=0).mean() + (1 + wrong).clamp(min=0).mean()) / 2
    expected += k * ((w * t).square() + (w * x).square()).pow(3).mean()
    assert turn.player == "discriminator"
    torch.testing.assert_close(turn.loss.detach(), expected)
    shares = {name: float(value) for name, value in turn.diagnostics.items() if name != "penalty"}
    assert shares == pytest.approx(
        {
            "accuracy_real": float((real > 0).float().mean()),
            "accuracy_fake": float((fake < 0).float().mean()),
            "accuracy_mismatched": float((wrong < 0).float().mean()),
        }
    )
    assert ("penalty" in turn.diagnostics) == (k > 0)
    turn.loss.backward()

    parameter = model.players["discriminator"].get_parameter("w")
    with torch.no_grad():  # as if the discriminator had moved: the generator must see it there
        parameter.fill_(v := 1.1)
    parameter.grad = None
    turn = next(turns)
    turn.loss.backward()
    assert turn.player == "generator"
    torch.testing.assert_close(turn.loss.detach(), -(v * g * t).mean())
    gradient = model.players["generator"].get_parameter("theta").grad
    torch.testing.assert_close(gradient, -v * t.float().mean())
    assert parameter.grad is None
    assert next(turns, None) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_the_penalty_is_of_the_slopes_by_samples_and_by_texts(shape: tuple[int, ...]) -> None:
    model = scrambled(df_gan(spec_of(*shape), **TINY).double())
    discriminator = model.players["discriminator"]
    batch = batch_of(*shape, size=2)
    real, tokens = batch.data.double(), batch.condition["caption"]
    (logits,), norms = discriminator(real, tokens=tokens, penalty=True)
    _, sentence = discriminator.encoder(tokens)

    def judged(real: Tensor, sentence: Tensor) -> Tensor:
        return discriminator.judge(discriminator.trunk(real), sentence).sum()

    slopes = torch.autograd.functional.jacobian(judged, (real, sentence))
    expected = sum(slope.square().flatten(1).sum(1) for slope in slopes)
    torch.testing.assert_close(norms, expected.float())
    torch.testing.assert_close(logits, discriminator(real, tokens=tokens)[0][0])


def test_the_wrong_texts_are_those_of_neighbours() -> None:
    discriminator = scrambled(df_gan(spec_of(1, 8, 8), **TINY)).players["discriminator"]
    batch, fake = batch_of(1, 8, 8), torch.randn(4, 1, 8, 8)
    tokens = batch.condition["caption"]
    for penalty in (False, True):
        (matched, generated, mismatched), _ = discriminator(
            batch.data, fake, tokens=tokens, mismatched=True, penalty=penalty
        )
        for row, x, words in (
            (matched, batch.data, tokens),
            (generated, fake, tokens),
            (mismatched, batch.data, tokens.roll(1, dims=0)),
        ):
            torch.testing.assert_close(row, discriminator(x, tokens=words)[0][0])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turn_trains_the_whole_of_its_player_alone(shape: tuple[int, ...]) -> None:
    model = scrambled(df_gan(spec_of(*shape), **TINY))
    order = []
    for turn in model.losses(batch_of(*shape), Progress(0, 0, 1)):
        order.append(turn.player)
        model.zero_grad()
        turn.loss.backward()
        for player, network in model.players.items():
            gradients = [parameter.grad for parameter in network.parameters()]
            if player == turn.player:
                assert all(g is not None and g.isfinite().all() for g in gradients)
            else:
                assert all(g is None for g in gradients)
    assert order == ["discriminator", "generator"]
    samples = model.sample(torch.randn(4, 5), batch_of(*shape).condition)
    assert samples.shape == (4, *shape)


def test_a_fusion_starts_as_two_leaky_relus() -> None:
    x = torch.randn(3, 6, 4, 4)
    start = Fusion(6, 5)(x, torch.randn(3, 5))
    torch.testing.assert_close(start, torch.where(x < 0, 0.04 * x, x))


def test_the_networks_are_of_the_authors_sizes() -> None:
    """At 256×256: of github.com/tobran/DF-GAN, without the text encoders, and without the 1×1
    convolutions that its discriminator has and does not use."""
    theirs = {"generator": 9_744_131, "discriminator": 6_619_206 + 295_936 - 197_376}
    with torch.device("meta"):
        model = df_gan(spec_of(3, 256, 256), channels=32, latent=100, text_width=256)
    for name, count in theirs.items():
        player: Any = model.players[name]
        own = sum(p.numel() for p in player.parameters())
        assert own - sum(p.numel() for p in player.encoder.parameters()) == count


def test_the_shortcut_is_learned_where_the_width_changes() -> None:
    assert isinstance(UpBlock(4, 4, 3, 2).shortcut, nn.Identity)
    assert isinstance(UpBlock(4, 2, 3, 2).shortcut, nn.Conv2d)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (spec_of(1, 8, 8, label=Categorical(3)), {}, "needs texts, and this data has no texts"),
        (SampleSpec("points", (2,), None, {"caption": TEXT}), {}, "not points"),
        (spec_of(1, 8, 9), {}, "even and at least 8; the samples have 8 × 9"),
        (spec_of(3, 34, 34), {}, "halved down to at most 16"),
        (spec_of(1, 8, 8), {"text_width": 6}, "text_width must be a multiple of 4, got 6"),
    ],
)
def test_what_does_not_fit_is_refused(
    spec: SampleSpec, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        df_gan(spec, **(TINY | options))


def test_the_text_decides_what_is_drawn() -> None:
    """Plain pictures, dark or bright: after a short training each is drawn when it is asked for."""
    model = df_gan(spec_of(1, 8, 8), channels=8, latent=4, text_width=16, text_layers=1)
    optimizers = {
        name: torch.optim.Adam(player.parameters(), 1e-3, (0.0, 0.9))
        for name, player in model.players.items()
    }
    dark, bright = torch.tensor([1, 2, 0]), torch.tensor([1, 3, 4])
    for step in range(150):
        is_bright = torch.rand(32) < 0.5
        texts = torch.where(is_bright[:, None], bright, dark)
        data = torch.where(is_bright, 0.8, -0.8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        for turn in model.losses(Batch(data, {"caption": texts}), Progress(step, 32 * step, 4800)):
            optimizers[turn.player].zero_grad()
            turn.loss.backward()
            optimizers[turn.player].step()
    with torch.no_grad():
        means = [
            model.sample(torch.randn(16, 4), {"caption": text.expand(16, -1)}).flatten(1).mean(1)
            for text in (dark, bright)
        ]
    assert means[0].max() < -0.4
    assert means[1].min() > 0.4
