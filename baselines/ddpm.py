"""DDPM: denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020).

With the improvements of Nichol & Dhariwal 2021, v-prediction and min-SNR weighting as options.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from baselines.conditioning import ConditioningOptions, Guidance
from baselines.denoisers import NetworkDenoiser
from baselines.diffusion import Diffusion, State, last_of, require_sampler, states
from baselines.latent import CodecOptions, LatentDiffusion
from baselines.networks import NetworkOptions, denoising_network
from baselines.networks.pretrained import Pretrained, load_pretrained, require_defaults
from baselines.optimizers import OptimizerConfig
from baselines.predictions import CLEAN, EPSILON, Prediction, V, Weighting, min_snr
from baselines.samplers import (
    DDIM,
    Ancestral,
    DPMSolver2M,
    LearnedAncestral,
    Sampler,
    SamplerName,
    Solver,
    choice,
    strided_times,
)
from baselines.schedules import Betas, CosineBetas, LinearBetas
from baselines.variational import bound
from genbench.api import Condition, SampleSpec
from genbench.api.errors import UsageError
from genbench.api.samplers import make_sampler

PREDICTIONS: dict[str, Prediction] = {"epsilon": EPSILON, "x0": CLEAN, "v": V}
WEIGHTINGS: dict[str, Weighting | None] = {"uniform": None, "min-snr": min_snr}
BOUND_WEIGHT = 0.001
"""λ of L_simple + λ L_vlb (Nichol & Dhariwal 2021, section 3.1)."""


def ddpm(
    spec: SampleSpec,
    *,
    timesteps: Annotated[int, Field(ge=21)] = 1000,
    schedule: Literal["linear", "cosine"] = "linear",
    prediction: Literal["epsilon", "x0", "v"] = "epsilon",
    weighting: Literal["uniform", "min-snr"] = "uniform",
    variance: Literal["fixed", "learned"] = "fixed",
    pretrained: Pretrained | None = None,
    latent: CodecOptions = CodecOptions(),
    conditioning: ConditioningOptions = ConditioningOptions(),
    network: NetworkOptions = NetworkOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(),
) -> Ddpm | LatentDiffusion:
    """DDPM: a U-Net (an MLP for points) that predicts the noise, x_0 or v.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        timesteps: Of the schedule, which is rescaled to end in as much noise.
        schedule: β linear, or ᾱ a squared cosine (Nichol & Dhariwal 2021, eq. 17).
        prediction: What the network predicts: ε, x_0, or v (Salimans & Ho 2022).
        weighting: Of the loss over timesteps: the same for all, or min-SNR (Hang et al. 2023).
        variance: The sampler's choice, or learned by the hybrid loss of Nichol & Dhariwal 2021.
        pretrained: A folder of published weights, as of google/ddpm-cifar10-32; they decide the
            network, and are not trained.
        latent: Whether it works on spectrograms of sounds; see ``CodecOptions``.
        conditioning: Whether it is conditioned on the data's labels or texts; see
            ``ConditioningOptions``.
        network: Its kind and size; see ``NetworkOptions``.
        optimizer: See ``OptimizerConfig``.

    Raises:
        UsageError: A side that cannot be halved so often, channels that the network cannot have,
            ``conditional`` without labels and texts, an option of the network or texts beside
            ``pretrained``; as ``CodecOptions.model``.
    """

    def make(spec: SampleSpec) -> Ddpm:
        known = conditioning.of(spec)
        outputs = 2 if variance == "learned" else 1
        if pretrained is not None:
            require_defaults(network, known.text)
            net = load_pretrained(
                spec, pretrained, conditional=conditioning.conditional, outputs=outputs
            )
        else:
            net = denoising_network(
                spec, options=network, classes=known.classes, text=known.text, outputs=outputs
            )
        model = ImprovedDdpm if variance == "learned" else Ddpm
        return model(
            spec,
            LinearBetas(timesteps) if schedule == "linear" else CosineBetas(timesteps),
            net,
            optimizer,
            known,
            prediction=PREDICTIONS[prediction],
            weighting=WEIGHTINGS[weighting],
            pretrained=pretrained is not None,
        )

    return latent.model(spec, make)


class Ddpm(Diffusion):
    """A diffusion over integer timesteps."""

    schedule: Betas

    def path(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Annotated[SamplerName, choice("ancestral", "ddim", "dpm-solver++")] = "ancestral",
        steps: PositiveInt | None = None,
        spacing: Literal["linear", "quadratic"] = "quadratic",
        variance: Literal["posterior", "beta", "learned"] | None = None,
        eta: Annotated[float, Field(ge=0, le=1)] = 0.0,
        guidance: Guidance = 1.0,
        clip_denoised: bool = False,
    ) -> Iterator[State]:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``.

        Args:
            sampler: The reverse process of Ho et al. 2020, DDIM, DPM-Solver++(2M), or a registered
                one.
            steps: Timesteps visited, each of which costs a network evaluation; all by default.
            spacing: Of fewer steps than there are timesteps (Song, Meng & Ermon 2021, appendix
                D.2, who take the quadratic one for CIFAR-10).
            variance: Of the ancestral sampler: the posterior's β̃, the larger β (Ho et al. 2020,
                section 3.2), or the learned one. By default the learned one if there is, else β̃.
            eta: The share of DDPM's noise in DDIM.
            guidance: By the label or the text; 1 for none. Any other value costs two evaluations a
                step.
            clip_denoised: Hold each E[x_0 | x_t] in [-1, 1], as the released code of Ho et al.
                does. Per value, so per sample.

        Raises:
            UsageError: More steps than timesteps, an option of another sampler, ``guidance`` or a
                ``variance`` that was not trained for, clipping of real values.
        """
        timesteps = self.schedule.timesteps
        if steps is not None and steps > timesteps:
            raise UsageError(
                f"steps must be at most the model's {timesteps} timesteps, got {steps}"
            )
        require_sampler(sampler, "ddim", eta=eta > 0)
        require_sampler(sampler, "ancestral", variance=variance is not None)
        if clip_denoised and self.spec.levels is None:
            raise UsageError("clip_denoised needs data in [-1, 1]; these are real-valued")

        denoise = self.denoiser(condition, guidance=guidance, clip=clip_denoised)
        method: Sampler | Solver
        if sampler == "ancestral":
            method = self.ancestral(denoise, variance)
        elif sampler == "ddim":
            method = DDIM(denoise, self.schedule, eta)
        elif sampler == "dpm-solver++":
            method = DPMSolver2M(denoise, self.schedule)
        else:
            method = make_sampler(sampler, denoise, self.schedule)
        return states(method, noise, strided_times(timesteps, steps or timesteps, spacing))

    sample = last_of(path)

    def ancestral(self, denoise: NetworkDenoiser, variance: str | None) -> Sampler:
        """The sampler of Ho et al. 2020 with one of its variances.

        Raises:
            UsageError: ``"learned"``, and no variance was learned.
        """
        if variance == "learned":
            raise UsageError("variance 'learned' needs a model trained with variance = 'learned'")
        return Ancestral(denoise, self.schedule, "beta" if variance == "beta" else "posterior")


class ImprovedDdpm(Ddpm):
    """A DDPM whose network also predicts the variances (Nichol & Dhariwal 2021).

    Of the network's 2 C channels the second half, from -1 to 1, is where each variance lies between
    log β̃ and log β.
    """

    def loss(self, output: Tensor, x_0: Tensor, x_t: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """L_simple + λ L_vlb; the second, a sum over timesteps of which one is drawn, teaches the
        variances alone (their section 3.1)."""
        output, rest = output.chunk(2, dim=1)
        guess = self.prediction.denoised(self.schedule, output.detach(), x_t, t)
        terms = bound(self.schedule, self.spec.levels, x_0, guess, (rest + 1) / 2, t)
        simple = super().loss(output, x_0, x_t, noise, t)
        return simple + BOUND_WEIGHT * self.schedule.timesteps * terms.mean()

    def ancestral(self, denoise: NetworkDenoiser, variance: str | None) -> Sampler:
        if variance not in (None, "learned"):
            return super().ancestral(denoise, variance)

        def learned(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            x_0, rest = denoise.with_rest(x_t, t)
            # The paper leaves v unbounded, as no trained network is seen to leave [0, 1]; one that
            # is hardly trained would take samples to infinity.
            return x_0, ((rest + 1) / 2).clamp(0, 1)

        return LearnedAncestral(learned, self.schedule)
