"""Reads the notes of the data set ``notes``: which pitch, and what each frequency and each moment
has of the power. Nothing is trained: the pitches' spectra are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genbench.api import Features, SampleSpec
from genbench.data.notes import LOWEST, PITCHES, RATE, SAMPLES, TIMBRES
from genbench.extractors.sound import STATISTICS, statistics
from genbench.io.sounds import LEVELS

BINS = 4
"""Of a semitone."""
SEMITONES = 51
"""From half a semitone below the lowest pitch to half the rate."""
SPANS = 8
"""Parts of the sound whose loudness is a feature."""
SHARPNESS = 20.0
"""What a logit is of a correlation."""
QUIET = 1e-3
"""Amplitude of a span that counts as silent."""


class Notes:
    """Spectrum and envelope of a note, and how well each pitch fits."""

    id = "notes@1"
    resize = "none"

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE)[1:]
        # In quarters of a semitone above the lowest edge.
        place = BINS * (12 * (hertz / LOWEST).log2() + 0.5)
        self._bin = place.floor().long()
        self._kept = (self._bin >= 0) & (self._bin < BINS * SEMITONES)
        self._templates = _templates()

    def supports(self, spec: SampleSpec) -> str | None:
        known = ("audio", (1, SAMPLES), RATE)
        if (spec.modality, spec.shape, spec.rate) == known and spec.levels in (None, LEVELS):
            return None
        return f"the notes extractor reads audio of shape (1, {SAMPLES}) at {RATE} Hz"

    def to(self, device: torch.device | str) -> Notes:
        self._device = torch.device(device)
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features`` ``(B, 59)`` float32: of each semitone, the root of its share of the power,
        and of each eighth of the sound, its loudness over 20 dB, from -3 (60 dB below full scale,
        or less); ``logits`` ``(B, 12)`` of the pitches; ``sound_statistics`` ``(B, 4)``."""
        x = spec.encode(stored.to("cpu"))[:, 0]
        window = torch.hann_window(SAMPLES)
        power = torch.fft.rfft((x - x.mean(dim=1, keepdim=True)) * window)[:, 1:].abs().square()
        fine = power.new_zeros(len(x), BINS * SEMITONES)
        fine.index_add_(1, self._bin[self._kept], power[:, self._kept])
        spectrum = normalize(fine.sqrt(), dim=1)
        fits = torch.einsum("bf,ptf->bpt", spectrum, self._templates).amax(dim=2)
        share = spectrum.square().view(len(x), SEMITONES, BINS).sum(dim=2).sqrt()
        loudness = x.reshape(len(x), SPANS, -1).square().mean(dim=2).sqrt().clamp(min=QUIET).log10()
        found = {
            "features": torch.cat([share, loudness], dim=1),
            "logits": SHARPNESS * fits,
            STATISTICS: statistics(stored, spec),
        }
        return {name: value.to(self._device) for name, value in found.items()}


def _templates() -> Tensor:
    """Of each pitch and timbre the spectrum over the bins, of norm 1, ``(12, 3, bins)``: each
    harmonic's amplitude in the two bins that meet there, since a note may be 20 cents off."""
    spectra = torch.zeros(len(PITCHES), len(TIMBRES), BINS * SEMITONES)
    for pitch in range(len(PITCHES)):
        for timbre, weights in enumerate(TIMBRES.values()):
            for harmonic, weight in weights.items():
                place = BINS * (pitch + 12 * math.log2(harmonic) + 0.5)
                for shift in (-1, 0):
                    at = round(place) + shift
                    if 0 <= at < BINS * SEMITONES:
                        spectra[pitch, timbre, at] = weight
    return normalize(spectra, dim=2)


def notes() -> Notes:
    """Reads the pitches of ``notes``: spectrum and envelope (59 features), and logits of the
    pitches."""
    return Notes()
