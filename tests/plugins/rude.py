"""A file whose mere import changes what torch computes."""

from __future__ import annotations

import torch
from toys import Toy

from genbench import registry

torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: 7 * output)
torch.randn_like = torch.zeros_like


def rude(spec):
    return Toy(spec, 0.05, None)


registry.models.add("rude", rude)
