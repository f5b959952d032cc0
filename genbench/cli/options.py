"""The options that several commands take, and what they come to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.api.errors import UsageError

if TYPE_CHECKING:
    from genbench.devices.hardware import Hardware

FOLDER = click.Path(path_type=Path)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command takes."""
    command = click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A Python file that registers models, datasets, extractors or metrics.",
    )(command)
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        default=Path("data"),
        show_default=True,
        envvar="GENBENCH_DATA",
        help="Where data sets lie, or are downloaded to.",
    )(command)


@dataclass(frozen=True)
class Place:
    """On what a command computes."""

    device: str
    devices: int
    num_nodes: int
    strategy: str = "auto"

    def hardware(self, data_dir: Path) -> Hardware:
        """Raises ``UsageError`` for a device that is not there."""
        from genbench.devices.hardware import choose_hardware

        return choose_hardware(data_dir, self.device, self.devices, self.num_nodes, self.strategy)


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Of the commands that compute: the options behind their argument ``place``."""

    @functools.wraps(command)
    def placed_command(device: str, devices: int, num_nodes: int, **others: Any) -> Any:
        strategy = others.pop("strategy", "auto")
        return command(place=Place(device, devices, num_nodes, strategy), **others)

    options = [
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="What to compute on.",
        ),
        click.option(
            "--devices",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Devices of each run, on each node.",
        ),
        click.option(
            "--num-nodes",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Nodes, on each of which torchrun or SLURM starts genbench.",
        ),
    ]
    for option in reversed(options):
        placed_command = option(placed_command)
    return placed_command


def _loggers(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> Any:
    from genbench.loggers import chosen

    return chosen(names)


logger_option = click.option(
    "--logger",
    "loggers",
    multiple=True,
    callback=_loggers,
    metavar="csv|tensorboard|wandb|mlflow",
    help="Follow trainings in this tool, too.",
)
strategy_option = click.option(
    "--strategy",
    type=click.Choice(["auto", "ddp", "ddp_find_unused_parameters_true"]),
    default="auto",
    show_default=True,
    help="Fabric's strategy for several devices [auto: ddp].",
)
precision_option = click.option(
    "--precision", metavar="32-true|bf16-mixed", help="In place of the suite's or training's."
)


def of_suite(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the commands that run a whole suite."""
    options = [
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key."
        ),
        click.option("--seeds", metavar="0,1", help="Seeds, in place of the suite's."),
        click.option(
            "--jobs", type=click.IntRange(min=1), help="Runs side by side [cores / threads]."
        ),
        click.option("--dry-run", is_flag=True, help="Print what would run, and stop."),
        logger_option,
        precision_option,
        strategy_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def load(plugins: tuple[Path, ...]) -> None:
    """Run the scripts of ``--plugin``, which add names."""
    if plugins:
        from genbench.registry import add_plugin_file

        for plugin in plugins:
            add_plugin_file(plugin)


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
