"""What a sample is, and sets of them, in memory or lazy.

Notation: ``B`` samples in a batch, ``*shape`` the shape of one sample. The *stored view* of a
sample is what a data set or a sample file holds (integers ``0 … levels-1``, or reals); the *model's
view* is float32 in [-1, 1] (or the same reals).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from genbench.api.conditions import Condition, ConditionSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REAL = "real"
"""The entry name of the floor: pictures of the training half scored as if generated."""


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


Augmentation: TypeAlias = "Callable[[Batch], Batch]"
"""A batch of training samples in the model's view, ``(B, *shape)``, to a changed one of as many and
of that shape, on its device. Each sample is changed by itself; randomness comes from torch's global
generator.

Under ``genbench.augmentations`` a function ``(spec) -> Augmentation`` is registered, which raises
``UsageError`` where it is not for samples of ``spec``."""


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
