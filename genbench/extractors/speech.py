"""Small classifiers of the spoken digits of ``fsdd``, whose weights ship with the package: one of
the digit, one of the speaker."""

from __future__ import annotations

from importlib.resources import files

import torch
from torch import Tensor, nn

from genbench.api import Features, SampleSpec
from genbench.extractors.classifier import Classifier, convolution, shipped
from genbench.extractors.sound import STATISTICS, statistics
from genbench.modalities.spectrograms import mel_filters

RATE = 8_000.0
SPEC = SampleSpec("audio", (1, 8_192), 1 << 16, rate=RATE)
WINDOW, HOP, BANDS = 256, 128, 40
"""Of the log-mel spectrogram: frames of 32 ms, one every 16 ms."""
FLOOR = 1e-6
"""Power below which all is silence: 60 dB below a sine of amplitude 1, and some 30 below the mean
power of the recordings. A lower one would make noise that nobody hears outweigh all else."""


class LogMel(nn.Module):
    """Sounds ``(B, 1, T)`` in [0, 1], 1/2 being silence, → ``(B, 1, 40, T / 128 + 1)``, the lowest
    band first: from -1, 60 dB below a sine of amplitude 1, to about 1."""

    def __init__(self) -> None:
        super().__init__()
        filters = torch.from_numpy(mel_filters(RATE, WINDOW, BANDS)).float()
        self.filters: Tensor
        self.register_buffer("filters", filters, persistent=False)
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(
            2 * x[:, 0] - 1,
            WINDOW,
            HOP,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = (spectrum.abs() / (self.window.sum() / 2)).square()
        decades: Tensor = (self.filters @ power).clamp(min=FLOOR).log10()
        return (decades / 3 + 1)[:, None]


class SpeechNetwork(nn.Module):
    """Four convolutions over a log-mel spectrogram, each with a batch norm; three halve it.

    The features are taken after the last norm and before the ReLU, for the reasons that
    ``MnistNetwork`` gives.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.spectrogram = LogMel()
        self.convolutions = nn.Sequential(
            *convolution(1, 16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *convolution(16, 32),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *convolution(32, 64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            *convolution(64, 64),
        )
        self.classifier = nn.Sequential(
            nn.ReLU(),
            nn.AdaptiveMaxPool2d((2, 4)),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 2 * 4, classes),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 1, 8192)`` in [0, 1] → features ``(B, 64)``, logits ``(B, classes)``."""
        maps = self.convolutions(self.spectrogram(x))
        return maps.mean(dim=(2, 3)), self.classifier(maps)


class SpeechClassifier(Classifier):
    """A classifier of sounds, which also says what can be said without one."""

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """``features`` ``(B, 64)``, ``logits`` ``(B, K)``, and ``sound_statistics`` ``(B, 4)`` as
        ``sound.statistics``."""
        found = super().__call__(stored, spec)
        return {**found, STATISTICS: statistics(stored, spec).to(found["features"].device)}


def fsdd_digits() -> SpeechClassifier:
    """A classifier of spoken digits: pooled last convolution over log-mel (64-d) and logits."""
    return _shipped("fsdd-digits", 10)


def fsdd_speakers() -> SpeechClassifier:
    """A classifier of the six speakers of ``fsdd``: pooled last convolution over log-mel (64-d) and
    logits."""
    return _shipped("fsdd-speakers", 6)


def _shipped(name: str, classes: int) -> SpeechClassifier:
    network = SpeechNetwork(classes)
    return shipped(files("genbench.extractors"), name, network, SPEC, SpeechClassifier)
