"""The commands that help oneself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from genbench.cli.options import (
    common,
    load,
)

REGISTRIES = (
    *("models", "datasets", "modalities", "extractors", "metrics"),
    *("suites", "claims", "leaderboards"),
)


@click.command()
@common
def doctor(plugins: tuple[Path, ...], data_dir: Path) -> None:
    """Say what is here, what is wrong, and how to mend it."""
    load(plugins)
    from genbench.cli.doctor import doctor as examine

    sys.exit(examine(data_dir))


@click.command()
@click.argument("kind", type=click.Choice(["model", "dataset", "extractor", "metric"]))
@click.argument("name")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of what is checked.")
@click.option(
    "--data", multiple=True, metavar="DATASET", help="To try it on [digits, points-ring]."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@common
def check(
    kind: str,
    name: str,
    options: tuple[str, ...],
    data: tuple[str, ...],
    as_json: bool,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Try what a plugin promises, one promise after the other."""
    load(plugins)
    from genbench.cli import checking

    sys.exit(checking.check(kind, name, options, data, as_json, data_dir))


@click.command()
def schema() -> None:
    """Print the JSON Schema of a line of records.jsonl."""
    from genbench.store.records import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=1))


@click.command("list")
@click.argument("kind", type=click.Choice(REGISTRIES))
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@common
def list_(kind: str, as_json: bool, plugins: tuple[Path, ...], data_dir: Path) -> None:
    """What there is: models, datasets, extractors, metrics, suites, claims or leaderboards."""
    from genbench import registry

    load(plugins)
    group: registry.Registry = getattr(registry, kind)
    if kind in ("suites", "claims", "leaderboards"):
        from genbench.registry.texts import titles

        rows = [
            {"name": name, "summary": title, "from": ""} for name, title in titles(group).items()
        ]
    else:
        rows = [
            {"name": name, "summary": group.summary(name), "from": group.origin(name)}
            for name in group.names()
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['summary']}")
