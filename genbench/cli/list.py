"""``genbench list``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.options import common, json_option

KINDS = (
    "models",
    "datasets",
    "modalities",
    "extractors",
    "metrics",
    "augmentations",
    "samplers",
    "suites",
    "claims",
    "leaderboards",
    "executors",
)


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@json_option
@common
def list_(kind: str, as_json: bool, plugins: tuple[Path, ...], data_dir: Path) -> None:
    """List the registered names, each with a short description."""
    from genbench import registry
    from genbench.cli.printing import echo, echo_json

    registry.add_plugin_files(plugins)
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
        echo_json(rows, indent=None)
        return
    if kind == "samplers":
        echo(
            "Those that a model brings itself are values of its sampling option 'sampler', and are "
            "not listed.",
            err=True,
        )
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        echo(f"{row['name']:<{width}}  {row['summary']}")
