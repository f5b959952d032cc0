"""The command line. A command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from genbench.cli.group import Group
from genbench.cli.options import (
    Place,
    common,
    logger_option,
    of_suite,
    placed,
    precision_option,
    strategy_option,
)
from genbench.errors import UsageError

FORMATS = ("markdown", "csv", "latex", "json", "html")
READABLE = ("terminal", "markdown", "json")
_FOLDER = click.Path(path_type=Path)
REGISTRIES = ("models", "datasets", "extractors", "metrics", "suites", "claims", "leaderboards")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="genbench")
def main() -> None:
    """Generative models on equal footing: fidelity, diversity, training stability and cost."""


@main.command()
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
    _load(plugins)
    from genbench.cli import suites

    out = out or Path(f"genbench-{Path(suite_name).stem}")
    sys.exit(
        suites.run(
            suite_name,
            out,
            overrides,
            seeds=_seeds(seeds),
            jobs=jobs,
            precision=precision,
            place=place,
            dry_run=dry_run,
            loggers=loggers,
            plugins=plugins,
            data_dir=data_dir,
        )
    )


@main.command()
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
@click.option("--out", type=_FOLDER, help="Output folder [genbench-SUITE-sensitivity].")
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

    A setting is an option of the entry's model, or one of batch, ema_halflife, images, augment,
    precision and threads. Tells the share of the grid nearly as good as its best, and the expected
    best score of so many trials.
    """
    _load(plugins)
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
            seeds=_seeds(seeds),
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


@main.command()
@click.argument("what", metavar="SUITE:ENTRY|MODEL")
@click.argument("dataset", required=False)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A model option.")
@click.option("--images", type=click.IntRange(min=1), help="Budget in images seen.")
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
    images: int | None,
    seed: int | None,
    out: Path,
    loggers: tuple[str, ...],
    precision: str | None,
    place: Place,
    plugins: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Train one entry of a suite, or one MODEL on one DATASET."""
    _load(plugins)
    from genbench.cli import single

    training = single.describe(what, dataset, options, images, seed, precision)
    project = "genbench" if dataset is not None else Path(what.rpartition(":")[0]).stem
    single.train(training, out, place.host(data_dir), plugins, project, loggers)


@main.command()
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
    _load(plugins)
    from genbench.cli import single

    host = place.host(data_dir)
    single.sample(folder, count, options, seed, weights, out, precision, host, plugins)


@main.command()
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
    _load(plugins)
    from genbench.cli import scoring

    scores = scoring.evaluate(
        samples, reference, train, extractor, options, metrics, seed, place.host(data_dir), plugins
    )
    if scores is not None:
        sys.exit(scoring.show(scores, as_json))


@main.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_FOLDER)
@click.option("--format", "form", type=click.Choice(FORMATS), default="markdown", show_default=True)
def table(folders: tuple[Path, ...], form: str) -> None:
    """Print the comparison tables of finished runs."""
    from genbench.cli import looking

    looking.table(folders, form)


@main.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_FOLDER)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="An .html file.")
def report(folders: tuple[Path, ...], out: Path) -> None:
    """Write one self-contained HTML page about finished runs."""
    from genbench.cli import looking

    looking.report(folders, out)


@main.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_FOLDER)
@click.option("--claims", metavar="CLAIMS", help="A name or a TOML file [all that apply].")
@click.option(
    "--format", "form", type=click.Choice(READABLE), default="terminal", show_default=True
)
def verdict(folders: tuple[Path, ...], claims: str | None, form: str) -> None:
    """Decide claims on finished runs: supported, contradicted or undecided, and why."""
    from genbench.cli import judging

    judging.decide(folders, claims, form)


@main.command()
@click.argument("name", metavar="NAME")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=_FOLDER)
@click.option(
    "--format", "form", type=click.Choice(READABLE), default="terminal", show_default=True
)
def leaderboard(name: str, folders: tuple[Path, ...], form: str) -> None:
    """Rank what was published, and what was measured in DIR, protocol by protocol.

    NAME is one that genbench list leaderboards shows, or a TOML file; DIR an output folder, or one
    that holds several.
    """
    from genbench.cli import leading

    leading.rank(name, folders, form)


@main.command()
@click.argument("what", metavar="DIR:ROW")
@click.option("--out", type=_FOLDER, help="Output folder [genbench-reproduce-ROW].")
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
    _load(plugins)
    from genbench.cli.reproducing import reproduce as run_again

    sys.exit(
        run_again(
            what,
            out,
            scores,
            place.host(data_dir),
            seeds=_seeds(seeds),
            jobs=jobs,
            as_json=as_json,
            plugins=plugins,
        )
    )


@main.command()
@click.argument("before", metavar="A", type=_FOLDER)
@click.argument("after", metavar="B", type=_FOLDER)
@click.option("--scores", metavar="A,B", help="Which to compare [the suite's first].")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def compare(before: Path, after: Path, scores: str | None, as_json: bool) -> None:
    """Say what got better or worse from run A to run B, beyond the noise of seeds.

    Exit status 3 where something got worse, more runs were lost, or an entry is gone: a gate for
    continuous integration.
    """
    from genbench.cli import judging

    sys.exit(judging.compare(before, after, scores, as_json))


@main.command()
@click.argument("curves", metavar="CURVES.csv", type=click.Path(path_type=Path))
@click.option("--metric", help="Which of several.")
@click.option("--higher-is-better", is_flag=True, help="As of an inception score.")
@click.option("--over", "limit", type=click.FloatRange(min=1), default=1.2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def stability(
    curves: Path, metric: str | None, higher_is_better: bool, limit: float, as_json: bool
) -> None:
    """Judge training curves from anywhere: columns run, step, metric, value.

    Names the runs whose last value, and those whose worst value after their best, is over the best
    by more than a factor.
    """
    from genbench.cli.curves import stability as judge

    judge(curves, metric, higher_is_better, limit, as_json)


@main.command()
@click.argument("which", type=click.Choice(["forward", "reverse"]))
@click.argument("folder", metavar="DIR", type=_FOLDER)
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
    _load(plugins)
    from genbench.cli import showing

    showing.show(which, folder, count, options, out, precision, place.host(data_dir), plugins)


@main.command()
@common
def doctor(plugins: tuple[Path, ...], data_dir: Path) -> None:
    """Say what is here, what is wrong, and how to mend it."""
    _load(plugins)
    from genbench.cli.doctor import doctor as examine

    sys.exit(examine(data_dir))


@main.command()
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
    _load(plugins)
    from genbench.cli import checking

    sys.exit(checking.check(kind, name, options, data, as_json, data_dir))


@main.command()
def schema() -> None:
    """Print the JSON Schema of a line of records.jsonl."""
    from genbench.results import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=1))


@main.command("list")
@click.argument("kind", type=click.Choice(REGISTRIES))
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@common
def list_(kind: str, as_json: bool, plugins: tuple[Path, ...], data_dir: Path) -> None:
    """What there is: models, datasets, extractors, metrics, suites, claims or leaderboards."""
    from genbench import registry

    _load(plugins)
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


def _load(plugins: tuple[Path, ...]) -> None:
    if plugins:
        from genbench.registry import add_plugin_file

        for plugin in plugins:
            add_plugin_file(plugin)


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: write whole numbers, as in --seeds 0,1,2") from None
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: seeds are different numbers from 0 up")
    return seeds
