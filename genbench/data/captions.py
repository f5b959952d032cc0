"""Pictures with captions: what a file of metadata says of the pictures of a folder.

The convention is that of Hugging Face's ``imagefolder``: a ``metadata.jsonl`` or ``metadata.csv``
at the top of the folder holds, for each picture, its ``file_name``, relative to the folder, and its
``text``. Further fields are not read.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from genbench.api import Batch, Text
from genbench.api.byte_tokens import VOCABULARY, tokenise
from genbench.api.errors import DataError, UsageError, did_you_mean
from genbench.io.files import listed, shown
from genbench.io.pictures import PictureFiles
from genbench.io.rows import read_rows

CAPTION = "caption"
"""The name of the condition."""
METADATA = ("metadata.jsonl", "metadata.csv")
LEAST_TOKENS = 400
"""Tokens that a caption may have where all captions are shorter, since prompts may be longer than
what a model was trained on: the longest of PartiPrompts has 389 bytes."""


@dataclass(frozen=True, kw_only=True)
class CaptionedPictures(PictureFiles):
    """Pictures with a caption each, in bytes as tokens."""

    captions: Sequence[str]

    def take(self, indices: Tensor) -> Batch:
        """uint8 ``(B, C, H, W)``, with the condition ``caption``, int64 ``(B, max_tokens)``, and
        the captions as texts. Raises as ``PictureFiles.take`` does."""
        texts = [self.captions[row] for row in indices.tolist()]
        tokens = self.tokens(CAPTION, texts)
        return Batch(super().take(indices).data, {CAPTION: tokens}, {CAPTION: texts})

    def tokens(self, name: str, words: Sequence[str]) -> Tensor:
        """The tokens of texts, int64 ``(n, max_tokens)``: their UTF-8 bytes, each + 1.

        Raises ``UsageError`` for another condition than ``caption``, and for a text that is longer
        than ``max_tokens``.
        """
        if name != CAPTION:
            raise UsageError(f"{self.id} has no condition {name!r}{did_you_mean(name, [CAPTION])}")
        declared = self.spec.condition[CAPTION]
        assert isinstance(declared, Text)
        return tokenise(words, declared.max_tokens)


def text_of(captions: Sequence[str]) -> Text:
    """The condition that such captions are."""
    longest = max(len(caption.encode()) for caption in captions)
    return Text(max(LEAST_TOKENS, longest), VOCABULARY)


def metadata_file(root: Path) -> Path | None:
    """The file of metadata at the top of a folder, if there is one. Raises ``DataError`` if there
    are two."""
    found = [root / name for name in METADATA if os.path.lexists(root / name)]
    if len(found) > 1:
        raise DataError(f"{shown(root)}: holds {' and '.join(METADATA)}; keep one of them")
    return found[0] if found else None


def read_captions(path: Path, names: Sequence[str]) -> list[str] | None:
    """The captions of the pictures ``names``, in their order, from the metadata in ``path``;
    ``None`` if it holds no texts.

    Raises ``DataError``, which names the line, if it cannot be read, if a text is missing, blank or
    cannot be UTF-8, for a second caption of one picture, a picture that is not there, and pictures
    without a caption.
    """
    rows = read_rows(path)
    if not any("text" in row.fields for row in rows):
        return None
    known, texts, places = set(names), dict[str, str](), dict[str, str]()
    for row in rows:
        name = row.text("file_name")
        if name not in known:
            raise DataError(f"{row.where}: no picture {name!r} in this folder{near(name, names)}")
        if name in texts:
            raise DataError(f"{row.where}: {name!r} has a caption already, in {places[name]}")
        texts[name], places[name] = row.text("text"), row.where
    return in_order(path, names, texts)


def in_order(path: Path, names: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    """The texts of the pictures ``names``. Raises ``DataError`` that lists those without."""
    without = [shown(name) for name in names if name not in texts]
    if without:
        raise DataError(
            f"{shown(path)}: {len(without):,} of {len(names):,} pictures have no caption: "
            f"{listed(without)}"
        )
    return [texts[name] for name in names]


def near(name: str, names: Sequence[str]) -> str:
    """As ``did_you_mean``, which lists all names if none is similar: here there may be millions."""
    found = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
