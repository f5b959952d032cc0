"""``genbench init``: a commented file to begin with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from shlex import quote

import click

from genbench.api.errors import UsageError
from genbench.cli.printing import echo

TEMPLATES = {"suite": "suite.toml", "plugin": "plugin.py"}
NEXT = {
    "suite": ("genbench run {path} --dry-run", "genbench run {path}"),
    "plugin": (
        "genbench check model my-model --plugin {path}",
        "genbench train my-model digits --plugin {path} --out my-model",
    ),
}


@click.command()
@click.argument("kind", type=click.Choice(list(TEMPLATES)))
@click.argument("path", required=False, type=click.Path(path_type=Path))
def init(kind: str, path: Path | None) -> None:
    """Write a commented template that runs: a suite, or a plugin with a model.

    PATH is the file to write [suite.toml or plugin.py]. A file that exists is left as it is.
    """
    path = path or Path(TEMPLATES[kind])
    template = files("genbench.cli") / "templates" / TEMPLATES[kind]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} exists already; name another file") from None
    except (OSError, ValueError) as error:  # it holds the character NUL, say
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {path}: {reason}") from error
    echo(f"{path} written; next:")
    for command in NEXT[kind]:
        echo(f"  {command.format(path=quote(str(path)))}")
