"""Which part of a named data set the text after the colon asks for."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.api.errors import UsageError, did_you_mean


def choose_split(dataset: str, argument: str, splits: Sequence[str] = ("train", "test")) -> str:
    """The split that ``argument`` names; ``""`` means ``"train"``. Raises ``UsageError``."""
    split = argument or "train"
    if split not in splits:
        raise UsageError(f"dataset {dataset!r} has no split {split!r}{did_you_mean(split, splits)}")
    return split
