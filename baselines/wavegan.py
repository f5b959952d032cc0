"""WaveGAN and SpecGAN: GANs of waveforms and of spectrograms (Donahue, McAuley & Puckette 2019).

The published configuration of both, for 16,384 samples at 16 kHz, is ``channels = 64, latent = 100,
learning_rate = 1e-4, decay = "none"``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt

from baselines.adversarial import CriticOptions, LatentOptions
from baselines.latent import LatentModel
from baselines.networks.wavegan import critic, generator
from baselines.optimizers import RateOptions
from baselines.spectrograms import SpectrogramOptions, spectrogram_codec
from baselines.wgan_gp import WganGp
from genbench.api import Optimization, SampleSpec
from genbench.api.errors import UsageError

PENALTY = 10.0
"""λ of the gradient penalty, as of Gulrajani et al. 2017."""
TURNS = CriticOptions(n_critic=5, generator_batch=1)
RATE = RateOptions(learning_rate=5e-4)


def wavegan(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=16),
    shuffle: NonNegativeInt = 2,
    penalty: Annotated[float, Field(ge=0)] = PENALTY,
    turns: CriticOptions = TURNS,
    rate: RateOptions = RATE,
) -> WaveGan:
    """WaveGAN: transposed convolutions from noise to a waveform, and a critic held to slope 1.

    Args:
        spec: Sounds of any number of channels, ``(C, T)``; T is divided by 4 as often as 8
            positions or more are left.
        network: ``channels`` is the width of both networks at a quarter of the length, doubled with
            each further division (64 in the paper). ``latent`` is the paper's 100 by default.
            Labels come beside the generator's noise, and as a projection in the critic (Miyato &
            Koyama 2018); the paper's is unconditional.
        shuffle: n of the phase shuffle, in positions; 0 for none.
        penalty: λ, the weight of the gradient penalty.
        turns: As in the paper by default.
        rate: 1e-4 in the paper, for longer trainings, with ``decay = "none"``.

    Raises:
        UsageError: Samples of other than one side, a length that cannot be divided by 4 down to 8
            or more, ``conditional`` without labels.
    """
    if len(spec.shape) != 2:
        raise UsageError(f"wavegan needs sounds (channels, samples), not samples of {spec.shape}")
    return _game(spec, network, shuffle, penalty, turns, rate)


def specgan(
    spec: SampleSpec,
    *,
    codec: SpectrogramOptions = SpectrogramOptions(),
    network: LatentOptions = LatentOptions(channels=16),
    penalty: Annotated[float, Field(ge=0)] = PENALTY,
    turns: CriticOptions = TURNS,
    rate: RateOptions = RATE,
) -> LatentModel:
    """SpecGAN: the same game in two dimensions, over spectrograms of sounds.

    Args:
        spec: Mono sounds, ``(1, T)``.
        codec: How a sound becomes a spectrogram, and a spectrogram a sound; see
            ``SpectrogramOptions``.
        network: As of ``wavegan``, with kernels of 5 and strides of 2.

    The other options are those of ``wavegan``.

    Raises:
        UsageError: Samples that are no mono sounds, a length that is no multiple of the hop, sides
            of the spectrogram that cannot be halved, ``conditional`` without labels.
    """
    return LatentModel(
        spec,
        spectrogram_codec(spec, codec),
        lambda latents: _game(latents, network, 0, penalty, turns, rate),
    )


def _game(
    spec: SampleSpec,
    network: LatentOptions,
    shuffle: int,
    penalty: float,
    turns: CriticOptions,
    rate: RateOptions,
) -> WaveGan:
    sizes = network.sizes(spec, usual=100)
    latent, classes = sizes["latent"], sizes["classes"]
    judge = critic(spec.shape, channels=network.channels, classes=classes, shuffle=shuffle)
    maker = generator(spec.shape, channels=network.channels, **sizes)
    players = {"critic": judge, "generator": maker}
    return WaveGan(players, penalty, latent=latent, classes=classes, turns=turns, rate=rate)


class WaveGan(WganGp):
    """The game of WGAN-GP, with the optimiser of DCGAN."""

    def optimization(self, player: str) -> Optimization:
        """Adam, β₁ 0.5, β₂ 0.9, for both players (appendix E)."""
        return self.rate.adam((0.5, 0.9))
