"""Text-to-image pipelines of diffusers, as published: sampled, never trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from baselines.pipelines import (
    Dtype,
    PipelineFolder,
    component_files,
    hash_of,
    licence_of,
    load,
    parted,
    quiet,
    resolve,
)
from genbench.api import (
    Batch,
    Condition,
    Optimization,
    PlayerStep,
    Progress,
    SampleSpec,
    Text,
    Texts,
)
from genbench.api.errors import UsageError, did_you_mean

AT_ONCE = 8
"""Pictures that a pipeline draws at once: a VAE holds gigabytes for each of 1024×1024."""
AS_ASKED = ("use_resolution_binning", "clean_caption")
"""Options by which some pipelines draw another size, or change the words; they are turned off."""


def diffusers(
    spec: SampleSpec, *, path: PipelineFolder, dtype: Dtype = "float32"
) -> TextToImagePipeline:
    """A text-to-image pipeline in a folder as diffusers saves it, such as Stable Diffusion 1.5, XL
    and 3, or PixArt.

    The weights come whole from the folder, whose hash is part of the identity of everything that
    is drawn from it. A safety checker is left out, and so is a watermark.

    Args:
        spec: RGB pictures with one text among their conditions, whose words are the prompt, and of
            sides that the pipeline can draw.
        path: The folder; it has ``model_index.json``, and safetensors alone.
        dtype: Of the weights and of what they compute.

    Raises:
        UsageError: As ``load`` does; other samples than those.
    """
    texts = [name for name, declared in spec.condition.items() if isinstance(declared, Text)]
    if spec.modality != "image" or len(spec.shape) != 3 or spec.shape[0] != 3:
        raise UsageError(f"diffusers draws RGB pictures, not {spec.modality} of shape {spec.shape}")
    if len(texts) != 1:
        named = ", ".join(spec.condition) or "none"
        raise UsageError(f"diffusers needs one text among the conditions; they are: {named}")
    named = resolve(path)
    return TextToImagePipeline(spec, texts[0], named, load(named, dtype))


class PipelineVae(nn.Module):
    """A pipeline's VAE, as the harness knows a codec. Latents are in the VAE's own scale."""

    def __init__(self, vae: Any, id: str, licence: str) -> None:
        super().__init__()
        self.vae = vae
        self.id = id
        self.licence = licence

    def encode(self, x: Tensor) -> Tensor:
        """Pictures ``(B, 3, H, W)`` in [-1, 1] → the mode of their latents."""
        seen = self.vae.encode(x.to(self.vae.dtype))
        latents: Tensor = seen.latent_dist.mode() if hasattr(seen, "latent_dist") else seen.latent
        return latents

    def decode(self, z: Tensor) -> Tensor:
        # The class's own, since a pipeline that samples finds ``codec.decode`` in its place.
        x: Tensor = type(self.vae).decode(self.vae, z.to(self.vae.dtype), return_dict=False)[0]
        return x


class TextToImagePipeline(nn.Module):
    """A pipeline with its denoiser as the one player, and its VAE as the codec.

    Network evaluations are those of the denoiser; the text encoders run once a prompt, and are not
    counted among them. The weights are no state of the model, so that no snapshot copies them; in
    their place stands the hash of the folder.
    """

    pretrained = True
    eager_only = "its network is called by the pipeline of diffusers"

    def __init__(self, spec: SampleSpec, condition: str, path: str, pipeline: Any) -> None:
        super().__init__()
        denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
        step = pipeline.vae_scale_factor * getattr(denoiser.config, "patch_size", 1)
        height, width = spec.shape[1:]
        if height % step or width % step:
            raise UsageError(
                f"{path} draws pictures whose sides are multiples of {step}, not {height}×{width}"
            )
        self.spec = spec
        self.conditions = self.texts = frozenset({condition})
        self.noise_shape = (
            denoiser.config.in_channels,
            height // pipeline.vae_scale_factor,
            width // pipeline.vae_scale_factor,
        )
        folder, digest = parted(path)
        self.register_buffer("hash", torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))
        vae = component_files(folder, "vae")
        # Of other versions the same weights may draw other pictures.
        by = "+".join(f"{name}-{version(name)}" for name in ("diffusers", "transformers"))
        named = f"{type(pipeline.vae).__name__}@{hash_of(folder, vae)}+{by}"
        # In a tuple: what is an attribute of its own would be a part of the state.
        self._held = pipeline, PipelineVae(pipeline.vae, named, licence_of(folder))
        self._players = (nn.ModuleDict({"denoiser": denoiser}),)

    @property
    def players(self) -> nn.ModuleDict:
        return self._players[0]

    @property
    def codec(self) -> PipelineVae:
        return self._held[1]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> TextToImagePipeline:
        """By which ``to`` moves the weights, which are not registered."""
        for component in self._held[0].components.values():
            if isinstance(component, nn.Module):
                component._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def optimization(self, player: str) -> Optimization:
        """As the harness asks for one; it is never used."""
        return Optimization(lambda named: torch.optim.SGD([p for _, p in named]))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """Raises ``UsageError``: nothing is trained."""
        raise UsageError("a pipeline of diffusers is sampled, not trained")

    def sample(
        self,
        noise: Tensor,
        condition: Condition,
        texts: Texts,
        *,
        steps: PositiveInt = 50,
        guidance: Annotated[float, Field(ge=1)] = 7.5,
        scheduler: str | None = None,
    ) -> Tensor:
        """Standard normal ``(B, *noise_shape)``, the pipeline's latents before its scheduler scales
        them, and B prompts to pictures ``(B, 3, H, W)`` in [-1, 1].

        Args:
            steps: Of the scheduler; most cost one network evaluation each.
            guidance: Classifier-free; 1 for none. Any other value costs two evaluations a step.
            scheduler: The class name of one that is compatible with the pipeline's, which is used
                by default, with its configuration.

        Raises:
            UsageError: A scheduler that is not compatible.
        """
        (prompts,) = texts.values()
        height, width = self.spec.shape[1:]
        parts = []
        with self._sampling(scheduler) as pipeline:
            takes = inspect.signature(type(pipeline).__call__).parameters
            for first in range(0, len(noise), AT_ONCE):
                images = pipeline(
                    prompt=list(prompts[first : first + AT_ONCE]),
                    latents=noise[first : first + AT_ONCE].to(pipeline.dtype),
                    height=height,
                    width=width,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    output_type="pt",
                    **{name: False for name in AS_ASKED if name in takes},
                ).images
                parts.append(images.float())
        return torch.cat(parts).mul(2).sub(1)

    @contextmanager
    def _sampling(self, scheduler: str | None) -> Iterator[Any]:
        """The pipeline with a fresh scheduler, and decoding by ``codec.decode``, which the harness
        counts; afterwards it is as it was."""
        pipeline, codec = self._held
        own = pipeline.scheduler
        known = {kind.__name__: kind for kind in (*own.compatibles, type(own))}
        name = scheduler or type(own).__name__
        if name not in known:
            raise UsageError(
                f"{type(pipeline).__name__} has no scheduler {name!r}{did_you_mean(name, known)}"
            )
        pipeline.scheduler = known[name].from_config(own.config)
        vars(pipeline.vae)["decode"] = lambda z, **_: (codec.decode(z),)
        try:
            with quiet():
                yield pipeline
        finally:
            del vars(pipeline.vae)["decode"]
            pipeline.scheduler = own
