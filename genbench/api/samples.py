"""What a sample is, and sets of them, in memory or lazy.

Notation: ``B`` samples in a batch, ``*shape`` the shape of one sample. The *stored view* of a
sample is what a data set or a sample file holds (integers ``0 … levels-1``, or reals); the *model's
view* is float32 in [-1, 1] (or the same reals).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from genbench.api.conditions import Categorical, Condition, ConditionSpec, Text, Texts, Vector

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REAL = "real"
"""The entry name of the real row: training samples scored as if generated."""

RECONSTRUCTION = "reconstruction: "
"""How the entry name of a codec's row begins, before its id: reference samples encoded and decoded,
the ceiling of what is sampled in its latent space."""


CONTROL = "control: "
"""How the entry name of a control begins: training samples with texts that are not theirs."""


@dataclass(frozen=True)
class SampleSpec:
    """The shape and range of samples, and the conversion between the stored and the model's
    view."""

    modality: str
    """``"image"``, ``"points"``, ``"audio"``, ``"video"``, …"""
    shape: tuple[int, ...]
    """``(C, *space)``; a point of the plane is ``(2,)``."""
    levels: int | None = 256
    """Stored as integers ``0 … levels-1``; ``None``: real-valued, both views are the same."""
    condition: Mapping[str, ConditionSpec] = field(default_factory=dict)
    rate: float | None = None
    """Of the first axis of ``space``: Hz of a sound, frames a second of a video; ``None``: such
    samples have none."""

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

    def pad(self, stored: Tensor, length: Tensor) -> Tensor:
        """``stored`` ``(B, *shape)`` with zeros beyond ``length`` ``(B,)``, along the first axis of
        ``space``."""
        import torch

        places = torch.arange(self.shape[1], device=stored.device)
        kept = places < length.to(stored.device)[:, None]
        return stored * kept.view(len(kept), 1, -1, *[1] * (len(self.shape) - 2))

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, for files and identities."""
        fields = asdict(self)
        if self.rate is None:
            del fields["rate"]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SampleSpec:
        """The inverse of ``to_dict``. Raises ``KeyError`` or ``TypeError`` for anything else."""
        kinds = {"count": Categorical, "max_tokens": Text, "dim": Vector}
        condition = {
            name: next(kind for key, kind in kinds.items() if key in value)(**value)
            for name, value in fields["condition"].items()
        }
        known = {**fields, "shape": tuple(fields["shape"]), "condition": condition}
        return cls(**known)


@dataclass(frozen=True)
class Batch:
    """Some samples and what they are conditioned on."""

    data: Tensor
    """``(B, *shape)``, in the stored or the model's view."""
    condition: Condition = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        condition = {name: value.to(device) for name, value in self.condition.items()}
        return Batch(self.data.to(device), condition, self.texts)


Augmentation: TypeAlias = "Callable[[Batch], Batch]"
"""A batch of training samples in the model's view, ``(B, *shape)``, to a changed one of as many and
of that shape, on its device. Each sample is changed by itself; randomness comes from torch's global
generator.

Under ``genbench.augmentations`` a function ``(spec) -> Augmentation`` is registered, which raises
``UsageError`` if it is not for samples of ``spec``."""


class Samples(Protocol):
    """A data source, a file of samples, or generated samples: in memory or lazy.

    Samples with a ``Text`` among their conditions may offer a capability, asked for by name:

    ``tokens(name, words: Sequence[str]) -> Tensor``
        The tokens of such texts, int64 ``(n, max_tokens)``, so that a suite can prompt with words.
    """

    @property
    def spec(self) -> SampleSpec: ...

    @property
    def id(self) -> str:
        """Name, split and content hash, as in ``digits:train@1f0c…``: equal ids, equal samples,
        conditions and texts."""
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
    texts: Texts = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Tensor) -> Batch:
        rows = indices.tolist() if self.texts else []
        texts = {name: [words[row] for row in rows] for name, words in self.texts.items()}
        indices = indices.to(self.data.device)  # after the words: they need no accelerator
        condition = {name: value[indices] for name, value in self.condition.items()}
        return Batch(self.data[indices], condition, texts)
