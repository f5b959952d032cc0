"""The options that several commands take, each declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from genbench.api.errors import UsageError

FOLDER = click.Path(path_type=Path)
"""The folder of a run, or a file. It is checked when it is read."""


class Whole(click.IntRange):
    """A whole number of at most ``most``, which is so large that help does not speak of it."""

    def __init__(self, least: int, most: int = 2**63 - 1) -> None:
        super().__init__(min=least)
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number > self.most:
            self.fail(f"a number over {self.most:,}", param, ctx)
        return number


COUNT = Whole(1)
SEED = Whole(0)
PROCESSES = Whole(1, 4096)

Command = Callable[..., Any]

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=FOLDER,
    help="A Python file that registers models, data sets, extractors or metrics.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
score_names = click.option("--scores", metavar="A,B", help="Scores to compare [the suite's first].")


@dataclass(frozen=True)
class Form:
    """How a command shows a document."""

    format: str = "terminal"
    """One of ``rendering.FORMATS``."""
    columns: Sequence[str] = ()
    """Of its tables; all, if there are none."""
    wide: bool = False
    """Whether a terminal's lines may be longer than it is wide."""


def format_option(command: Command) -> Command:
    """``--format``, ``--columns`` and ``--wide``, of every command that shows a document, as the
    argument ``form``; ``--json`` is short for one of the formats."""
    formats = ["terminal", "markdown", "latex", "html", "csv", "json"]
    chosen = click.option(
        "--format", "form", type=click.Choice(formats), default=formats[0], show_default=True
    )

    @functools.wraps(command)
    def wrapped(form: str, as_json: bool, columns: str | None, wide: bool, **given: Any) -> Any:
        format = "json" if as_json else form
        if columns and format in ("csv", "json"):
            raise UsageError(f"--columns is for tables; {format} holds all that there is")
        return command(form=Form(format, names(columns), wide), **given)

    short = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
    picked = click.option("--columns", metavar="A,B", help="Columns of the tables to show [all].")
    whole = click.option("--wide", is_flag=True, help="Show all, however narrow the terminal.")
    return chosen(short(picked(whole(wrapped))))


def key_values(help: str) -> Callable[[Command], Command]:
    """``KEY=VALUE`` pairs, as a mapping in the argument ``options``."""
    return click.option(
        "--option", "options", multiple=True, metavar="KEY=VALUE", callback=_mapping, help=help
    )


def names(text: str | None) -> list[str]:
    """``A,B`` as a list; empty for ``None``."""
    return [name.strip() for name in text.split(",")] if text else []


_DATA_DIR = click.option(
    "--data-dir",
    type=FOLDER,
    default=Path("data"),
    show_default=True,
    envvar="GENBENCH_DATA",
    help="Folder of data sets; they are downloaded to it.",
)
_DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to compute on.",
)
_DEVICES = click.option(
    "--devices",
    type=PROCESSES,
    default=1,
    show_default=True,
    help="Devices of each run, on each node.",
)
_NODES = click.option(
    "--num-nodes",
    type=PROCESSES,
    default=1,
    show_default=True,
    help="Nodes, on each of which torchrun or SLURM starts genbench.",
)
_STRATEGY = click.option(
    "--strategy",
    type=click.Choice(["auto", "ddp", "ddp_find_unused_parameters_true"]),
    default="auto",
    show_default=True,
    help="Fabric's strategy for several devices [auto: ddp].",
)
_PRECISION = click.option(
    "--precision",
    metavar="32-true|bf16-mixed",
    help="Precision [that of the suite or the training].",
)
_COMPILE = click.option(
    "--compile/--no-compile",
    default=None,
    help="Compile the networks with torch.compile [as the suite says].",
)
_LOGGERS = click.option(
    "--logger",
    "loggers",
    multiple=True,
    metavar="csv|tensorboard|wandb|mlflow",
    help="Log training to this tool too.",
)
_SEEDS = click.option("--seeds", metavar="0,1", help="Seeds [the suite's].")
_JOBS = click.option("--jobs", type=PROCESSES, help="Parallel runs [as many as the cores allow].")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the suite."
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would run, and stop.")


def common(command: Command) -> Command:
    """``--plugin`` and ``--data-dir``, of every command that looks anything up."""
    return plugin_option(_DATA_DIR(command))


def computing(command: Command) -> Command:
    """The options of whatever computes; they reach the command as ``where``, the keywords
    ``devices``, ``plugins`` and ``data_dir`` of the API."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> Any:
        from genbench.devices.hardware import DeviceOptions

        chosen = {
            name: given.pop(name)
            for name in ("device", "devices", "num_nodes", "strategy")
            if name in given
        }
        where = {name: given.pop(name) for name in ("plugins", "data_dir")}
        return command(where=where | {"devices": DeviceOptions(**chosen)}, **given)

    return _with(common(wrapped), _DEVICE, _DEVICES, _NODES)


def training(command: Command) -> Command:
    """``computing``, and the options of what trains: ``--strategy``, ``--precision``,
    ``--compile``, ``--logger``; the last three are in ``where`` too."""

    @functools.wraps(command)
    def wrapped(where: dict[str, Any], **given: Any) -> Any:
        chosen = {name: given.pop(name) for name in ("precision", "compile", "loggers")}
        return command(where=where | chosen, **given)

    return _with(computing(wrapped), _LOGGERS, _COMPILE, _PRECISION, _STRATEGY)


def precision_option(command: Command) -> Command:
    """``--precision``, alone."""
    return _PRECISION(command)


def jobs_and_seeds(command: Command) -> Command:
    """``--seeds`` and ``--jobs``, in ``where``."""

    @functools.wraps(command)
    def wrapped(where: dict[str, Any], seeds: str | None, jobs: int | None, **given: Any) -> Any:
        return command(where=where | {"seeds": seed_numbers(seeds), "jobs": jobs}, **given)

    return _with(wrapped, _SEEDS, _JOBS)


def of_suite(command: Command) -> Command:
    """The options of the commands that run a whole suite; ``suite_name`` and ``--set`` reach the
    command as ``suite``."""

    @functools.wraps(command)
    def wrapped(
        where: dict[str, Any], suite_name: str, overrides: Sequence[str], **given: Any
    ) -> Any:
        from genbench import registry
        from genbench.suite import Suite

        registry.add_plugin_files(where["plugins"])
        return command(suite=Suite.from_toml(suite_name, overrides), where=where, **given)

    declared = training(jobs_and_seeds(wrapped))
    return click.argument("suite_name", metavar="SUITE")(_with(declared, _SET, _DRY_RUN))


def seed_numbers(text: str | None) -> list[int] | None:
    """Those of ``--seeds``. Raises ``UsageError``."""
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: write whole numbers, as in --seeds 0,1,2") from None
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: seeds are different numbers from 0 up")
    return seeds


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _mapping(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    """A value is TOML, or else plain text. Raises ``UsageError``."""
    from genbench.suite import parse_value

    parsed: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageError(f"--option {text}: write KEY=VALUE, as in --option steps=50")
        parsed[key] = parse_value(value)
    return parsed
