"""Rows of training samples for texts that are not theirs, where scores look at texts: chance, and
memory. The real row, whose texts are its own, is the ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genbench import sampling, store
from genbench.api import (
    CONTROL,
    Batch,
    ProgressCallback,
    ProgressEvent,
    Samples,
    TensorSamples,
    Text,
)
from genbench.api.errors import one_line
from genbench.api.seeding import generator
from genbench.devices.ranks import Fault, Ranks, attempt
from genbench.evaluation.embedding import asks_for
from genbench.experiment.asked import asked_for
from genbench.experiment.conditions import RequestedConditions, prompted
from genbench.experiment.context import RunContext, open_cached
from genbench.experiment.real import finished_real, real_base, real_folder, run_real
from genbench.experiment.repair import keep_traceback
from genbench.experiment.stage_table import CONTROL_RECORD, CONTROL_SAMPLES
from genbench.experiment.stages import scored, with_scores
from genbench.io.arrays import pack_samples, unpack_samples
from genbench.store.records import Record, checked

BLOCK = 1024
"""Training samples whose texts are read at once."""


def run_baselines(
    ranks: Ranks, context: RunContext, dataset: str, report: ProgressCallback
) -> list[Record]:
    """The real row and the controls."""
    rows = run_real(ranks, context, dataset, report)
    for name in controls(context, dataset):
        report(ProgressEvent(name, 0, 1))
        rows.append(_run(ranks, context, dataset, name))
    return rows


def finished_baselines(context: RunContext, dataset: str) -> list[Record] | None:
    """The same, where they have been computed, or ``None``."""
    rows = finished_real(context, dataset)
    if rows is None:
        return None
    inputs = {"context": context.inputs(dataset)}
    for name in controls(context, dataset):
        record = CONTROL_RECORD.find(real_folder(context), inputs | {"control": name})
        if record is None:
            return None
        rows.append(replace(record, suite=context.name))
    return rows


def controls(context: RunContext, dataset: str) -> list[str]:
    """The names of the control rows: none unless the extractor looks at the texts of samples."""
    return [*KINDS] if _texts(context, dataset) else []


def _texts(context: RunContext, dataset: str) -> list[str]:
    """The names of the texts that the extractor looks at."""
    declared = open_cached(dataset, context.hardware.data_dir).spec.condition
    asked = asks_for(context.scorer(dataset).extractor)
    return sorted(name for name in asked if isinstance(declared.get(name), Text))


def _run(ranks: Ranks, context: RunContext, dataset: str, name: str) -> Record:
    said, choose = KINDS[name]
    base = replace(
        real_base(context, dataset), entry=name, model=name, conditions={"control": said}
    )
    folder = real_folder(context)
    inputs = {"context": context.inputs(dataset), "control": name}

    def compute() -> Record:
        data = open_cached(dataset, context.hardware.data_dir)

        def gather() -> store.Contents:
            asked = _asked(context, data)
            taken = data.take(choose(asked, data, _texts(context, dataset)))
            stored = sampling.padded(data.spec, taken.data, asked.condition)
            samples = TensorSamples(data.spec, "", stored, asked.condition, asked.texts)
            return pack_samples(samples), {}

        made = CONTROL_SAMPLES.once(ranks, folder, inputs, gather)
        samples = unpack_samples(made.value[0], data.spec, f"control@{made.identity}")
        scorer = context.scorer(dataset, ranks)
        identity, scores = scored(ranks, scorer, folder, samples)
        asked = asked_for(ranks, scorer, folder, identity, samples)
        record = replace(
            with_scores(base, identity, scores),
            files={
                file: str(path.relative_to(context.out))
                for file, path in (("samples", made.path), ("asked", asked))
                if path is not None
            },
        )
        return checked(record)

    record = attempt(ranks, lambda: CONTROL_RECORD.once(ranks, folder, inputs, compute).value)
    if isinstance(record, Fault):
        error = record.error
        ranks.on_rank_zero(lambda: keep_traceback(folder, error))
        record = replace(base, status="failed", reason=one_line(error))
    return replace(record, suite=context.name)


def _asked(context: RunContext, data: Samples) -> Batch:
    """What as many samples as the entries generate are asked for, without samples."""
    prompts = context.prompts
    rows = None if prompts is None else prompted(prompts, data, context.hardware)
    names = tuple(sorted(data.spec.condition))
    asked = RequestedConditions(names, data, 0, rows, prompts.each if prompts else 1)
    return asked.batch(context.samples)


def random_samples(asked: Batch, data: Samples, names: Sequence[str]) -> Tensor:
    """The numbers of random training samples, one for each of ``asked``."""
    count = len(next(iter(asked.condition.values())))
    return torch.randint(len(data), (count,), generator=generator(0, "control"))


def nearest_texts(asked: Batch, data: Samples, names: Sequence[str]) -> Tensor:
    """The numbers of the training samples whose texts are most like those of ``asked``: by the
    cosine of the counts of words and of pairs of neighbouring words (Salton et al. 1975). Of equal
    ones, the first. Where the words are not known, tokens stand for them."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    wanted = _words(asked, names)
    known = [words for block in _blocks(data) for words in _words(data.take(block), names)]
    counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    counter.fit([*known, *wanted])
    mine, theirs = (normalize(counter.transform(words)) for words in (wanted, known))
    parts = (mine[first : first + BLOCK] @ theirs.T for first in range(0, len(wanted), BLOCK))
    return torch.cat([torch.from_numpy(part.toarray()).argmax(dim=1) for part in parts])


def _blocks(data: Samples) -> Iterator[Tensor]:
    for first in range(0, len(data), BLOCK):
        yield torch.arange(first, min(first + BLOCK, len(data)))


def _words(batch: Batch, names: Sequence[str]) -> list[str]:
    """One text a sample."""
    columns = [batch.texts.get(name) or _spelt(batch.condition[name]) for name in names]
    return [" ".join(words) for words in zip(*columns, strict=True)]


def _spelt(tokens: Tensor) -> list[str]:
    return [" ".join(str(token) for token in row if token) for row in tokens.tolist()]


KINDS: dict[str, tuple[str, Callable[[Batch, Samples, Sequence[str]], Tensor]]] = {
    f"{CONTROL}random training sample": (
        "a random training sample for each text; what chance scores",
        random_samples,
    ),
    f"{CONTROL}nearest training text": (
        "the training sample whose text is most like the one asked for; what memory scores",
        nearest_texts,
    ),
}
"""What tables say of each control, and the numbers of its training samples."""
