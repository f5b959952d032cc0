"""A folder of pictures as samples: ``folder:PATH``."""

from __future__ import annotations

import os
from pathlib import Path

from genbench.api import Samples, SampleSpec
from genbench.api.errors import DataError, UsageError
from genbench.io.files import cause, listed, shown
from genbench.io.pictures import PictureFiles
from genbench.io.scan import scan_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
OTHERS = (".apng", ".avif", ".gif", ".heic", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff")
"""Pictures that are refused: leaving them out silently would change the scores."""


def folder(argument: str, data_dir: Path) -> Samples:
    """The pictures (png, jpg, jpeg, bmp, webp) below a folder, in the order of their paths.

    uint8 ``(1, H, W)`` a sample where all are grey, ``(3, H, W)`` otherwise; unlabelled; read from
    the files as they are asked for. Opening the folder reads every file once, unless it did before
    and the file is unchanged. The id holds the folder's name and the hash of the files' bytes.
    ``data_dir`` is not used.

    Raises ``UsageError`` without a path; ``DataError`` if the folder is missing or holds no
    picture, a picture cannot be used, or the pictures differ in size.
    """
    if not argument:
        raise UsageError("dataset 'folder' needs a path: folder:PATH")
    root = Path(os.path.expanduser(argument))
    names = _pictures(root)
    if not names:
        known = ", ".join(SUFFIXES)
        raise DataError(f"{shown(root)}: zero images: no {known} file below this folder")
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
    return PictureFiles(spec, f"folder:{shown(root.resolve().name)}@{found.hash}", root, names)


def _pictures(root: Path) -> list[str]:
    """Names below ``root``, sorted. Links to folders are followed, each real folder being entered
    once, so that a loop ends."""

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
        folders.sort()  # which of two names of one folder comes first must not depend on the disk
        inside = os.path.relpath(place, root).replace(os.sep, "/") + "/"
        names += [inside.removeprefix("./") + name for name in files]
    others = sorted(name for name in names if name.lower().endswith(OTHERS))
    if others:
        raise DataError(
            f"{shown(root)}: pictures in formats that are not read: {listed(map(shown, others))}; "
            "convert them to PNG or remove them"
        )
    return sorted(name for name in names if name.lower().endswith(SUFFIXES))
