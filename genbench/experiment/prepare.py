"""What ``run`` is given, resolved; and all that is refused before anything is written, by a plan as
by a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from genbench import registry, store
from genbench.api.errors import UsageError
from genbench.devices.hardware import DeviceOptions
from genbench.store.records import MARKER
from genbench.suite import SeededEntry, Suite

if TYPE_CHECKING:
    from genbench.experiment.context import RunContext


class PrepareOptions(TypedDict, total=False):
    """The keywords of ``run`` that decide what is run, and on what."""

    seeds: Iterable[int] | None
    examples: int | None
    executor: str
    devices: int | DeviceOptions
    precision: str | None
    compile: bool | None
    loggers: Sequence[str]
    plugins: Sequence[str | Path]
    data_dir: str | Path


def prepared(
    suite: str | Path | Suite,
    out: str | Path | None,
    *,
    seeds: Iterable[int] | None = None,
    examples: int | None = None,
    executor: str = "local",
    devices: int | DeviceOptions = 1,
    precision: str | None = None,
    compile: bool | None = None,
    loggers: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path = "data",
) -> tuple[RunContext, Suite, Sequence[registry.Plugin]]:
    """What ``run`` is given, resolved, and the plugins that its jobs bring along. Raises
    ``UsageError`` for what is unknown, and for a folder that is not this suite's."""
    from genbench.devices.launch import require_started
    from genbench.experiment.context import RunContext
    from genbench.loggers import chosen

    registry.add_plugin_files(plugins)
    with registry.kept_surroundings():
        content = resolved(
            suite, seeds=seeds, examples=examples, precision=precision, compile=compile
        )
        models = [entry.model for entry in content.entries.values()]
        registry.require_same(registry.held_code(models).files)
        registry.executors.get(executor)
    folder = Path(out if out is not None else f"genbench-{content.name}").absolute()
    hardware = DeviceOptions.of(devices).hardware(Path(data_dir).absolute())
    require_started(hardware)
    context = RunContext.of(content, folder, hardware, chosen(loggers))
    brought = registry.travelling(plugins, models)
    with suppress(store.Damaged):  # it is written again
        require_free(context)
    return context, content, brought


def require_free(context: RunContext) -> bool:
    """Whether the folder holds this suite's marker already. Raises ``UsageError`` if it is
    another's, ``store.Damaged``."""
    store.require_own(context.out, MARKER)
    metadata = store.read_metadata(context.out / MARKER)
    if metadata is not None and (other := metadata.get("suite")) != context.name:
        raise UsageError(f"{context.out} belongs to the suite {other!r}; name another --out")
    return metadata is not None


def require_sound(
    context: RunContext, suite: Suite, groups: Sequence[Sequence[SeededEntry]]
) -> None:
    """What can be known to be wrong is reported before anything is written, and by a plan too.
    Raises ``GenbenchError``. ``groups``: the suite's trainings whose plugins are not at fault."""
    from genbench import evaluation, experiment, sampling

    context.scorer(suite.dataset).rehearse()
    data = experiment.open_cached(suite.dataset, context.hardware.data_dir)
    if suite.prompts is not None:
        asked = experiment.prompted(suite.prompts, data, context.hardware)
        if suite.samples != (wanted := len(asked) * suite.prompts.each):
            raise UsageError(f"samples is {suite.samples}; the prompts ask for {wanted}")
    score = suite.score
    sampling.require_memory(data.spec, max(suite.samples, score.snapshots.samples))
    evaluation.resolve(score.snapshots.metrics, score.seed)
    for group in groups:
        if group[0].training.seed == groups[0][0].training.seed:
            training = group[0].training
            context.hardware.require_shares(training.batch, training.accumulate)
            experiment.check_sampling(context, group)


def resolved(
    suite: str | Path | Suite,
    *,
    seeds: Iterable[int] | None = None,
    examples: int | None = None,
    precision: str | None = None,
    compile: bool | None = None,
) -> Suite:
    """The suite with what was given in place of its own keys. Raises ``UsageError``."""
    content = suite if isinstance(suite, Suite) else Suite.from_toml(suite)
    if not content.name:
        content = content.model_copy(update={"name": "suite"})
    if seeds is not None:
        content = content.with_seeds(seeds)
    if examples is not None:
        content = content.with_examples(examples)
    if compile is not None:
        content = content.with_compile(compile)
    return content if precision is None else content.with_precision(precision)
