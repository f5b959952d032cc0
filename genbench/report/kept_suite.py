"""The suite that a run folder keeps, whole: what heads the page, and what gives the run again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from genbench.api.errors import DataError
from genbench.store import Damaged, read_regular
from genbench.store.records import MARKER, sealed

NAME = "suite.toml"
_HEAD = "# genbench "


@dataclass(frozen=True)
class KeptSuite:
    """A suite file with every override applied."""

    title: str
    """Empty where the suite has none."""
    revision: str
    """Of genbench, as the run wrote it: the version and, from a checkout, the git revision."""
    text: str
    command: str
    """What gives this run again, typed in its folder."""


def kept_suite(folder: Path, seeds: list[int]) -> KeptSuite | None:
    """The suite of a run folder, run with ``seeds``; ``None`` where the folder keeps none.

    Raises ``store.Damaged`` where the file is not as it was written, ``DataError`` where it is no
    TOML.
    """
    path = folder / NAME
    try:
        text = read_regular(path).decode()
        title = tomllib.loads(text).get("title", "")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is no suite: {error}") from error
    if not sealed(folder).get(NAME, True):
        raise Damaged(f"{path} is damaged: its checksum is not the one in {MARKER}")
    head = text.partition("\n")[0]
    command = f"genbench run {NAME} --out again"
    if seeds:
        command += f" --seeds {','.join(map(str, sorted(set(seeds))))}"
    revision = head.removeprefix(_HEAD) if head.startswith(_HEAD) else ""
    return KeptSuite(str(title), revision, text, command)
