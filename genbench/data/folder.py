"""A folder of pictures as samples: ``folder:PATH``."""

from __future__ import annotations

import os
from pathlib import Path

from genbench.data.pictures import PictureFiles, examine
from genbench.errors import DataError, UsageError
from genbench.types import Samples, SampleSpec

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def folder(argument: str, data_dir: Path) -> Samples:
    """The pictures (png, jpg, jpeg, bmp, webp) below a folder, in the order of their paths.

    uint8 ``(1, H, W)`` a sample where all are grey, ``(3, H, W)`` otherwise; unlabelled; read from
    the files as they are asked for. Opening the folder reads every file once. The id holds the
    folder's name and the hash of the files' bytes. ``data_dir`` is not used.

    Raises ``UsageError`` without a path; ``DataError`` where the folder is missing or holds no
    picture, a picture cannot be used, or the pictures differ in size.
    """
    if not argument:
        raise UsageError("dataset 'folder' needs a path: folder:PATH")
    root = Path(os.path.expanduser(argument))
    if not os.path.isdir(root):
        raise DataError(f"{root}: {'not a folder' if os.path.exists(root) else 'no such folder'}")
    paths = _pictures(root)
    if not paths:
        raise DataError(f"{root}: zero images: no {', '.join(SUFFIXES)} file below this folder")
    found = examine(paths, root)
    width, height = size = found.headers[0].size
    for path, header in zip(paths, found.headers, strict=True):
        if header.size != size:
            raise DataError(
                f"{root}: mixed sizes: {paths[0].relative_to(root)} is {width}×{height}, "
                f"{path.relative_to(root)} is {header.size[0]}×{header.size[1]}"
            )
    grey = all(header.mode == "L" for header in found.headers)
    spec = SampleSpec("image", (1 if grey else 3, height, width))
    return PictureFiles(spec, f"folder:{root.resolve().name}@{found.hash}", paths)


def _pictures(root: Path) -> list[Path]:
    """Links to folders are followed, each real folder being entered once, so that a loop ends."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: {error.strerror}") from error

    seen: set[str] = set()
    paths = []
    for place, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()  # which of two names of one folder comes first must not depend on the disk
        paths += [Path(place, name) for name in files if name.lower().endswith(SUFFIXES)]
    return sorted(paths, key=lambda path: path.relative_to(root).as_posix())
