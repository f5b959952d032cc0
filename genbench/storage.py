"""Files that are whole or absent: written aside, synced, renamed; checksummed; never unpickled.

An *artefact* is a file with a card beside it (``x.csv`` and ``x.csv.json``). The card is written
last and holds the file's checksum: an artefact exists when its card does and the checksum agrees.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import GenbenchError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


class Damaged(GenbenchError):
    """A stored file is incomplete or altered."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, so that a crash at any moment leaves the old or the new file.

    Raises ``GenbenchError`` (disk full, no permission, …) with the old file intact.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise GenbenchError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, text.encode())


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """16 hexadecimal digits that name a JSON-like value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def write_card(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object with its own checksum inside."""
    body = {**content, "checksum": fingerprint(dict(content))}
    write_text(path, json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def read_card(path: Path) -> dict[str, Any] | None:
    """What ``write_card`` stored; ``None`` where there is no such file. Raises ``Damaged``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"cannot read {path}: {error}") from error
    try:
        body = json.loads(text)
        checksum = body.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"{path} is damaged: not a card") from error
    if checksum != fingerprint(body):
        raise Damaged(f"{path} is damaged: its checksum does not agree")
    return dict(body)


def write_artefact(path: Path, data: bytes, card: Mapping[str, Any]) -> None:
    """Store ``data`` at ``path`` and, last, its card."""
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


def card_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors bytes."""
    from safetensors.torch import save

    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(whole, dict(metadata or {}))


def unpack_tensors(data: bytes) -> dict[str, Tensor]:
    """The inverse of ``pack_tensors``; tensors on the CPU."""
    from safetensors.torch import load

    return load(data)


def pack_state(state: Mapping[str, Any]) -> bytes:
    """Nested dictionaries of tensors and plain values (an optimiser's state, say) as bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unpack_state(data: bytes) -> dict[str, Any]:
    """The inverse of ``pack_state``. Nothing but tensors and plain values is ever constructed."""
    import torch

    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def hash_tensor(*tensors: Tensor) -> str:
    """16 hexadecimal digits that name the dtypes, shapes and contents of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def require_own(folder: Path, marker: str) -> None:
    """Raises ``UsageError`` unless ``folder`` is new, empty or holds our ``marker``."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or (folder / marker).exists():
        return
    if any(path.name != ".lock" for path in folder.iterdir()):
        raise UsageError(f"{folder} belongs to something else: it holds files but no {marker}")


@contextmanager
def lock(folder: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold ``folder`` for this process; where another one holds it, call ``busy`` and wait."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / ".lock")
        try:
            held.acquire(timeout=0)
        except Timeout:
            busy()
            held.acquire()
    except OSError as error:
        raise GenbenchError(f"cannot write in {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()
