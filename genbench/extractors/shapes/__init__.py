"""Reads pictures of shapes, and checks them against the facts of their captions.

Nothing is learned: ``reading`` compares with templates, ``checking`` compares facts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.api import Condition, Features, SampleSpec, Texts
from genbench.data.shapes import CAPTION, SPEC
from genbench.data.shapes.captions import KINDS, parse, untokenise
from genbench.data.shapes.scenes import COLOURS, SHAPES, SIZES
from genbench.extractors.shapes.checking import check
from genbench.extractors.shapes.reading import Objects, read

VERSION = 2
"""Of what is read and of how it is checked."""
BLOCKS = 4
"""Along each axis, into which a picture is parted for its mean colours."""


class ShapesReader:
    """What a picture shows, and whether it is what its caption states."""

    id = f"shapes@{VERSION}"
    resize = "none"
    conditions = frozenset({CAPTION})

    def __init__(self) -> None:
        self._device = torch.device("cpu")

    def supports(self, spec: SampleSpec) -> str | None:
        if (spec.modality, spec.shape, spec.levels) == ("image", SPEC.shape, SPEC.levels):
            return None
        return (
            f"the shapes extractor reads images of shape {SPEC.shape} with {SPEC.levels} levels, "
            f"not {spec.modality} of shape {spec.shape} with {spec.levels} levels"
        )

    def to(self, device: torch.device | str) -> ShapesReader:
        """Features are computed on the CPU, and then placed on ``device``."""
        self._device = torch.device(device)
        return self

    def __call__(
        self, stored: Tensor, spec: SampleSpec, condition: Condition, texts: Texts
    ) -> Features:
        """What uint8 pictures ``(B, 3, 32, 32)`` show, float32. The captions are the texts, or, if
        these are not known, the tokens of the data set ``shapes``.

        ``agreement``
            ``(B, 12)`` of 0 and 1: for each of ``captions.KINDS``, whether the caption states such
            facts and whether they hold; then whether it names a colour and shape that were held
            out, and whether it mentions one object alone.
        ``features``
            ``(B, 64)``, of the picture alone: how many objects have each shape, colour and size,
            how many cannot be read, and the mean colours of 4×4 blocks, in [0, 1].

        Raises ``UsageError`` for a caption outside the grammar of the data set.
        """
        pictures = stored.cpu()
        captions = _captions(condition, texts)
        found = read(pictures.numpy())
        agreement = [_agreement(said, seen) for said, seen in zip(captions, found, strict=True)]
        blocks = torch.nn.functional.avg_pool2d(pictures.float() / 255, spec.shape[-1] // BLOCKS)
        counts = torch.tensor([_counts(seen) for seen in found], dtype=torch.float32)
        return {
            "features": torch.cat([counts, blocks.flatten(1)], dim=1).to(self._device),
            "agreement": torch.tensor(agreement, dtype=torch.float32).to(self._device),
        }

    def facts(
        self, stored: Tensor, spec: SampleSpec, condition: Condition, texts: Texts
    ) -> list[dict[str, bool]]:
        """For each picture, of the kinds of facts that its caption states, whether they hold.
        Raises as a call does."""
        found = read(stored.cpu().numpy())
        return [
            {kind: said.holds for kind, said in check(parse(caption), seen).items() if said.stated}
            for caption, seen in zip(_captions(condition, texts), found, strict=True)
        ]


def shapes() -> ShapesReader:
    """Reads pictures of the data set ``shapes``, and checks them against their captions."""
    return ShapesReader()


def _captions(condition: Condition, texts: Texts) -> Sequence[str]:
    return texts.get(CAPTION) or untokenise(condition[CAPTION].cpu())


def _agreement(caption: str, objects: Objects) -> list[bool]:
    facts = parse(caption)
    verdicts = check(facts, objects)
    return [*(said for kind in KINDS for said in verdicts[kind]), facts.held_out, facts.single]


def _counts(objects: Objects) -> list[int]:
    items = [item for item in objects if item is not None]
    return [
        *(sum(item.shape == shape for item in items) for shape in SHAPES),
        *(sum(item.colour == colour for item in items) for colour in COLOURS),
        *(sum(item.size == size for item in items) for size in SIZES),
        len(objects) - len(items),
    ]
