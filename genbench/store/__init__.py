"""Durable files, artefacts with checksums, locked folders, stages and records."""

from __future__ import annotations

from genbench.store.artefacts import (
    Damaged,
    canonical,
    damaged,
    fingerprint,
    metadata_path,
    read_artefact,
    read_metadata,
    require_artefact,
    write_artefact,
    write_metadata,
)
from genbench.store.cache import (
    Contents,
    cache_folder,
    cache_path,
    home_folder,
    read_cached,
    write_cached,
)
from genbench.store.files import (
    CannotWrite,
    held,
    make_folder,
    read_regular,
    refused,
    remove,
    write_bytes,
    write_text,
)
from genbench.store.locks import lock, require_own
from genbench.store.stage import Artefact, Stage
from genbench.store.tensors import (
    hash_tensor,
    in_memory,
    pack_state,
    pack_tensors,
    unpack_state,
    unpack_tensors,
)

__all__ = [
    "Artefact",
    "CannotWrite",
    "Contents",
    "Damaged",
    "Stage",
    "cache_folder",
    "cache_path",
    "canonical",
    "damaged",
    "fingerprint",
    "hash_tensor",
    "held",
    "home_folder",
    "in_memory",
    "lock",
    "make_folder",
    "metadata_path",
    "pack_state",
    "pack_tensors",
    "read_artefact",
    "read_cached",
    "read_metadata",
    "read_regular",
    "refused",
    "remove",
    "require_artefact",
    "require_own",
    "unpack_state",
    "unpack_tensors",
    "write_artefact",
    "write_bytes",
    "write_cached",
    "write_metadata",
    "write_text",
]
