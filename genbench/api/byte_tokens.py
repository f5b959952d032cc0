"""Texts as tokens without a vocabulary to learn: each UTF-8 byte is a token.

Every text has tokens, which give the text back. Byte ``b`` is token ``b + 1``, since 0 pads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.api.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARY = 257
"""Of such a ``Text``: 256 bytes, and the padding."""


def tokenise(texts: Sequence[str], max_tokens: int) -> Tensor:
    """Tokens in 0 … 256 of ``texts``, int64 ``(n, max_tokens)``, padded with 0.

    Raises ``UsageError`` for a text of more than ``max_tokens`` bytes, and for one that has no
    UTF-8 (half of a surrogate pair).
    """
    import torch

    tokens = torch.zeros(len(texts), max_tokens, dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"text {_brief(text)}: half of a surrogate pair is no text") from None
        if len(data) > max_tokens:
            raise UsageError(
                f"text {_brief(text)}: it has {len(data):,} bytes, and {max_tokens:,} are the most"
            )
        if data:
            row[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) + 1
    return tokens


def untokenise(tokens: Tensor) -> list[str]:
    """The texts of tokens ``(n, max_tokens)``. Bytes that are no UTF-8, as a model may give them,
    become U+FFFD."""
    return [
        bytes(token - 1 for token in row if token).decode(errors="replace")
        for row in tokens.tolist()
    ]


def _brief(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
