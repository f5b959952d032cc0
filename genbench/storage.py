"""Files that are whole or absent: written aside, synced, renamed; checksummed; never unpickled.

An *artefact* is a file with a card beside it (``x.csv`` and ``x.csv.json``). The card is written
last, and the one of an artefact that is replaced is removed first: an artefact without a card was
never finished, and one whose checksum is not its card's is damaged.

Everything that genbench writes goes through here, and raises ``CannotWrite`` where it fails.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import GenbenchError, UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from torch import Tensor

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_CARD = ".json"
_LOCK = ".lock"
_ASIDE = ".tmp"


class Damaged(GenbenchError):
    """A stored file is incomplete or altered."""


class CannotWrite(GenbenchError):
    """The disk is full, the folder read-only, …: nothing that follows could be stored either."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, so that a crash at any moment leaves the old or the new file.

    Raises ``CannotWrite``; the old file is then intact, or the new one whole.
    """
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{os.getpid()}{_ASIDE}")
    with _writing(path):
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and those that it lies in, where they are not there. Raises ``CannotWrite``.

    A new folder's name is synced as a file's is, or a crash could lose what is written into it.
    """
    with _writing(path):
        if path.is_dir():
            return
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def refused(error: OSError) -> bool:
    """Whether an error of code that writes by itself, as a download does, is the disk's."""
    return error.errno in _REFUSALS


def remove(*paths: Path) -> None:
    """Remove files, in this order, those that are there. Raises ``CannotWrite``."""
    for path in paths:
        with _writing(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, text.encode())


def cache_folder() -> Path:
    """Where what can be computed again is kept between commands: ``$GENBENCH_CACHE``, or
    ``~/.cache/genbench``; for a user without a home, among the temporary files."""
    given = os.environ.get("GENBENCH_CACHE")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "genbench"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "genbench-cache"


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


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors bytes; those that share memory, as tied weights do, each whole."""
    from safetensors.torch import save

    whole: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        whole[name] = tensor.clone() if place in places else tensor
        places.add(place)
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
    # A kill may have left the lock, and the marker half written.
    ours = (_LOCK, f".{marker}.")
    if not all(path.name.startswith(ours) for path in folder.iterdir()):
        raise UsageError(f"{folder} belongs to something else: it holds files but no {marker}")


@contextmanager
def lock(folder: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold ``folder`` for this process; where another one holds it, call ``busy`` and wait.

    What a killed process left half written is removed. Raises ``CannotWrite``.
    """
    from filelock import FileLock

    make_folder(folder)
    held = FileLock(folder / _LOCK)
    if not _acquired(held, timeout=0):
        busy()
        _acquired(held, timeout=-1)
    try:
        remove(*(path for path in folder.rglob(f".*{_ASIDE}") if not _is_being_written(path)))
        yield
    finally:
        held.release()


def _acquired(held: BaseFileLock, timeout: float) -> bool:
    from filelock import Timeout

    with _writing(Path(held.lock_file)):
        try:
            held.acquire(timeout=timeout)
        except Timeout:
            return False
    return True


def _is_being_written(aside: Path) -> bool:
    """Whether the process that began it, which need not hold the lock, still runs."""
    try:
        os.kill(int(aside.name.split(".")[-2]), 0)
    except PermissionError:
        return True  # it is somebody else's
    except (OSError, OverflowError, ValueError):
        return False
    return True


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    """Make the names in ``folder`` last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
