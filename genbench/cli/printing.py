"""What several commands print."""

from __future__ import annotations

from collections.abc import Iterable
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.options import Form

if TYPE_CHECKING:
    from genbench.analysis.document import Document
    from genbench.suite import Suite


def echo(line: str, *, err: bool = False) -> None:
    """A line on standard output, or on standard error."""
    from genbench.rendering.unseen import visible

    click.echo(visible(line), err=err)


def say(line: str) -> None:
    """A line on standard error."""
    from genbench.rendering.progress import Screen

    Screen().note(line)


def say_where(folder: Path, files: Iterable[str], seconds: float) -> None:
    """Where the results lie, and how long they took."""
    first, *others = files
    listed = f"{', '.join(others[:-1])} and {others[-1]}"
    say(f"{folder / first}, {listed}: {seconds:.0f} s in all")


def show_plan(suite: Suite, out: Path | None, where: dict[str, Any]) -> int:
    """Print what a run would do."""
    from genbench.experiment.plan import plan

    show(plan(suite, out, **where).document())
    return 0


def show(document: Document, form: Form | None = None) -> None:
    """A document on standard output; on a terminal's if there is no ``form``."""
    from genbench import rendering

    form = form or Form()
    if form.columns:
        document = document.with_columns(form.columns)
    if form.format == "terminal":
        rendering.show(document, wide=form.wide)
    else:
        click.echo(rendering.render(document, form.format), nl=False)


def echo_json(value: Any, indent: int | None = 1) -> None:
    """JSON on standard output."""
    echo(dumps(value, ensure_ascii=False, indent=indent))
