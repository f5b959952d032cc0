"""The commands that train, sample and score."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genbench.cli.options import (
    FOLDER,
    Place,
    common,
    load,
    logger_option,
    of_suite,
    placed,
    precision_option,
    seed_numbers,
    strategy_option,
)


@click.command()
@click.argument("suite_name", metavar="SUITE")
@click.option("--out", type=click.Path(path_type=Path), help="Output folder [genbench-SUITE].")
@of_suite
@placed
@common
def run(
    suite_name: str,
    out: Path | None,
    overrides: tuple[str, ...],
    seeds: str | None,
    jobs: int | None,
    dry_run: bool,
    loggers: tuple[str, ...],
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Train, sample, score and compare every entry of SUITE (a name or a TOML file)."""
    load(plugins)
    from genbench.cli import suites

    out = out or Path(f"genbench-{Path(suite_name).stem}")
    sys.exit(
        suites.run(
            suite_name,
            out,
            overrides,
            seeds=seed_numbers(seeds),
            jobs=jobs,
            precision=precision,
            place=place,
            dry_run=dry_run,
            loggers=loggers,
            plugins=plugins,
            data_dir=data_dir,
        )
    )


class _NamesTrainOptions(click.Command):
    """Its help names the options of ``[train]``, which are imported when it is asked for."""

    def get_help(self, ctx: click.Context) -> str:
        from genbench.suite import OPTIONS

        self.help = (self.help or "").format(train=", ".join(OPTIONS))
        return super().get_help(ctx)


@click.command(cls=_NamesTrainOptions)
@click.argument("suite_name", metavar="SUITE")
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="KEY=VALUE,…",
    help="A setting and its values; further ones after a comma, or by another --over.",
)
@click.option("--score", metavar="NAME", help="To judge by [the suite's first].")
@click.option(
    "--within",
    "factor",
    type=click.FloatRange(min=1),
    default=1.5,
    show_default=True,
    help="Which settings count as nearly as good as the best.",
)
@click.option("--out", type=FOLDER, help="Output folder [genbench-SUITE-sensitivity].")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@of_suite
@placed
@common
def sensitivity(
    suite_name: str,
    over: tuple[str, ...],
    score: str | None,
    factor: float,
    out: Path | None,
    as_json: bool,
    overrides: tuple[str, ...],
    seeds: str | None,
    jobs: int | None,
    dry_run: bool,
    loggers: tuple[str, ...],
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Train every entry of SUITE on a grid of settings: how much depends on tuning?

    A setting is an option of the entry's model, the budget (examples), or an option of [train]:
    {train}. Tells the share of the grid nearly as good as its best, and the expected
    best score of so many trials.
    """
    load(plugins)
    from genbench.cli.sensitivity import sensitivity as run_grid

    out = out or Path(f"genbench-{Path(suite_name).stem}-sensitivity")
    sys.exit(
        run_grid(
            suite_name,
            over,
            out,
            overrides,
            score=score,
            factor=factor,
            seeds=seed_numbers(seeds),
            jobs=jobs,
            precision=precision,
            place=place,
            dry_run=dry_run,
            loggers=loggers,
            as_json=as_json,
            plugins=plugins,
            data_dir=data_dir,
        )
    )


@click.command()
@click.argument("what", metavar="DIR:ROW")
@click.option("--out", type=FOLDER, help="Output folder [genbench-reproduce-ROW].")
@click.option("--scores", metavar="A,B", help="Which to judge by [the suite's first].")
@click.option("--seeds", metavar="0,1", help="Seeds, in place of the row's.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs side by side [cores / threads].")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@placed
@common
def reproduce(
    what: str,
    out: Path | None,
    scores: str | None,
    seeds: str | None,
    jobs: int | None,
    as_json: bool,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Train, sample and score the row ROW of the finished run DIR again, from its record.

    Exit status 3 where a score is not where the measured runs make one expect it.
    """
    load(plugins)
    from genbench.cli.reproducing import reproduce as run_again

    sys.exit(
        run_again(
            what,
            out,
            scores,
            place.hardware(data_dir),
            seeds=seed_numbers(seeds),
            jobs=jobs,
            as_json=as_json,
            plugins=plugins,
        )
    )


@click.command()
@click.argument("what", metavar="SUITE:ENTRY|MODEL")
@click.argument("dataset", required=False)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A model option.")
@click.option("--examples", type=click.IntRange(min=1), help="Budget in examples seen.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the training.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@logger_option
@precision_option
@strategy_option
@placed
@common
def train(
    what: str,
    dataset: str | None,
    options: tuple[str, ...],
    examples: int | None,
    seed: int | None,
    out: Path,
    loggers: tuple[str, ...],
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Train one entry of a suite, or one MODEL on one DATASET."""
    load(plugins)
    from genbench.cli import single

    training = single.describe(what, dataset, options, examples, seed, precision)
    project = "genbench" if dataset is not None else Path(what.rpartition(":")[0]).stem
    single.train(training, out, place.hardware(data_dir), plugins, project, loggers)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A sampling option.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed [that of the training].")
@click.option("--weights", type=click.Choice(["ema", "raw"]), default="ema", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="An .npz file.")
@precision_option
@placed
@common
def sample(
    folder: Path,
    count: int,
    options: tuple[str, ...],
    seed: int | None,
    weights: str,
    out: Path,
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Draw samples from the training in DIR."""
    load(plugins)
    from genbench.cli import single

    hardware = place.hardware(data_dir)
    single.sample(folder, count, options, seed, weights, out, precision, hardware, plugins)


@click.command()
@click.argument("samples")
@click.option("--against", "reference", required=True, metavar="REFERENCE")
@click.option("--train", metavar="DATA", help="The generator's training set.")
@click.option("--extractor", default="inception", show_default=True)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the extractor.")
@click.option("--metrics", metavar="A,B", help="Scores to compute, or all [the usual nine].")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@placed
@common
def evaluate(
    samples: str,
    reference: str,
    train: str | None,
    extractor: str,
    options: tuple[str, ...],
    metrics: str | None,
    seed: int,
    as_json: bool,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Score SAMPLES: a file, a folder of pictures, or dataset:split."""
    load(plugins)
    from genbench.cli import scoring

    scores = scoring.evaluate(
        samples,
        reference,
        train,
        extractor,
        options,
        metrics,
        seed,
        place.hardware(data_dir),
        plugins,
    )
    if scores is not None:
        sys.exit(scoring.show(scores, as_json))


@click.command()
@click.argument("which", type=click.Choice(["forward", "reverse"]))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--count", type=click.IntRange(1, 64), help="Samples [8; of points 64].")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A sampling option.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .png or .gif file.")
@precision_option
@placed
@common
def show(
    which: str,
    folder: Path,
    count: int | None,
    options: tuple[str, ...],
    out: Path,
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Show how data become noise, or noise samples, by the training in DIR.

    A .png is a strip, a row a sample; a .gif is an animation. A model without a path from noise
    to samples, as a GAN, is shown along a walk through its noise.
    """
    load(plugins)
    from genbench.cli import showing

    showing.show(which, folder, count, options, out, precision, place.hardware(data_dir), plugins)
