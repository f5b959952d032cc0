"""Files of prompts, each a text:

- ``.txt``: one prompt a line;
- ``.csv``, ``.tsv``: a column of one of the names ``COLUMNS``. PartiPrompts is such a ``.tsv``
  (https://github.com/google-research/parti);
- ``.jsonl``: an object a line, with such a key. GenEval's ``evaluation_metadata.jsonl`` is one
  (https://github.com/djghosh13/geneval);
- ``.json``: captions as of COCO (https://cocodataset.org): ``annotations``, each with an ``id``, an
  ``image_id`` and a ``caption``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, TypeAlias

from genbench.api.errors import DataError, UsageError, did_you_mean
from genbench.io.files import load, shown
from genbench.io.rows import Row, decoded, parsed, plain_text, read_rows

COLUMNS = ("Prompt", "prompt", "caption", "text")

Captions: TypeAlias = Literal["first", "all"]
"""Of each picture of COCO: its first, by the id of the annotation, or all of them."""


def read_prompts(path: Path, captions: Captions | None = None) -> list[str]:
    """The prompts in a file, in its order, as they stand there; those of COCO in the order of the
    pictures' ids, and of one picture by the ids of the annotations. ``captions`` is for COCO alone,
    by default ``"first"``.

    Raises ``UsageError`` for another format, and for ``captions`` of one that is not COCO's;
    ``DataError``, which names the line, for a file that cannot be read, an empty one, a prompt that
    is blank or cannot be UTF-8, and for none or several of ``COLUMNS``.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"{shown(path)}: prompts are read from {', '.join(_FORMATS)}")
    if suffix == ".json":
        return load(path, lambda where, file: _coco(where, decoded(where, file), captions))
    if captions is not None:
        raise UsageError(f"{shown(path)}: captions = {captions!r} is for the .json files of COCO")
    if suffix == ".txt":
        return load(path, _lines)
    rows = read_rows(path)
    column = _column(rows[0])
    return [row.text(column) for row in rows]


_FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".json")


def _lines(where: str, file: BufferedReader) -> list[str]:
    # Not splitlines, for which a prompt may hold further ends of lines.
    lines = decoded(where, file).removesuffix("\n").split("\n")
    return [
        plain_text(f"{where}:{number}: the prompt", line.removesuffix("\r"))
        for number, line in enumerate(lines, start=1)
    ]


def _column(row: Row) -> str:
    found = [name for name in COLUMNS if name in row.fields]
    if len(found) == 1:
        return found[0]
    said = " and ".join(map(repr, found)) or f"none of {', '.join(COLUMNS)}"
    raise DataError(f"{row.where}: the prompts are in one column or key, and it has {said}")


def _coco(where: str, text: str, captions: Captions | None) -> list[str]:
    content = parsed(where, text)
    if not isinstance(content, Mapping) or not isinstance(content.get("annotations"), Sequence):
        raise DataError(
            f"{where}: a .json of prompts is one of COCO's captions, with 'annotations'"
        )
    found = sorted(_annotations(where, content["annotations"]))
    if not found:
        raise DataError(f"{where}: it has no captions")
    if captions == "all":
        return [caption for _, _, caption in found]
    first: dict[int, str] = {}
    for image, _, caption in found:
        first.setdefault(image, caption)
    return [*first.values()]


def _annotations(where: str, annotations: Sequence[Any]) -> Iterator[tuple[int, int, str]]:
    """Of each, the ids of its picture and its own, and the caption."""
    seen = set[int]()
    for number, fields in enumerate(annotations):
        what = f"{where}: annotation {number}"
        if not isinstance(fields, Mapping):
            raise DataError(f"{what} is not an object")
        for name in ("image_id", "id"):
            if type(fields.get(name)) is not int:
                near = "" if name in fields else did_you_mean(name, fields)
                raise DataError(f"{what}: {name!r} is not a whole number{near}")
        if fields["id"] in seen:
            raise DataError(f"{what}: id {fields['id']} is that of another, too")
        seen.add(fields["id"])
        caption = plain_text(f"{what}: 'caption'", fields.get("caption"))
        yield fields["image_id"], fields["id"], caption
