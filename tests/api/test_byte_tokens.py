"""Bytes as tokens: against Python's own encoding."""

from __future__ import annotations

import pytest
import torch

from genbench.api.byte_tokens import VOCABULARY, tokenise, untokenise
from genbench.api.errors import UsageError

TEXTS = ["", "a", "\x00", "é", "🦔🏽‍♀️", "\u202eright to left", "<b>&amp;</b>", "x" * 300]


def test_tokens_are_the_bytes_plus_one() -> None:
    tokens = tokenise(TEXTS, 300)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (len(TEXTS), 300)
    for row, text in zip(tokens.tolist(), TEXTS, strict=True):
        data = text.encode()
        assert row == [byte + 1 for byte in data] + [0] * (300 - len(data))
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < VOCABULARY


def test_tokens_give_the_texts_back() -> None:
    assert untokenise(tokenise(TEXTS, 300)) == TEXTS
    assert untokenise(torch.tensor([[0xC3 + 1, 0, ord("a") + 1]])) == ["\ufffda"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("éé", "text 'éé': it has 4 bytes, and 3 are the most"),
        ("\ud800", r"text '\ud800': half of a surrogate pair is no text"),
    ],
)
def test_what_has_no_tokens_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        tokenise([text], 3)
    assert str(caught.value) == message
