"""A hook of mkdocs: what the guides link to elsewhere in the repository becomes part of the site.

A link such as ``../../baselines/README.md`` works where the repository is browsed. For the site,
the file is added below ``repository/``, with the files that it links to in turn, and the link is
changed to where it then lies.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import relpath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

GUIDES = Path(__file__).resolve().parent / "guides"
ROOT = GUIDES.parents[1]
ELSEWHERE = "repository"
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)\s#]+)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def place(file: Path) -> str:
    """Where a file of the repository lies on the site."""
    if file.is_relative_to(GUIDES):
        return file.relative_to(GUIDES).as_posix()
    return (PurePosixPath(ELSEWHERE) / file.relative_to(ROOT).as_posix()).as_posix()


def linked(page: Path) -> set[Path]:
    """The files that a page links to. Raises ``PluginError`` where one is not there."""
    prose = CODE.sub("", page.read_text("utf-8"))
    found = {(page.parent / link).resolve() for link in LINK.findall(prose)}
    for file in found:
        if not file.is_file() or not file.is_relative_to(ROOT):
            raise PluginError(f"{page.relative_to(ROOT)} links to {file}, which is no file here")
    return found


def on_files(files: Files, config: Any) -> Files:
    """Add every file that is reached by links from the guides."""
    waiting = sorted(GUIDES.rglob("*.md"))
    seen = set(waiting)
    while waiting:
        for file in sorted(linked(waiting.pop()) - seen):
            seen.add(file)
            if not file.is_relative_to(GUIDES):
                added = File.generated(config, place(file), abs_src_path=str(file))
                added.inclusion = added.inclusion.NOT_IN_NAV
                files.append(added)
            if file.suffix == ".md":
                waiting.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to where the files lie on the site."""
    here = Path(page.file.abs_src_path).resolve()
    folder = str(PurePosixPath(page.file.src_uri).parent)

    def moved(link: re.Match[str]) -> str:
        return relpath(place((here.parent / link[1]).resolve()), folder)

    parts = CODE.split(markdown)
    parts[::2] = [LINK.sub(moved, prose) for prose in parts[::2]]
    return "".join(parts)
