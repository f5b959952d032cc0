"""The group of commands: every mistake in one line, with its exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from genbench.api.errors import GenbenchError, UsageError, did_you_mean
from genbench.store import Damaged


class Group(click.Group):
    """Reports every mistake in one line, with its exit status and no traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            status = super().main(args, prog_name, complete_var, False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(error.exit_code)
        except Damaged as error:
            line = " ".join(str(error).split())
            click.echo(
                f"genbench: {line}; repeat the genbench run or train that wrote it, to repair it",
                err=True,
            )
            sys.exit(error.exit_code)
        except (GenbenchError, click.ClickException) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else error
            click.echo(f"genbench: {' '.join(str(message).split())}", err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort) as error:
            if isinstance(error.__cause__, EOFError):  # which click takes for an interrupt
                raise error.__cause__ from None
            click.echo("genbench: interrupted; repeat the command to continue", err=True)
            sys.exit(130)
        sys.exit(status if isinstance(status, int) else 0)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = did_you_mean(name, self.list_commands(ctx))
            raise UsageError(f"unknown command {name!r}{near}")
        return super().resolve_command(ctx, args)
