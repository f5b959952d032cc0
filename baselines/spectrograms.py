"""Spectrograms of sounds as a latent space: what a model of pictures can learn of them.

A spectrogram holds no phases. Which the sound has is found by the algorithm of Griffin & Lim
(1984) in its fast form (Perraudin, Balazs & Søndergaard 2013), so that decoding is approximate; the
row of the codec in every table says how much is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from genbench.api import SampleSpec
from genbench.api.errors import UsageError

FLOOR = 1e-4
"""Amplitude that counts as silence: 80 dB below a sine of amplitude 1."""
MOMENTUM = 0.99
"""α of the fast algorithm of Griffin & Lim (Perraudin et al. 2013, section 4)."""


@dataclass(frozen=True)
class SpectrogramOptions:
    """Options of the spectrograms in which a model works."""

    window: PositiveInt = 256
    """Samples of a frame; of the Hann window, a power of two."""
    hop: PositiveInt = 128
    """Samples from one frame to the next."""
    bands: PositiveInt | None = None
    """Bands of equal width in mel. By default frequencies as they are, half as many as ``window``,
    without the highest (Donahue et al. 2019, section 3.4)."""
    inversion_steps: PositiveInt = 32
    """Of the algorithm that finds the phases."""


def spectrogram_codec(spec: SampleSpec, options: SpectrogramOptions) -> SpectrogramCodec:
    """The codec of such sounds.

    Raises:
        UsageError: Samples that are no mono sounds with a rate, a window that is no power of two, a
            hop that does not divide the length or is longer than half the window, more bands than
            frequencies.
    """
    window, hop, bands = options.window, options.hop, options.bands
    if len(spec.shape) != 2 or spec.shape[0] != 1 or spec.rate is None:
        raise UsageError(f"spectrograms are of mono sounds, not of {spec.modality} {spec.shape}")
    if window & (window - 1):
        raise UsageError(f"window must be a power of two, got {window}")
    if spec.shape[1] % hop or hop > window // 2:
        raise UsageError(
            f"hop must divide the {spec.shape[1]} samples, and be at most half the window of "
            f"{window}, got {hop}"
        )
    if bands is not None and bands > window // 2:
        raise UsageError(f"bands must be at most half the window of {window}, got {bands}")
    return SpectrogramCodec(spec.shape[1], spec.rate, window, hop, bands, options.inversion_steps)


class SpectrogramCodec(nn.Module):
    """Sounds ``(B, 1, T)`` in [-1, 1] ↔ log-magnitude spectrograms ``(B, 1, F, T / hop)``, the
    lowest frequency first, from -1 (80 dB below a full sine, or less) to 1 (a full sine).

    Nothing is learned from data: the scale is the same for every sound and every frequency.
    """

    licence = "Apache-2.0"

    def __init__(
        self, length: int, rate: float, size: int, hop: int, bands: int | None, steps: int
    ) -> None:
        super().__init__()
        self.length, self.size, self.hop, self.bands, self.steps = length, size, hop, bands, steps
        self.latent_shape = (1, bands or size // 2, length // hop)
        kind = "linear" if bands is None else f"mel-{bands}"
        self.id = f"spectrogram-{kind}-{size}-{hop}@griffin-lim-{steps}"
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        bins = size // 2 + 1
        # To start from, the same for every sound: from equal phases the first sound is a click.
        phases = torch.rand(bins, length // hop + 1, generator=torch.Generator().manual_seed(0))
        self.phases: Tensor
        self.register_buffer(
            "phases", torch.polar(torch.ones_like(phases), 2 * math.pi * phases), persistent=False
        )
        self.filters: Tensor | None
        self.inverse: Tensor | None
        filters = None if bands is None else mel_filters(rate, size, bands)
        inverse = None if filters is None else torch.linalg.pinv(filters)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """Sounds ``(B, 1, T)`` → spectrograms ``(B, 1, F, T / hop)``, float32."""
        magnitudes = self._transform(x[:, 0].float()).abs() / (self.window.sum() / 2)
        # The last frame is centred on the end of the sound, the last bin on half the rate.
        magnitudes = magnitudes[:, :, :-1]
        magnitudes = magnitudes[:, :-1] if self.filters is None else self.filters @ magnitudes
        decades: Tensor = magnitudes.clamp(min=FLOOR, max=1).log10()
        return (1 - 2 * decades / math.log10(FLOOR))[:, None]

    def decode(self, z: Tensor) -> Tensor:
        """Spectrograms ``(B, 1, F, T / hop)`` → sounds ``(B, 1, T)`` in [-1, 1], float32."""
        levels = z[:, 0].float().clamp(-1, 1)
        magnitudes = FLOOR ** ((1 - levels) / 2) - FLOOR
        if self.inverse is not None:
            magnitudes = (self.inverse @ magnitudes).clamp(min=0)
        missing = (0, 1, 0, self.size // 2 + 1 - magnitudes.shape[1])
        magnitudes = nn.functional.pad(magnitudes, missing) * (self.window.sum() / 2)
        sound: Tensor = self._with_phases(magnitudes)[:, None]
        return sound.clamp(-1, 1)

    def _with_phases(self, magnitudes: Tensor) -> Tensor:
        """``(B, bins, frames)`` → ``(B, T)``: algorithm 2 of Perraudin et al. 2013."""
        consistent = torch.zeros_like(magnitudes, dtype=self.phases.dtype)
        ahead = magnitudes * self.phases
        for _ in range(self.steps):
            before, consistent = consistent, self._transform(self._inverse(ahead))
            ahead = consistent + MOMENTUM * (consistent - before)
            ahead = magnitudes * ahead / ahead.abs().clamp(min=1e-12)
        return self._inverse(ahead)

    def _transform(self, x: Tensor) -> Tensor:
        """``(B, T)`` → ``(B, bins, T / hop + 1)``, complex; silence lies around."""
        out: Tensor = torch.stft(
            x, self.size, self.hop, window=self.window, pad_mode="constant", return_complex=True
        )
        return out

    def _inverse(self, transformed: Tensor) -> Tensor:
        out: Tensor = torch.istft(
            transformed, self.size, self.hop, window=self.window, length=self.length
        )
        return out


def mel_filters(rate: float, size: int, bands: int) -> Tensor:
    """Weights ``(bands, size // 2 + 1)`` of sum 1 for each band: triangles over the frequencies,
    equally wide in mel = 2595 log10(1 + f / 700), from 0 Hz to half the rate.

    A band between two frequencies has the nearer one.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequency = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    triangles = torch.minimum(
        (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    ).clamp(min=0)
    nearest = (frequency - middle).abs().argmin(dim=1, keepdim=True)
    empty = triangles.sum(dim=1, keepdim=True) == 0
    triangles.scatter_add_(1, nearest, empty.double())
    return (triangles / triangles.sum(dim=1, keepdim=True)).float()
