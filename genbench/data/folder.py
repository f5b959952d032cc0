"""A folder of pictures or sounds as samples: ``folder:PATH``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from genbench.api import Samples, SampleSpec
from genbench.api.errors import DataError, UsageError
from genbench.data.captions import (
    CAPTION,
    CaptionedPictures,
    metadata_file,
    read_captions,
    text_of,
)
from genbench.data.manifest import (
    ImportedPictures,
    manifest_file,
    read_manifest,
    require_files,
)
from genbench.data.sounds import sound_folder
from genbench.io.decode import FORMATS, START, format_of
from genbench.io.files import cause, contents, listed, shown
from genbench.io.pictures import PictureFiles
from genbench.io.scan import scan_images
from genbench.store import fingerprint

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
OTHERS = (
    *(".apng", ".avif", ".dib", ".gif", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".pbm", ".pcx"),
    *(".pgm", ".pnm", ".ppm", ".tga", ".tif", ".tiff"),
)
"""Pictures that are refused: leaving them out silently would change the scores."""
SOUNDS = (".wav", ".flac", ".ogg")
OTHER_SOUNDS = (
    *(".aac", ".aif", ".aiff", ".au", ".caf", ".m4a", ".mp3", ".oga", ".opus", ".rf64", ".w64"),
    *(".wave", ".weba", ".wma"),
)
"""Sounds that are refused, for the same reason."""
NONE = (".txt", ".json", ".csv", ".npy", ".npz")
"""What lies beside pictures by the thousand, and is not looked into. Any other file may hold a
picture, whatever it is called."""


def folder(argument: str, data_dir: Path) -> Samples:
    """The pictures (PNG, JPEG, BMP, WebP) or the sounds (WAV, FLAC, OGG) below a folder, in the
    order of their paths. What is hidden (``.NAME``) is not read; a picture without a suffix is.
    Sounds are told by their suffix, and are as ``sound_folder`` says; all else here is of pictures.

    uint8 ``(1, H, W)`` a sample where all are grey, ``(3, H, W)`` otherwise; unlabelled; read from
    the files as they are asked for. Opening the folder reads every file once, unless it did before
    and the file is unchanged. The id holds the folder's name and the hash of the files' bytes.
    ``data_dir`` is not used.

    With a ``metadata.jsonl`` or ``metadata.csv`` that holds texts (``genbench.data.captions``),
    each picture has a caption: the condition ``caption``, and part of the id. With a manifest of
    imported samples (``genbench.data.manifest``), the captions are the prompts in it, the manifest
    is part of the id, and every file must have its hash.

    Raises ``UsageError`` without a path; ``DataError`` if the folder is missing, holds neither
    pictures nor sounds, or holds both, a picture cannot be used, or the pictures differ in size;
    and as ``sound_folder``, ``read_captions``, ``read_manifest`` and ``require_files`` do.
    """
    if not argument:
        raise UsageError("dataset 'folder' needs a path: folder:PATH")
    root = Path(os.path.expanduser(argument))
    files = _files(root)
    names = files.pictures
    if names and files.sounds:
        raise DataError(
            f"{shown(root)}: holds pictures and sounds, as {shown(names[0])} and "
            f"{shown(files.sounds[0])}; give each kind a folder of its own"
        )
    if files.sounds:
        return sound_folder(root, files.sounds)
    if not names:
        known = ", ".join((*SUFFIXES, *SOUNDS))
        raise DataError(
            f"{shown(root)}: zero images or sounds: no {known} file below this folder that "
            "is not hidden"
        )
    found = scan_images(root, names)
    width, height = size = found.headers[0].size
    for name, header in zip(names, found.headers, strict=True):
        if header.size != size:
            raise DataError(
                f"{shown(root)}: mixed sizes: {shown(names[0])} is {width}×{height}, "
                f"{shown(name)} is {header.size[0]}×{header.size[1]}; make them equal"
            )
    grey = all(header.mode == "L" for header in found.headers)
    spec = SampleSpec("image", (1 if grey else 3, height, width))
    return _described(PictureFiles(spec, found.hash, root, names, found.hashed))


def _described(bare: PictureFiles) -> PictureFiles:
    """The pictures with what a file at the top of their folder says of them, and their id. The id
    of ``bare`` is the hash of their bytes."""
    root, names, hashed = bare.root, bare.names, bare.hashed
    metadata, listing = metadata_file(root), manifest_file(root)
    captions = None if metadata is None else read_captions(metadata, names)
    manifest = None if listing is None else read_manifest(listing)
    if captions is not None and manifest is not None:
        raise DataError(f"{shown(root)}: has metadata and a manifest of imported samples; keep one")
    id = f"folder:{shown(root.resolve().name)}@"
    if listing is not None and manifest is not None:
        prompts = require_files(listing, manifest, names, hashed)
        provenance = manifest.model_dump(include={"system", "version", "date"})
        return ImportedPictures(
            replace(bare.spec, condition={CAPTION: text_of(prompts)}),
            id + fingerprint([bare.id, manifest.model_dump()]),
            *(root, names, hashed),
            captions=prompts,
            provenance=provenance,
            notes=(f"samples of {', '.join(provenance.values())}",),
        )
    if captions is not None:
        spec = replace(bare.spec, condition={CAPTION: text_of(captions)})
        id += fingerprint([bare.id, captions])
        return CaptionedPictures(spec, id, root, names, hashed, captions=captions)
    unread = [] if metadata is None else [f"{metadata.name} has no 'text': no captions"]
    unread += [] if listing is None else [f"{listing.name} is no manifest of samples: not read"]
    return replace(bare, id=id + bare.id, notes=tuple(unread))


@dataclass
class _Files:
    """Names below a folder."""

    pictures: list[str] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)


def _files(root: Path) -> _Files:
    """The files to be read below ``root``, sorted. Links to folders are followed, each real folder
    being entered once, so that a loop ends. Raises ``DataError`` for pictures and sounds that are
    not read."""

    def refuse(error: OSError) -> None:
        missing = isinstance(error, FileNotFoundError) and error.filename == str(root)
        said = "no such folder" if missing else cause(error)
        raise DataError(f"{shown(error.filename)}: {said}") from error

    seen: set[str] = set()
    names: list[str] = []
    for place, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Which of two names of one folder comes first must not depend on the disk.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(place, root).replace(os.sep, "/") + "/"
        names += [inside.removeprefix("./") + name for name in files if name[0] != "."]
    found, others, other_sounds = _Files(), [], []
    for name in sorted(names):
        end = os.path.splitext(name)[1].lower()
        if end in SUFFIXES:
            found.pictures.append(name)
        elif end in SOUNDS:
            found.sounds.append(name)
        elif end in OTHER_SOUNDS:
            other_sounds.append(name)
        elif end in OTHERS:
            others.append(name)
        elif end not in NONE and (format := _format(f"{root}/{name}")) is not None:
            (found.pictures if not end and format in FORMATS else others).append(name)
    if others:
        raise DataError(
            f"{shown(root)}: pictures in formats that are not read: {listed(map(shown, others))}; "
            "convert them to PNG (.png) or remove them"
        )
    if other_sounds:
        raise DataError(
            f"{shown(root)}: sounds in formats that are not read: "
            f"{listed(map(shown, other_sounds))}; convert them to WAV (.wav) or remove them"
        )
    return found


def _format(path: str) -> str | None:
    """What picture a file holds, if it is one that can be read."""
    try:
        return format_of(contents(path, START)[0])
    except OSError:
        return None
