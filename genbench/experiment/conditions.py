"""The conditions of generated samples: those of random training samples, or prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench import sampling
from genbench.api import (
    Batch,
    Categorical,
    Condition,
    ConditionSpec,
    GenerativeModel,
    Samples,
    SampleSpec,
    Text,
    Texts,
    Vector,
)
from genbench.api.errors import UsageError, did_you_mean
from genbench.api.seeding import generator
from genbench.devices.hardware import Hardware
from genbench.experiment.context import open_cached, texts_of_file
from genbench.experiment.trained import Trained
from genbench.io.prompts import read_prompts
from genbench.registry import wrap_plugin_errors
from genbench.suite import Prompts, parse_value


@dataclass(frozen=True)
class RequestedConditions:
    """The conditions of each block of samples, as far as the model takes them."""

    names: tuple[str, ...]
    """Of the conditions that the model obeys."""
    data: Samples | None
    """The training set; ``None`` if the model obeys no condition."""
    seed: int
    prompts: Batch | None
    """One row a prompt; ``None``: the conditions of random training samples, whose classes are as
    frequent as they are in the data."""
    each: int = 1
    """Samples of each prompt, one after the other."""

    def __call__(self, block: int) -> Condition:
        return self._of(block)[0]

    def texts_of(self, block: int) -> Texts:
        """The words of a block's samples, as far as they are known."""
        return self._of(block)[1]

    def texts(self, count: int) -> Texts:
        """The texts that the first ``count`` samples are conditioned on."""
        blocks = [self._of(block)[1] for block in range(-(-count // sampling.BLOCK))]
        return {
            name: [word for block in blocks for word in block[name]][:count] for name in blocks[0]
        }

    def batch(self, count: int) -> Batch:
        """What the first ``count`` samples are conditioned on, without samples."""
        blocks = [self(block) for block in range(-(-count // sampling.BLOCK))]
        condition = {
            name: torch.cat([block[name] for block in blocks])[:count] for name in self.names
        }
        return Batch(torch.empty(count, 0), condition, self.texts(count))

    def _of(self, block: int) -> tuple[Condition, Texts]:
        if not self.names or self.data is None:
            return {}, {}
        stream = generator(self.seed, "condition", block)
        given = self.data.take(torch.randint(len(self.data), (sampling.BLOCK,), generator=stream))
        condition, texts = dict(given.condition), dict(given.texts)
        if self.prompts is not None:
            first = block * sampling.BLOCK
            numbers = torch.arange(first, first + sampling.BLOCK)
            rows = numbers.div(self.each, rounding_mode="floor") % len(self.prompts)
            for name, values in self.prompts.condition.items():
                condition[name] = values[rows]
                texts.pop(name, None)
            for name, words in self.prompts.texts.items():
                texts[name] = [words[row] for row in rows.tolist()]
        return (
            {name: condition[name].cpu() for name in self.names},
            {name: texts[name] for name in self.names if name in texts},
        )


def conditions(
    hardware: Hardware, trained: Trained, model: GenerativeModel, prompts: Prompts | None = None
) -> RequestedConditions:
    """The conditions of the samples of ``model``: the ``prompts``, in order; conditions that these
    do not name are those of random training samples."""
    obeyed = tuple(sorted(getattr(model, "conditions", ())))
    if not obeyed and prompts is None:  # the data need not be at hand
        return RequestedConditions((), None, trained.training.seed, None)
    data = open_cached(trained.training.dataset, hardware.data_dir)
    rows = None if prompts is None else prompted(prompts, data, hardware)
    return RequestedConditions(
        obeyed, data, trained.training.seed, rows, 1 if prompts is None else prompts.each
    )


def prompted(prompts: Prompts, data: Samples, hardware: Hardware) -> Batch:
    """One row for each prompt, of the conditions that ``data`` declares; without samples. Raises
    ``UsageError`` for a condition or a value that it does not have, and for a data set with other
    conditions or too few samples."""
    if prompts.dataset is not None:
        return _first(prompts, open_cached(prompts.dataset, hardware.data_dir), data)
    declared = data.spec.condition
    given = prompts.conditions if prompts.file is None else _of_file(prompts, data)
    condition: dict[str, Tensor] = {}
    texts: dict[str, list[str]] = {}
    for name in given[0]:
        if name not in declared:
            raise UsageError(
                f"prompts: {data.id} has no condition {name!r}{did_you_mean(name, declared)}"
            )
        values = [prompt[name] for prompt in given]
        if isinstance(declared[name], Text) and all(isinstance(value, str) for value in values):
            condition[name] = _tokens(data, name, values)
            texts[name] = values
        else:
            condition[name] = torch.stack([_value(name, declared[name], value) for value in values])
    return Batch(torch.empty(len(given), 0), condition, texts)


def given_prompts(
    prompts: Sequence[Any] | str | Path, each: int, model: GenerativeModel, spec: SampleSpec
) -> Prompts:
    """What a model of samples of ``spec`` is asked for outside a suite: the values of the condition
    that it obeys, or of the one text among those, as Python has them or as a user types them; or
    the texts in a file of prompts, which may be such values.

    Raises ``UsageError`` if there are none, and for a model that obeys no condition, or several;
    and as ``read_prompts`` does.
    """
    values: list[Any] = (
        read_prompts(Path(prompts).expanduser())
        if isinstance(prompts, (str, Path))
        else list(prompts)
    )
    if not values:
        raise UsageError("prompts: there is none")
    obeyed = sorted(getattr(model, "conditions", ()))
    if not obeyed:
        raise UsageError("prompts: the model obeys no condition")
    texts = [name for name in obeyed if isinstance(spec.condition.get(name), Text)]
    chosen = texts if len(texts) == 1 else obeyed
    if len(chosen) > 1:
        raise UsageError(f"prompts: the model obeys {' and '.join(obeyed)}; prompts are for one")
    (name,) = chosen
    if not texts:
        values = [parse_value(value) if isinstance(value, str) else value for value in values]
    return Prompts(conditions=tuple({name: value} for value in values), each=each)


def _of_file(prompts: Prompts, data: Samples) -> Sequence[Mapping[str, Any]]:
    """The texts of a file as conditions. Raises ``UsageError``, and as ``read_prompts`` does."""
    assert prompts.file is not None
    declared, name = data.spec.condition, prompts.condition
    if name is None:
        texts = [name for name, kind in declared.items() if isinstance(kind, Text)]
        if len(texts) != 1:
            has = f"the texts {', '.join(texts)}: name one as condition" if texts else "no text"
            raise UsageError(f"prompts: {prompts.file} holds texts, and {data.id} has {has}")
        (name,) = texts
    elif name in declared and not isinstance(declared[name], Text):
        raise UsageError(f"prompts: {prompts.file} holds texts, and {name!r} of {data.id} is none")
    return [{name: text} for text in texts_of_file(prompts.file, prompts.captions)]


def _first(prompts: Prompts, asked: Samples, data: Samples) -> Batch:
    """What the first samples of ``asked`` are conditioned on, as far as those of ``data`` are."""
    declared = data.spec.condition
    shared = [name for name in asked.spec.condition if name in declared]
    if not shared:
        raise UsageError(f"prompts: {asked.id} and {data.id} have no condition in common")
    for name in shared:
        if asked.spec.condition[name] != declared[name]:
            raise UsageError(f"prompts: {name!r} of {asked.id} is not that of {data.id}")
    count = prompts.count
    assert count is not None
    if count > len(asked):
        raise UsageError(f"prompts: count is {count}; {asked.id} has {len(asked)} samples")
    first = asked.take(torch.arange(count))
    return Batch(
        torch.empty(count, 0),
        {name: first.condition[name].cpu() for name in shared},
        {name: first.texts[name] for name in shared if name in first.texts},
    )


def _tokens(data: Samples, name: str, words: list[str]) -> Tensor:
    tokens: Any = getattr(data, "tokens", None)
    if tokens is None:
        raise UsageError(f"prompts: {data.id} does not tokenise texts: give lists of tokens")
    with wrap_plugin_errors(f"data set {data.id} failed"):
        made: Tensor = tokens(name, words)
    return made


def _value(name: str, declared: ConditionSpec, value: Any) -> Tensor:
    """The row of one prompt. Raises ``UsageError``."""
    row = value if isinstance(value, list) else [value]
    whole = all(type(number) is int for number in row)
    match declared:
        case Categorical(count):
            wanted = f"a class 0…{count - 1}"
            if row is not value and whole and 0 <= value < count:
                return torch.tensor(value)
        case Text(max_tokens, vocabulary):
            wanted = f"a list of up to {max_tokens} tokens 1…{vocabulary - 1}"
            known = whole and all(0 < token < vocabulary for token in row)
            if row is value and known and len(row) <= max_tokens:
                return torch.tensor(row + [0] * (max_tokens - len(row)))
        case Vector(dim):
            wanted = f"a list of {dim} numbers"
            if row is value and len(row) == dim and all(type(x) in (int, float) for x in row):
                return torch.tensor(row, dtype=torch.float32)
    raise UsageError(f"prompts: {name!r} is {wanted}, not {value!r}")
