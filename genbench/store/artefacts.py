"""Checksummed files: never unpickled, whole or named as damaged.

An *artefact* is a file with a card beside it (``x.csv`` and ``x.csv.json``). The card is written
last, and the one of an artefact that is replaced is removed first: an artefact without a card was
never finished, and one whose checksum is not its card's is damaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.api.errors import GenbenchError
from genbench.store.files import remove, write_bytes

_CARD = ".json"


class Damaged(GenbenchError):
    """A stored file is incomplete or altered."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """16 hexadecimal digits that name a JSON-like value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def write_card(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object with its own checksum inside."""
    write_bytes(path, _card(content))


def read_card(path: Path) -> dict[str, Any] | None:
    """What ``write_card`` stored; ``None`` where there is no such file. Raises ``Damaged``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    try:
        body = json.loads(data.decode())
        body.pop("checksum")
        # Byte for byte, so that no flipped bit passes, not even between two tokens.
        whole = data == _card(body)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: not a card") from error
    if not whole:
        raise Damaged(f"{path} is damaged: its checksum does not agree")
    return dict(body)


def _card(content: Mapping[str, Any]) -> bytes:
    body = {**content, "checksum": fingerprint(dict(content))}
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def write_artefact(path: Path, data: bytes, card: Mapping[str, Any]) -> None:
    """Store ``data`` at ``path`` and, last, its card."""
    remove(card_path(path))
    write_bytes(path, data)
    write_card(card_path(path), {**card, "sha256": hashlib.sha256(data).hexdigest()})


def read_artefact(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The bytes and the card; ``None`` where it was never finished. Raises ``Damaged``."""
    card = read_card(card_path(path))
    if card is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != card.get("sha256"):
        raise Damaged(f"{path} is damaged: its checksum does not agree with its card")
    return data, card


def require_artefact(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes and the card. Raises ``Damaged`` also where it was never finished."""
    artefact = read_artefact(path)
    if artefact is None:
        raise Damaged(f"{path} is missing or unfinished")
    return artefact


def damaged(folder: Path) -> Iterator[tuple[Path, Damaged]]:
    """Every card under ``folder`` that is damaged or whose file is, and what is wrong with it.

    Without that card, the artefact was never finished.
    """
    for path in sorted(folder.rglob(f"*{_CARD}")):
        try:
            card = read_card(path)
            if card is not None and "sha256" in card:
                read_artefact(path.with_name(path.name.removesuffix(_CARD)))
        except Damaged as error:
            yield path, error


def card_path(path: Path) -> Path:
    return path.with_name(path.name + _CARD)
