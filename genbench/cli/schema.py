"""``genbench schema``."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of a line of records.jsonl."""
    from genbench.cli.printing import echo_json
    from genbench.store.records import json_schema

    echo_json(json_schema())
