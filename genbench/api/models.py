"""What a model must provide to be trained and sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from genbench.api.samples import Batch


@dataclass(frozen=True)
class Progress:
    """The progress of a training before the current step."""

    step: int
    """Steps taken so far."""
    examples: int
    """Samples seen so far, over all devices."""
    budget: int
    """Samples that the whole training will see."""

    @property
    def fraction(self) -> float:
        """``examples / budget``, in [0, 1]."""
        return self.examples / self.budget


@dataclass(frozen=True)
class PlayerStep:
    """One player's turn: the loss that its optimiser minimises."""

    player: str
    loss: Tensor
    """A scalar that requires grad."""
    diagnostics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """Scalars for the history, such as a discriminator's accuracy."""


@dataclass(frozen=True)
class Optimization:
    """How one player learns.

    A weight decay that leaves out biases and norms, and a lower rate for an embedding::

        def adamw(named: Iterator[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
            groups = {"weights": [], "others": [], "embedding": []}
            for name, parameter in named:
                of = "weights" if parameter.ndim > 1 else "others"
                groups["embedding" if name.startswith("embedding.") else of].append(parameter)
            return torch.optim.AdamW([
                {"params": groups["weights"], "weight_decay": 0.01},
                {"params": groups["others"]},
                {"params": groups["embedding"], "lr": 1e-4},
            ], lr=1e-3, weight_decay=0.0)
    """

    optimizer: Callable[
        [Iterator[tuple[str, nn.Parameter]]],
        torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    ]
    """Makes the optimiser of the player's ``named_parameters()``, or several that share them, which
    then step one after the other. torch's own optimisers take named parameters as they are. Each
    parameter group has its own rate ``lr``, which every step multiplies by ``schedule``; the
    history shows that of the first group."""
    schedule: Callable[[Progress], float] = lambda progress: 1.0
    """A factor of every group's rate."""
    clip_norm: float | None = None
    """The gradients of the player are rescaled together to this norm if they exceed it;
    ``None``: never."""

    def optimizers(self, player: nn.Module) -> list[torch.optim.Optimizer]:
        """What ``optimizer`` makes for ``player``; a list in any case."""
        made = self.optimizer(player.named_parameters())
        return [*made] if isinstance(made, Sequence) else [made]


class Codec(Protocol):
    """An ``nn.Module`` of fixed weights between samples and a latent space."""

    @property
    def id(self) -> str:
        """Names the exact weights, as ``tiny-vae@1f0c…``: part of the identity of samples."""
        ...

    @property
    def licence(self) -> str:
        """Of the weights, as ``MIT``: records say it."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """The model's view ``(B, *shape)`` → latents ``(B, *latent_shape)``."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The inverse of ``encode``, as far as there is one."""
        ...

    # nn.Module's own, as far as the harness uses them.
    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def parameters(self) -> Callable[..., Any]: ...


class GenerativeModel(Protocol):
    """An ``nn.Module`` that can be trained and sampled. Whatever must survive a resume is a
    parameter or a buffer.

    Beyond what stands below, any model may offer *capabilities*, which are asked for by name:

    ``conditions: Set[str]``
        The conditions of the samples that the model obeys, as ``{"label"}``. ``sample`` is then
        given those of random training samples, or a suite's prompts, and what it makes carries
        them.
    ``texts: Set[str]``
        Those of its ``conditions``, each a ``Text``, that it reads as words instead of tokens.
        ``sample``, and ``trajectory`` if there is one, then take ``(noise, condition, texts)``,
        with the words of each sample by name. Samples whose words are not known are refused.
        ``losses`` and ``bits_per_dim`` find the words in ``batch.texts``.
    ``trajectory(noise, condition, **options) -> Iterator[Tensor]``
        What ``sample`` with the same options passes through, from the noise to the samples, which
        come last: ``(B, *shape)`` each, in the model's view, at unit scale.
    ``diffused(x_0, noise, fraction) -> Tensor``
        ``x_0`` ``(B, *shape)`` after ``fraction``, in [0, 1], of the way to noise, at unit scale.
    ``bits_per_dim(batch, **options) -> Tensor``
        Of a batch in the *stored* view: negative log2-likelihood over its dimensions, ``(B,)``.
    ``codec: Codec``
        Between samples and the latent space in which the model works. ``losses`` and ``sample``
        call it themselves; the harness moves it to the device and, in the costs of sampling, counts
        the parameters and the FLOPs of ``decode``, which is no network evaluation.
    ``eager_only: str``
        Why ``torch.compile`` cannot have the players, as where a loss differentiates their
        gradients again: a training that asks for it is refused with this reason. Empty if it can.
    ``pretrained: bool``
        The weights came whole from elsewhere: nothing is trained.
    ``samples_from: str``
        The data set, as a suite names it (``folder:PATH``), that holds the samples, since whatever
        made them cannot be run here: a folder with a manifest. ``sample`` is never called; if a
        suite has prompts, its samples are the pictures that were made for each. Beside it,
        ``pretrained`` is true, and there are no players.
    """

    @property
    def players(self) -> nn.ModuleDict:
        """The networks in the game, each with its optimiser: a denoiser; a discriminator and a
        generator. ``losses`` must *call* them (not their submodules), as DDP requires."""
        ...

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Of one sample's noise: the sample's shape, or a latent's."""
        ...

    @property
    def sample(self) -> Callable[..., Tensor]:
        """``sample(noise, condition, *, …options) -> Tensor``: standard normal noise
        ``(B, *noise_shape)`` in, the model's view ``(B, *shape)`` out. Its keyword-only parameters
        are the schema of the sampling options. Further randomness comes from torch's global
        generator."""
        ...

    def optimization(self, player: str) -> Optimization: ...

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The turns of one step, on a batch in the model's view. The loop takes each turn's
        optimiser step before it asks for the next; which players move depends on ``progress``
        alone, never on the data."""
        ...

    # nn.Module's own, as far as the harness uses them.
    @property
    def state_dict(self) -> Callable[..., Any]: ...

    @property
    def load_state_dict(self) -> Callable[..., Any]: ...

    @property
    def to(self) -> Callable[..., Any]: ...

    @property
    def train(self) -> Callable[..., Any]: ...

    @property
    def parameters(self) -> Callable[..., Any]: ...

    @property
    def buffers(self) -> Callable[..., Any]: ...


@dataclass(frozen=True)
class Variant:
    """A registry value: another way to sample what ``trains`` trains, as DDIM is of DDPM."""

    trains: str
    sample: Mapping[str, Any]
