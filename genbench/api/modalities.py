"""Modalities: which samples are valid, and how they are shown and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from genbench.api.samples import SampleSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL.Image import Image

INK = "#010203"
"""Of lines and marks in a ``Figure``: the page replaces it by the colour of its text."""


@dataclass(frozen=True)
class Shown:
    """Some samples, to be shown or written."""

    data: NDArray[Any]
    """``(n, *spec.shape)`` in the stored view."""
    spec: SampleSpec


@dataclass(frozen=True)
class Frames:
    """A trajectory, to be shown."""

    kind: str
    """``forward``, ``reverse`` or ``walk``."""
    data: NDArray[Any]
    """``(F, n, *spec.shape)`` in the stored view."""
    spec: SampleSpec
    asked: tuple[str, ...] = ()
    """What each of the n was asked for, in words, if anything."""

    def some(self, count: int) -> Frames:
        """At most ``count`` of them, evenly spaced, the first and the last among them."""
        count = min(count, len(self.data))
        last = len(self.data) - 1
        chosen = [round(last * step / max(1, count - 1)) for step in range(count)]
        return replace(self, data=self.data[chosen])

    def each(self) -> list[Shown]:
        """The samples of each frame."""
        return [Shown(frame, self.spec) for frame in self.data]


@dataclass(frozen=True)
class Figure:
    """A drawing by matplotlib: vectors on the page, pixels in a file."""

    plot: Callable[[Axes], None]
    size: tuple[float, float]
    """Width and height in inches."""


Drawing: TypeAlias = "Image | Figure"


@dataclass(frozen=True)
class Modality:
    """A registry value of ``genbench.modalities``: what samples of one modality mean.

    Its functions may raise ``DataError`` for samples that they cannot show.
    """

    check: Callable[[SampleSpec], str | None]
    """``None``, or the reason why no sample can have this shape, these levels and this rate."""
    preview: Callable[[Shown, Shown], Drawing]
    """``preview(samples, first)``: some samples of one entry. ``first`` are those of the first
    entry on the page, for whatever all drawings should share, such as the range of their axes."""
    strip: Callable[[Frames, bool], Drawing] | None = None
    """``strip(frames, on_page)``: a few frames side by side, small on a page, larger in a file."""
    animation: Callable[[Frames], Sequence[Drawing]] | None = None
    """One drawing a frame, all of one size."""
    pairs: Callable[[Shown, Shown], Drawing] | None = None
    """``pairs(samples, nearest)``: each sample beside its nearest training sample."""
    writers: Mapping[str, Callable[[Shown], bytes]] = field(default_factory=dict)
    """By suffix (``".png"``): the files that can hold samples, beside ``.npz``. What ``".wav"``
    writes, the samples one after the other, the page plays, too."""
    previewed: int = 64
    """The most samples in a preview."""
    followed: int = 6
    """How many samples a strip on the page follows."""
    animated: int = 8
    """How many samples ``genbench show`` follows by default."""

    @property
    def player(self) -> Callable[[Shown], bytes] | None:
        """What makes samples heard; ``None``: they cannot be."""
        return self.writers.get(".wav")
