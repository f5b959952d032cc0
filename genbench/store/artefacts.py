"""Files with checksums. They are never unpickled; a file that has changed is reported as damaged.

An *artefact* is a file with its metadata in a file beside it (``x.csv`` and ``x.csv.json``). The
metadata are written last, and those of an artefact that is replaced are removed first: an artefact
without metadata was never finished, and one whose checksum is not the one there is damaged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.api.errors import GenbenchError
from genbench.store.files import encoded, read_regular, remove, write_bytes

_SUFFIX = ".json"


class Damaged(GenbenchError):
    """A stored file is incomplete or altered."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """16 hexadecimal digits that name a JSON-like value."""
    return hashlib.sha256(encoded(canonical(value))).hexdigest()[:16]


def write_metadata(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object with its own checksum inside."""
    write_bytes(path, _metadata(whole_characters(content)))


def whole_characters(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON-like content with ``?`` for halves of characters, which a plugin may give a name and
    which no file in UTF-8 holds."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return dict(json.loads(text.encode("utf-8", "replace")))
    return content


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What ``write_metadata`` stored; ``None`` if there is no such file. Raises ``Damaged``."""
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    try:
        body = json.loads(data.decode())
        body.pop("checksum")
        # All bytes are compared, so that even a flipped bit between two tokens is found.
        whole = data == _metadata(body)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: not a metadata") from error
    if not whole:
        raise Damaged(f"{path} is damaged: its checksum does not agree")
    return dict(body)


def _metadata(content: Mapping[str, Any]) -> bytes:
    body = {**content, "checksum": fingerprint(dict(content))}
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def write_artefact(path: Path, data: bytes, metadata: Mapping[str, Any]) -> None:
    """Store ``data`` at ``path`` and, last, its metadata."""
    remove(metadata_path(path))
    write_bytes(path, data)
    write_metadata(metadata_path(path), {**metadata, "sha256": hashlib.sha256(data).hexdigest()})


def read_artefact(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The bytes and the metadata; ``None`` if the artefact was never finished. Raises
    ``Damaged``."""
    metadata = read_metadata(metadata_path(path))
    if metadata is None:
        return None
    try:
        data = read_regular(path)
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != metadata.get("sha256"):
        raise Damaged(f"{path} is damaged: its checksum does not agree with its metadata")
    return data, metadata


def require_artefact(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes and the metadata. Raises ``Damaged``, also if the artefact was never finished."""
    artefact = read_artefact(path)
    if artefact is None:
        raise Damaged(f"{path} is missing or unfinished")
    return artefact


def damaged(folder: Path, ours: re.Pattern[str]) -> Iterator[tuple[Path, Damaged]]:
    """Every metadata under ``folder`` that is damaged or whose file is, and what is wrong with it.

    Without that metadata, the artefact was never finished. ``ours`` matches the paths, relative to
    ``folder``, that genbench writes: whatever else lies there is left alone.
    """
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        if not ours.fullmatch(path.relative_to(folder).as_posix()):
            continue
        try:
            metadata = read_metadata(path)
            if metadata is not None and "sha256" in metadata:
                read_artefact(path.with_name(path.name.removesuffix(_SUFFIX)))
        except Damaged as error:
            yield path, error


def metadata_path(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)
