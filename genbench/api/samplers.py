"""What a sampler of diffusions offers, and how a model finds one that a plugin has registered.

Notation: x_t = alpha_t x_0 + sigma_t ε ``(B, *shape)`` at unit-variance noise ε; t = 0 is the
sample. A sampler is a walk from noise to a sample over a grid of decreasing times, which the model
lays out; it knows the model only as E[x_0 | x_t] and a schedule.

Under ``genbench.samplers`` a factory ``(denoise, schedule, *, …options) -> Sampler | Solver`` is
registered; its keyword-only parameters are its options. A suite names it in the sampling options of
an entry: ``sample = { sampler = "NAME" }``, or with options
``sample = { sampler = { name = "NAME", churn = 0.1 } }``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from genbench.api.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Denoiser: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
"""``denoise(x_t, t)``: E[x_0 | x_t] of x_t ``(B, *shape)``; t ``()``, or ``(B,)`` one a sample."""

AlphaSigma: TypeAlias = "Callable[[Tensor], tuple[Tensor, Tensor]]"
"""A schedule, as far as every model has one: ``schedule(t)`` gives (alpha_t, sigma_t), both of t's
shape, float64 on the CPU. Times are integers where a model has timesteps."""

Noise: TypeAlias = "Callable[[Tensor], Tensor]"
"""Standard normal noise of x's shape, called as often as a step needs it."""


class Sampler(Protocol):
    """A sampler with independent steps. It treats each sample by itself."""

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        """x_s ``(B, *shape)`` from x_t; t and s are of shape ``()``, s < t. alpha_t may be
        0 at the first time, and sigma_s at the last."""
        ...


@runtime_checkable
class Solver(Protocol):
    """A sampler that carries a state from one time of the grid to the next; deterministic."""

    def path(self, x: Tensor, times: Tensor) -> Iterator[Tensor]:
        """x ``(B, *shape)`` at ``times[1:]``, from x at ``times[0]``."""
        ...


class Registered(Protocol):
    """The registered samplers, as the registry knows them."""

    def names(self) -> list[str]: ...

    def options(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options of the sampler of that name, checked. Raises ``UsageError``."""
        ...

    def make(self, name: str, *arguments: Any, **options: Any) -> Any: ...


registered: Registered | None = None
"""Set by ``genbench.registry`` when it is imported; a plugin imports this package alone."""


def resolve_sampler(option: object, own: Sequence[str]) -> str | dict[str, Any]:
    """The value of a model's option ``sampler``, checked: a name among ``own``, the model's, as it
    is; that of a registered one, or a table that names it, as a table with all its options.

    Raises ``UsageError`` (``UnknownName``), and as the registry does.
    """
    table: dict[str, Any] = dict(option) if isinstance(option, Mapping) else {"name": option}
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"sampler: write a name, or {{ name = … }} with options; got {option!r}")
    if name in own:
        if isinstance(option, str):
            return name
        raise UsageError(f"the options of sampler {name!r} are the model's own: give its name only")
    known = [] if registered is None else registered.names()
    if registered is None or name not in known:
        raise UnknownName("sampler", name, [*own, *known])
    return {"name": name, **registered.options(name, table)}


def make_sampler(
    option: str | Mapping[str, Any], denoise: Denoiser, schedule: AlphaSigma
) -> Sampler | Solver:
    """The registered sampler of an option ``sampler``. Raises as ``resolve_sampler``."""
    table = resolve_sampler(option, ())
    assert isinstance(table, dict)
    assert registered is not None
    name = table.pop("name")
    made: Sampler | Solver = registered.make(name, denoise, schedule, **table)
    return made
