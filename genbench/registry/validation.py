"""The content of a file as a pydantic model. A mistake is one line that names the key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from genbench.api.errors import UsageError, did_you_mean

Content = TypeVar("Content", bound=BaseModel)


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

SHOWN = 200
"""Characters of a value in a message."""

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""pydantic's types of the error, for a model and for a dataclass."""


def validated(kind: type[Content], source: str, content: Mapping[str, Any]) -> Content:
    """``content`` as a ``kind``. Raises ``UsageError`` naming ``source`` and the key."""
    # JSON mode: an array may stand for a tuple, everything else is as strict as the model.
    text = as_json(source, content)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(f"{source}: {explain(kind, error, content)}") from None


def as_json(source: str, content: Any) -> str:
    """What was read from TOML, as JSON. Raises ``UsageError`` for what no file of ours means: dates
    and times, whole numbers of over 64 bits, the character NUL, tables and lists in hundreds of one
    another."""
    try:
        text = json.dumps(content, ensure_ascii=False)
        text.encode()
        json.loads(text, parse_int=_whole)
    except TypeError as error:
        raise UsageError(f"{source}: dates and times are not supported ({error})") from None
    except RecursionError:
        raise UsageError(f"{source}: tables or lists are nested too deeply") from None
    except UnicodeEncodeError:
        raise UsageError(f"{source}: a text is not Unicode") from None
    except ValueError:  # Python's own too, of a number of thousands of digits
        raise UsageError(f"{source}: a whole number has at most 64 bits") from None
    if _NUL.search(text):
        raise UsageError(f"{source}: a text holds the character NUL")
    return text


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(digits)
    return int(digits)


def brief(value: object) -> str:
    """The value in a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def message(error: ErrorDetails) -> str:
    """What is wrong with a value. The value is added to pydantic's own messages, which lack it."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    said = error["msg"]
    return f"{said[0].lower()}{said[1:]}, got {brief(repr(error['input']))}"


def explain(kind: type, error: ValidationError, content: Any = None) -> str:
    """The mistake in a file or a call, in one line. A misspelt key is reported before a missing
    one. ``content``: what was validated, where it may hold one of several kinds of values."""
    # A misspelt key often is also a missing one; its spelling is the better hint.
    first = min(error.errors(), key=lambda e: e["type"] not in _UNKNOWN)
    where = first["loc"] if content is None else _place(first, content)
    key = ".".join(str(part) for part in where)
    if first["type"] in _UNKNOWN:
        *path, last = where
        return f"unknown key {key!r}{did_you_mean(str(last), _keys(kind, path))}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    if first["type"] == "json_invalid":  # as_json has seen to all but this
        return "tables or lists are nested too deeply"
    return f"{key}: {message(first)}"


def _place(error: ErrorDetails, content: Any) -> list[int | str]:
    """Where the mistake is in ``content``: pydantic's place without the kinds of values that it
    tried there."""
    place: list[int | str] = []
    for number, part in enumerate(error["loc"], start=1):
        try:
            content = content[part]
        except (LookupError, TypeError):
            missing = error["type"] == "missing" and number == len(error["loc"])
            if not missing:
                continue
        place.append(part)
    return place


def _keys(kind: type, path: Sequence[int | str]) -> list[str]:
    """The keys that a section at ``path`` may have."""
    section = kind
    for part in path:
        section = _section(_fields(section).get(str(part))) or section
    return [*_fields(section)]


def _fields(section: type) -> dict[str, Any]:
    """The keys of a section → their types."""
    if not issubclass(section, BaseModel):
        return get_type_hints(section)
    fields = section.model_fields.items()
    return {field.alias or name: field.annotation for name, field in fields}


def _section(annotation: Any) -> type | None:
    """The section in an annotation: a model (``tuple[Row, ...]`` say), a dataclass or a table."""
    if is_dataclass(annotation) or is_typeddict(annotation):
        return cast(type, annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)
