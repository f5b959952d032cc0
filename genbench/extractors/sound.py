"""What can be said of any sound without a judge: how much of it is silent or clipped, its offset
and its bandwidth; and its log-mel spectrogram as features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.api import Features, SampleSpec
from genbench.io.sounds import amplitudes
from genbench.modalities.spectrograms import log_mel

STATISTICS = "sound_statistics"
"""The name of ``statistics`` among features."""
SILENT = 1e-3
"""Amplitude below which a place is silent: 60 dB below full scale."""
CLIPPED = 32_766 / 32_768
"""Amplitude from which on it is clipped: the last levels of 16-bit PCM."""
POWER_BELOW = 0.95
"""Share of a sound's power that lies below its bandwidth."""
BANDS, COLUMNS = 40, 16
DECIBELS = 20.0
"""Of a unit of the log-mel features."""


def statistics(stored: Tensor, spec: SampleSpec) -> Tensor:
    """Sounds ``(B, channels, T)`` in the stored view → ``(B, 4)`` float64: the share of places that
    are silent, the share that are clipped, the mean amplitude (in [-1, 1]), and the bandwidth in
    Hz, below which 95 % of the power lie without the mean; 0 of silence."""
    assert spec.rate is not None
    x = torch.from_numpy(amplitudes(stored.cpu().numpy(), spec.levels))
    size = x.abs().flatten(1)
    offset = x.flatten(1).mean(dim=1)
    power = torch.fft.rfft(x - x.mean(dim=2, keepdim=True)).abs().square().sum(dim=1)
    cumulative = power.cumsum(dim=1)
    # 1e-9 of full scale is what rounding leaves of silence.
    sounding = cumulative[:, -1] > 1e-18 * x.shape[2] ** 2
    reached = (cumulative >= POWER_BELOW * cumulative[:, -1:]).double().argmax(dim=1)
    bandwidth = reached * sounding * (spec.rate / x.shape[2])
    shares = [(size < SILENT).double().mean(dim=1), (size >= CLIPPED).double().mean(dim=1)]
    return torch.stack([*shares, offset, bandwidth], dim=1)


class LogMel:
    """The log-mel spectrogram in 40 bands and 16 spans of equal length, in units of 20 dB; every
    sound is 640 numbers, whatever its rate and length."""

    id = "log-mel-40x16"
    resize = "none"

    def __init__(self) -> None:
        self._device = torch.device("cpu")

    def supports(self, spec: SampleSpec) -> str | None:
        if spec.modality == "audio":
            return None
        return f"the log-mel extractor hears sounds, not {spec.modality}"

    def to(self, device: torch.device | str) -> LogMel:
        self._device = torch.device(device)
        return self

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features``: ``(B, 640)`` float32, of the mean of the channels, the lowest band first,
        each from -4 (80 dB below a full sine, or less) to about 0; ``sound_statistics``: as
        ``statistics``, ``(B, 4)``."""
        assert spec.rate is not None
        mono = amplitudes(stored.cpu().numpy(), spec.levels).mean(axis=1)
        rows = [log_mel(sound, spec.rate, COLUMNS, BANDS).ravel() / DECIBELS for sound in mono]
        features = torch.from_numpy(np.array(rows)).float().reshape(len(rows), BANDS * COLUMNS)
        return {
            "features": features.to(self._device),
            STATISTICS: statistics(stored, spec).to(self._device),
        }


def log_mel_features() -> LogMel:
    """Log-mel spectrograms of sounds, in 40 bands and 16 spans: 640 features."""
    return LogMel()
