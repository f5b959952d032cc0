"""The words that every room of genbench shares: what a sample is, and what a plugin offers.

Notation: ``B`` samples in a batch, ``*shape`` the shape of one sample. The *stored view* of a
sample is what a data set or a sample file holds (integers ``0 … levels-1``, or reals); the *model's
view* is float32 in [-1, 1] (or the same reals). Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

REAL = "real"
"""The entry name of the floor: pictures of the training half scored as if generated."""

Condition: TypeAlias = "Mapping[str, Tensor]"
"""What samples are conditioned on, by name: ``{"label": (B,) int64}``; empty when unconditional."""

Features: TypeAlias = "Mapping[str, Tensor]"
"""What an extractor sees in B samples: ``{"features": (B, D), "logits": (B, K), …}``, and
``"labels": (B,)`` added by the harness where the samples carry labels."""


@dataclass(frozen=True)
class Categorical:
    """A condition that takes one of ``count`` classes, numbered from 0."""

    count: int


ConditionSpec: TypeAlias = Categorical


@dataclass(frozen=True)
class SampleSpec:
    """What one sample is, and the one place where the stored and the model's view are exchanged."""

    modality: str
    """``"image"``, ``"points"``, ``"audio"``, ``"video"``, …"""
    shape: tuple[int, ...]
    """``(C, *space)``; a point of the plane is ``(2,)``."""
    levels: int | None = 256
    """Stored as integers ``0 … levels-1``; ``None``: real-valued, both views are the same."""
    condition: Mapping[str, ConditionSpec] = field(default_factory=dict)

    def encode(self, stored: Tensor) -> Tensor:
        """Stored view ``(B, *shape)`` → model's view, float32: level k is 2k/(levels-1) - 1."""
        if self.levels is None:
            return stored.float()
        return stored.float().mul(2 / (self.levels - 1)).sub(1)

    def decode(self, x: Tensor) -> Tensor:
        """Model's view ``(B, *shape)`` → stored view: clamped to [-1, 1], then the nearest level.

        Ties go to the even level (``torch.round``). Returns uint8 up to 256 levels, int32 above,
        float32 for real-valued samples. The values must be finite.
        """
        if self.levels is None:
            return x.float()
        level = x.float().clamp(-1, 1).add(1).mul((self.levels - 1) / 2).round()
        return level.byte() if self.levels <= 256 else level.int()


@dataclass(frozen=True)
class Batch:
    """Some samples and what they are conditioned on."""

    data: Tensor
    """``(B, *shape)``, in the stored or the model's view."""
    condition: Condition = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        condition = {name: value.to(device) for name, value in self.condition.items()}
        return Batch(self.data.to(device), condition)


class Samples(Protocol):
    """A data source, a file of samples, or generated samples: in memory or lazy."""

    @property
    def spec(self) -> SampleSpec: ...

    @property
    def id(self) -> str:
        """Name, split and content hash, as in ``digits:train@1f0c…``: equal ids, equal samples."""
        ...

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Batch:
        """The samples at ``indices`` (1-d int64, on the CPU), in the stored view, on the CPU or
        wherever the samples live."""
        ...


@dataclass(frozen=True)
class TensorSamples:
    """Samples held whole in memory."""

    spec: SampleSpec
    id: str
    data: Tensor
    """``(N, *shape)`` in the stored view."""
    condition: Condition = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Tensor) -> Batch:
        condition = {name: value[indices] for name, value in self.condition.items()}
        return Batch(self.data[indices], condition)


@dataclass(frozen=True)
class Progress:
    """Where a training stands, before the step in question."""

    step: int
    """Steps taken so far."""
    images: int
    """Samples seen so far, over all devices."""
    budget: int
    """Samples that the whole training will see."""

    @property
    def fraction(self) -> float:
        """``images / budget``, in [0, 1]."""
        return self.images / self.budget


@dataclass(frozen=True)
class Turn:
    """One player's move: the loss that its optimiser is to descend."""

    player: str
    loss: Tensor
    """A scalar that requires grad."""
    diagnostics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """Scalars for the history, such as a discriminator's accuracy."""


@dataclass(frozen=True)
class Optimization:
    """How one player learns."""

    optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]
    learning_rate: Callable[[Progress], float]
    clip_norm: float | None = None
    """Gradients are rescaled to this norm where they exceed it; ``None``: never."""


class GenerativeModel(Protocol):
    """An ``nn.Module`` that can be trained and sampled. Whatever must survive a resume is a
    parameter or a buffer.

    Beyond what stands below, any model may offer *capabilities*, which are asked for by name:

    ``conditions: Set[str]``
        The conditions of the samples that the model obeys, as ``{"label"}``. ``sample`` is then
        given those of random training samples, and what it makes carries them.
    ``trajectory(noise, condition, **options) -> Iterator[Tensor]``
        What ``sample`` with the same options passes through, from the noise to the samples, which
        come last: ``(B, *shape)`` each, in the model's view, at unit scale.
    ``diffused(x_0, noise, fraction) -> Tensor``
        ``x_0`` ``(B, *shape)`` after ``fraction``, in [0, 1], of the way to noise, at unit scale.
    ``bits_per_dim(batch, **options) -> Tensor``
        Of a batch in the *stored* view: negative log2-likelihood over its dimensions, ``(B,)``.
    ``pretrained: bool``
        The weights came whole from elsewhere: nothing is trained.
    """

    @property
    def players(self) -> nn.ModuleDict:
        """The networks in the game, one optimiser each: a denoiser; a discriminator and a
        generator. ``losses`` must *call* them (not their submodules), as DDP requires."""
        ...

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Of one sample's noise: the sample's shape, or a latent's."""
        ...

    @property
    def sample(self) -> Callable[..., Tensor]:
        """``sample(noise, condition, *, …options) -> Tensor``: standard normal noise
        ``(B, *noise_shape)`` in, the model's view ``(B, *shape)`` out. Its keyword-only parameters
        are the schema of the sampling options. Further randomness comes from torch's global
        generator."""
        ...

    def optimization(self, player: str) -> Optimization: ...

    def losses(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """The turns of one step, on a batch in the model's view. The loop takes each turn's
        optimiser step before it asks for the next; which players move depends on ``progress``
        alone, never on the data."""
        ...

    # nn.Module's own, as far as the harness uses them.
    @property
    def state_dict(self) -> Callable[..., Any]: ...

    @property
    def load_state_dict(self) -> Callable[..., Any]: ...

    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def train(self) -> Callable[..., Any]: ...

    @property
    def parameters(self) -> Callable[..., Any]: ...

    @property
    def buffers(self) -> Callable[..., Any]: ...


class FeatureExtractor(Protocol):
    """Samples → features, by fixed weights."""

    @property
    def id(self) -> str:
        """Names the exact weights, and every option that changes a feature: ``digits@1f0c…``."""
        ...

    def supports(self, spec: SampleSpec) -> str | None:
        """``None``, or the reason why samples of this kind cannot be embedded."""
        ...

    def to(self, device: torch.device | str) -> FeatureExtractor:
        """The same extractor with its weights on ``device``."""
        ...

    def __call__(self, stored: Tensor, spec: SampleSpec) -> Features:
        """Features of ``(B, *shape)`` in the *stored* view, so that quantisation and resizing are
        the same for everybody. Any float dtype; rows in the order of the samples."""
        ...


@dataclass  # not frozen: torchmetrics rebuilds what ``compute`` returns field by field
class Estimate:
    """A score, and its 95 % interval over draws of the samples, where one is known."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str | None = None
    """What a reader of the number must know: too few samples for it to mean anything, say."""


class Metric(Protocol):
    """Features → numbers. ``torchmetrics.Metric`` carries the state, so that it can be synced."""

    @property
    def needs(self) -> Set[str]:
        """The features it reads: ``{"features"}``, ``{"logits"}``, …"""
        ...

    @property
    def sides(self) -> Set[str]:
        """Which of ``"train"``, ``"reference"``, ``"generated"`` it must see."""
        ...

    @property
    def outputs(self) -> Mapping[str, bool]:
        """The scores it computes by name → whether higher is better."""
        ...

    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., None]:
        """``update(features: Features, side: str)``: a batch of one side."""
        ...

    @property
    def compute(self) -> Callable[..., Mapping[str, Estimate]]:
        """``compute()``: every output, in one go."""
        ...


@dataclass(frozen=True)
class Event:
    """What a running stage tells the screen."""

    stage: str
    """``train``, ``sample``, ``score``, …"""
    done: int
    total: int
    loss: float | None = None
    rate: float | None = None
    """Samples a second."""
    note: str | None = None
    """What a user should read, in a line of its own."""


Report: TypeAlias = Callable[[Event], None]

ENDINGS = ("done", "diverged", "failed", "skipped")
"""How a run ends: a record's status, and the stage of a job's last event."""


@dataclass(frozen=True)
class Variant:
    """A registry value: another way to sample what ``trains`` trains, as DDIM is of DDPM."""

    trains: str
    sample: Mapping[str, Any]
