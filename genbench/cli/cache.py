"""``genbench cache``."""

from __future__ import annotations

import click


@click.command()
@click.option("--clear", is_flag=True, help="Remove it all. Later commands compute it again.")
def cache(clear: bool) -> None:
    """Show what is kept from one command to the next, and how much of it."""
    from genbench.store import cache as kept

    folder = kept.cache_folder()
    if folder is None:
        click.echo("nothing is kept: there is no home; name a folder with GENBENCH_CACHE")
        return
    found = kept.clear_cache(folder) if clear else kept.cache_contents(folder)
    said = "removed from" if clear else "kept in"
    click.echo(f"{said} {folder}")
    for kind in kept.KINDS:
        sizes = [entry.bytes for entry in found if entry.path.parent.name == kind]
        click.echo(f"{kind:<10} {len(sizes):>8,} {sum(sizes) / kept.GIGABYTE:>10.3f} GB")
    if not clear:
        most = kept.cache_limit() / kept.GIGABYTE
        click.echo(f"{'at most':<19} {most:>10.3f} GB ({kept.LIMIT}); the least recently used goes")
