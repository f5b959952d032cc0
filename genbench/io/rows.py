"""Files of rows: a JSON object a line (``.jsonl``), or a table with a header (``.csv``, ``.tsv``).

A ``.tsv`` has no quoting: a quotation mark is a character of its field.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genbench.api.errors import DataError, did_you_mean
from genbench.io.files import load


class Row(NamedTuple):
    """One row of a file."""

    where: str
    """``PATH:LINE``, for messages."""
    fields: Mapping[str, Any]

    def text(self, key: str) -> str:
        """The text in the field ``key``, as it stands there. Raises ``DataError`` if there is no
        such field, if it holds no text, or one that is blank or cannot be UTF-8."""
        if key not in self.fields:
            raise DataError(f"{self.where}: no {key!r}{did_you_mean(key, self.fields)}")
        return plain_text(f"{self.where}: {key!r}", self.fields[key])


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``.jsonl``, ``.csv`` or ``.tsv`` file of UTF-8; blank lines are left out.

    Raises ``DataError``, which names the line, for whatever is not of the format, and for a file
    without rows.
    """
    readers: dict[str, Callable[[str, str], Iterator[Row]]] = {
        ".jsonl": _objects,
        ".csv": partial(_table, delimiter=",", quoting=csv.QUOTE_MINIMAL),
        ".tsv": partial(_table, delimiter="\t", quoting=csv.QUOTE_NONE),
    }
    read = readers[path.suffix.lower()]

    def rows(where: str, file: BufferedReader) -> list[Row]:
        found = list(read(where, decoded(where, file)))
        if not found:
            raise DataError(f"{where}: the file has no rows")
        return found

    return load(path, rows)


def decoded(where: str, file: BufferedReader) -> str:
    """The UTF-8 text of a file, without a byte order mark. Raises ``DataError``."""
    data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}:{number}: not UTF-8") from error


def plain_text(what: str, value: Any) -> str:
    """``value``, if it is a text that is not blank. Raises ``DataError``."""
    if not isinstance(value, str):
        raise DataError(f"{what} is {type(value).__name__}, not a text")
    if not value.strip():
        raise DataError(f"{what} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{what} holds half of a surrogate pair, which is no character") from None
    return value


def parsed(where: str, text: str) -> Any:
    """The value in a JSON text. Raises ``DataError``."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON that can be read ({error})") from error


def _objects(where: str, text: str) -> Iterator[Row]:
    # Not splitlines, for which a text may hold further ends of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = parsed(f"{where}:{number}", line)
        if not isinstance(fields, dict):
            raise DataError(f"{where}:{number}: not a JSON object")
        yield Row(f"{where}:{number}", fields)


def _table(where: str, text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Row]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    header: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{where}:{number}: {error}") from error
        if values is None:
            return
        if not values:
            continue
        if not header:
            header = values
            if len(set(header)) < len(header):
                raise DataError(f"{where}:{number}: two columns have one name")
            continue
        if len(values) != len(header):
            raise DataError(f"{where}:{number}: {len(values)} fields under {len(header)} headings")
        yield Row(f"{where}:{number}", dict(zip(header, values, strict=True)))
