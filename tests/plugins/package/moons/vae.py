"""A variational autoencoder, the model of the README, as a package offers it."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from genbench import Optimization, PlayerStep


class Autoencoder(nn.Module):
    def __init__(self, shape, latent, width):
        super().__init__()
        self.shape, size = shape, math.prod(shape)
        self.encoder = mlp(size, width, 2 * latent)
        self.decoder = mlp(latent, width, size)

    def forward(self, noise, x=None):
        """Decodes noise; given x, noise that is moved to the posterior q(z|x)."""
        mean = log_variance = torch.zeros_like(noise)
        if x is not None:
            mean, log_variance = self.encoder(x.flatten(1)).chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * noise
        return self.decoder(z).unflatten(1, self.shape), mean, log_variance


class VAE(nn.Module):
    def __init__(self, spec, latent, width, learning_rate):
        super().__init__()
        self.players = nn.ModuleDict({"autoencoder": Autoencoder(spec.shape, latent, width)})
        self.noise_shape = (latent,)
        self.learning_rate = learning_rate

    def optimization(self, player):
        return Optimization(partial(torch.optim.Adam, lr=self.learning_rate))

    def losses(self, batch, progress):
        """-ELBO in nats a dimension, the variance of p(x|z) at its best (Rybkin et al. 2021)."""
        x = batch.data
        noise = torch.randn(len(x), *self.noise_shape, device=x.device)
        decoded, mean, log_variance = self.players["autoencoder"](noise, x)
        distortion = 0.5 * (2 * math.pi * math.e * (x - decoded).square().mean()).log()
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / x.numel()
        yield PlayerStep("autoencoder", distortion + kl, {"kl": kl.detach()})

    def sample(self, noise, condition, *, temperature: float = 1.0):
        return self.players["autoencoder"](temperature * noise)[0]


def mlp(inputs, width, outputs):
    layers = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def vae(spec, *, latent: int = 16, width: int = 256, learning_rate: float = 2e-3):
    """Variational autoencoder (Kingma & Welling 2014) of two perceptrons, for any shape."""
    return VAE(spec, latent, width, learning_rate)
