"""The content of a file as a pydantic model; every mistake in one line that names the key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from genbench.api.errors import UsageError, did_you_mean

Content = TypeVar("Content", bound=BaseModel)


def validated(kind: type[Content], source: str, content: Mapping[str, Any]) -> Content:
    """``content`` as a ``kind``. Raises ``UsageError`` naming ``source`` and the key."""
    try:
        # JSON mode: an array may stand for a tuple, everything else is as strict as the model.
        return kind.model_validate_json(json.dumps(content), context={"source": source})
    except TypeError as error:
        raise UsageError(f"{source}: dates and times have no meaning here ({error})") from None
    except ValidationError as error:
        raise UsageError(f"{source}: {explain(kind, error)}") from None


def message(error: ErrorDetails) -> str:
    """What is wrong with a value. Our validators say it all; pydantic's leave out what was
    given."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    said = error["msg"]
    return f"{said[0].lower()}{said[1:]}, got {error['input']!r}"


def explain(kind: type[BaseModel], error: ValidationError) -> str:
    """The mistake in a file or a call, in one line: the misspelt key before a missing one."""
    # A misspelt key is also a missing one: the misspelling is what helps.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *path, last = first["loc"]
        return f"unknown key {key!r}{did_you_mean(str(last), _keys(kind, path))}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    return f"{key}: {message(first)}"


def _keys(kind: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys that a section at ``path`` may have."""
    section = kind
    for part in path:
        if part in section.model_fields:
            section = _section(section.model_fields[str(part)].annotation) or section
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation, ``tuple[Row, ...]`` say."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)
