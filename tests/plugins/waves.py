"""A modality of its own, from data to scores: short waves that are asked for in words.

A wave has 64 places at 800 a second, of which it fills as many as its length says.
"""

from __future__ import annotations

import hashlib
import io
import math
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

from genbench import registry
from genbench.api import (
    INK,
    LENGTH,
    Batch,
    Categorical,
    Condition,
    Estimate,
    Figure,
    Frames,
    Modality,
    Optimization,
    Output,
    PlayerStep,
    Progress,
    SampleSpec,
    Shown,
    TensorSamples,
    Text,
    Texts,
)
from genbench.api.errors import UsageError

WORDS = ("", "low", "high", "soft", "loud")
"""By token; 0 pads."""
RATE = 800.0
PLACES = 64
SPEC = SampleSpec(
    "wave",
    (1, PLACES),
    levels=None,
    condition={"caption": Text(2, len(WORDS)), LENGTH: Categorical(PLACES + 1)},
    rate=RATE,
)
CYCLES = {"low": 4, "high": 16}
"""Over all places."""


@dataclass(frozen=True)
class Waves(TensorSamples):
    """Waves whose captions are made of ``WORDS``."""

    def tokens(self, name: str, words: Sequence[str]) -> Tensor:
        rows = []
        for text in words:
            unknown = [word for word in text.split() if word not in WORDS]
            if unknown or len(text.split()) > 2:
                raise UsageError(f"no wave is called {text!r}")
            row = [WORDS.index(word) for word in text.split()]
            rows.append(row + [0] * (2 - len(row)))
        return torch.tensor(rows)


def waves(argument: str, data_dir: Path) -> Waves:
    """Sines of a random phase: low or high, soft or loud, 40 to 64 places long."""
    stream = torch.Generator().manual_seed(int(argument == "test"))
    count = 256
    tokens = torch.stack(
        [
            torch.randint(1, 3, (count,), generator=stream),
            torch.randint(3, 5, (count,), generator=stream),
        ],
        dim=1,
    )
    captions = [f"{WORDS[pitch]} {WORDS[volume]}" for pitch, volume in tokens.tolist()]
    cycles = torch.tensor([CYCLES[caption.split()[0]] for caption in captions])
    height = torch.where(tokens[:, 1] == 4, 0.8, 0.4)
    phase = 0.2 * torch.randn(count, 1, generator=stream)
    time = torch.arange(PLACES) / PLACES
    sound = height[:, None] * (2 * math.pi * cycles[:, None] * time + phase).sin()
    length = torch.randint(40, PLACES + 1, (count,), generator=stream)
    data = SPEC.pad(sound[:, None], length)
    content = hashlib.sha256(data.numpy().tobytes() + str(captions).encode()).hexdigest()[:16]
    condition = {"caption": tokens, LENGTH: length}
    name = f"waves:{argument or 'train'}@{content}"
    return Waves(SPEC, name, data, condition, {"caption": captions})


# --- What a wave is, and how it is shown and written. ---


def check(spec: SampleSpec) -> str | None:
    if len(spec.shape) != 2 or spec.rate is None:
        return f"waves have the shape (C, T) and a rate, not {spec.shape} at {spec.rate}"
    return None


def drawn(rows: np.ndarray, rate: float, size: tuple[float, float]) -> Figure:
    """Waves ``(n, T)`` one below the other."""

    def plot(axes: object) -> None:
        seconds = np.arange(rows.shape[1]) / rate
        for number, row in enumerate(rows):
            axes.plot(seconds, row - 2 * number, color=INK, linewidth=0.7)  # type: ignore[attr-defined]
        axes.set_axis_off()  # type: ignore[attr-defined]

    return Figure(plot, size)


def preview(samples: Shown, first: Shown) -> Figure:
    return drawn(samples.data[:4, 0], samples.spec.rate or 1.0, (2.6, 2.6))


def strip(frames: Frames, on_page: bool) -> Figure:
    side = 1.2 if on_page else 1.6
    return drawn(frames.data[:, 0, 0], frames.spec.rate or 1.0, (4 * side, 2 * side))


def animation(frames: Frames) -> list[Figure]:
    return [drawn(frame.data[:, 0], frame.spec.rate or 1.0, (3, 3)) for frame in frames.each()]


def wav(samples: Shown) -> bytes:
    """All waves, one after the other."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(samples.spec.rate or 1))
        file.writeframes((samples.data * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


# --- A model, an extractor and a metric of waves. ---


class Voice(nn.Module):
    """A wave for each word, summed."""

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__()
        text = spec.condition["caption"]
        assert isinstance(text, Text)
        self.words = nn.Embedding(text.vocabulary**2, spec.shape[-1])
        self.vocabulary = text.vocabulary
        nn.init.zeros_(self.words.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        pair = tokens[:, 0] * self.vocabulary + tokens[:, 1]
        spoken: Tensor = self.words(pair)[:, None]
        return spoken


class Singer(nn.Module):
    conditions = frozenset({"caption", LENGTH})

    def __init__(self, spec: SampleSpec) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"voice": Voice(spec)})
        self.noise_shape = spec.shape

    def optimization(self, player: str) -> Optimization:
        return Optimization(partial(torch.optim.Adam, lr=1.0), lambda progress: 0.05)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        sung = SPEC.pad(self.players["voice"](batch.condition["caption"]), batch.condition[LENGTH])
        yield PlayerStep("voice", (sung - batch.data).square().mean())

    def sample(self, noise: Tensor, condition: Condition, *, breath: float = 0.01) -> Tensor:
        sung: Tensor = self.players["voice"](condition["caption"])
        return sung + breath * noise

    def trajectory(self, noise: Tensor, condition: Condition, *, breath: float) -> Iterator[Tensor]:
        end = self.sample(noise, condition, breath=breath)
        for step in range(3):
            yield noise.lerp(end, step / 2)


def singer(spec: SampleSpec) -> Singer:
    """Learns the mean wave of each caption."""
    if spec.modality != "wave":
        raise UsageError(f"it sings waves, not {spec.modality}")
    return Singer(spec)


class Spectrum:
    """Magnitudes by frequency, per place that is filled; and whether the pitch is the one that the
    caption's words say."""

    id = "spectrum@1"
    conditions = frozenset({"caption", LENGTH})

    def supports(self, spec: SampleSpec) -> str | None:
        return None if spec.modality == "wave" else f"it hears waves, not {spec.modality}"

    def to(self, device: torch.device | str) -> Spectrum:
        return self

    def __call__(
        self, stored: Tensor, spec: SampleSpec, condition: Condition, texts: Texts
    ) -> dict[str, Tensor]:
        filled = condition[LENGTH]
        assert torch.equal(spec.pad(stored, filled), stored)
        spectrum = torch.fft.rfft(stored[:, 0]).abs() / filled[:, None]
        wanted = torch.tensor([CYCLES[text.split()[0]] for text in texts["caption"]])
        heard = spectrum[:, 1:].argmax(dim=1) + 1
        return {"features": spectrum, "agreement": ((heard - wanted).abs() <= 2).float()}


def spectrum() -> Spectrum:
    """Magnitudes of the discrete Fourier transform."""
    return Spectrum()


class PitchAgreement(torchmetrics.Metric):
    """Share of generated waves that have the pitch which they were asked for."""

    needs = frozenset({"agreement"})
    sides = frozenset({"generated"})
    outputs = {"pitch_agreement": Output(True, "pitch agreement", "agreement", decimals=3)}  # noqa: RUF012
    version = 1
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("agreement", [], dist_reduce_fx="cat")

    def update(self, features: dict[str, Tensor], side: str) -> None:
        self.agreement.append(features["agreement"])

    def compute(self) -> dict[str, Estimate]:
        return {"pitch_agreement": Estimate(float(torch.cat(self.agreement).mean()))}


registry.datasets.add("waves", waves)
registry.modalities.add(
    "wave",
    Modality(check, preview, strip, animation, writers={".wav": wav}, previewed=8),
)
registry.models.add("singer", singer)
registry.extractors.add("spectrum", spectrum)
registry.metrics.add("pitch_agreement", PitchAgreement)
