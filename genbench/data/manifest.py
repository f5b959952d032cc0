"""Samples of systems that cannot be run here, as DALL·E 3 or Midjourney: a folder of pictures with
a ``manifest.json`` or ``manifest.toml`` at its top, which says what is known of them::

    system  = "DALL·E 3"
    version = "dall-e-3, standard, vivid"
    date    = 2024-05-13
    [[files]]
    name           = "0001.png"
    sha256         = "3f79…"
    prompt         = "a red cube on a blue sphere"
    revised_prompt = "A photorealistic red cube …"   # what the system made of the prompt, if known
    seed           = 7                               # if known
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from genbench.api.errors import DataError
from genbench.data.captions import CaptionedPictures, in_order, near
from genbench.io.files import listed, load, shown
from genbench.io.rows import decoded, parsed
from genbench.io.scan import HashedFiles
from genbench.registry.validation import validated

MANIFESTS = ("manifest.json", "manifest.toml")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("should not be empty")
    return text


def _as_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"should be a date such as 2024-05-13, got {text!r}") from None


Words = Annotated[str, AfterValidator(_not_blank)]


class ImportedFile(BaseModel, frozen=True, strict=True, extra="forbid"):
    """One picture."""

    name: Words
    """Below the folder."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]
    """Of the file's bytes."""
    prompt: Words
    revised_prompt: Words | None = None
    seed: int | None = None


class Manifest(BaseModel, frozen=True, strict=True, extra="forbid"):
    """What is known of imported samples."""

    system: Words
    version: Words
    date: Annotated[str, AfterValidator(_as_date)]
    """On which the samples were made."""
    files: Annotated[tuple[ImportedFile, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class ImportedPictures(CaptionedPictures):
    """Pictures of a system that cannot be run here; the captions are the prompts."""

    provenance: Mapping[str, str]
    """``system``, ``version`` and ``date``, on which they were made."""


def manifest_file(root: Path) -> Path | None:
    """The manifest at the top of a folder, if there is one. Raises ``DataError`` if there are
    two."""
    found = [root / name for name in MANIFESTS if os.path.lexists(root / name)]
    if len(found) > 1:
        raise DataError(f"{shown(root)}: holds {' and '.join(MANIFESTS)}; keep one of them")
    return found[0] if found else None


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; ``None`` if it is another's, with neither ``system`` nor ``files``.

    Raises ``DataError`` if it cannot be read, ``UsageError`` that names a wrong key.
    """
    parse = _toml if path.suffix == ".toml" else parsed
    content = load(path, lambda where, file: parse(where, decoded(where, file)))
    if not isinstance(content, Mapping) or not {"system", "files"} & content.keys():
        return None
    if isinstance(content.get("date"), date):  # TOML has a word for it
        content = {**content, "date": content["date"].isoformat()}
    return validated(Manifest, shown(path), content)


def require_files(
    path: Path, manifest: Manifest, names: Sequence[str], hashed: HashedFiles
) -> list[str]:
    """The prompts of the pictures ``names``, which are those of the manifest in ``path``.

    Raises ``DataError`` that names the files for one that is listed twice or is not there, for
    pictures that are not listed, and for those of another hash.
    """
    where, known = shown(path), {name: number for number, name in enumerate(names)}
    files: dict[str, ImportedFile] = {}
    for file in manifest.files:
        if file.name not in known:
            raise DataError(f"{where}: no picture {file.name!r} here{near(file.name, names)}")
        if file.name in files:
            raise DataError(f"{where}: {file.name!r} is listed twice")
        files[file.name] = file
    prompts = in_order(path, names, {name: file.prompt for name, file in files.items()})
    other = [n for n, number in known.items() if files[n].sha256 != hashed.sha256(number)]
    if other:
        raise DataError(
            f"{where}: {len(other):,} of {len(names):,} pictures are not those that it names, "
            f"their SHA-256 differs: {listed(map(shown, other))}"
        )
    return prompts


def _toml(where: str, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not TOML ({error})") from error
