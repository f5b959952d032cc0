"""Compiled networks: in place, one code for one purpose, and refused where there can be none."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from genbench.api.errors import UsageError
from genbench.devices.compiling import (
    compile_networks,
    compiled_forward,
    require_compilable,
    require_compiler,
)


class Counted(nn.Module):
    """Its hooks see every call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        out: Tensor = scale * self.layer(x).tanh()
        return out


class Graphs(list[Any]):
    """A backend that runs what was compiled as it is, and keeps it."""

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.append(graph)
        return graph.forward


@pytest.fixture
def graphs() -> Iterator[Graphs]:
    yield Graphs()
    torch.compiler.reset()


def test_it_is_the_same_network_of_the_same_names(graphs: Graphs) -> None:
    network, x = Counted(), torch.randn(5, 3)
    names, expected = list(network.state_dict()), network(x, scale=2.0)
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    compile_networks([network], backend=graphs)
    assert torch.equal(network(x, scale=2.0), expected)
    assert list(network.state_dict()) == names
    assert len(graphs) == len(calls) == 1
    eager = Counted()
    eager.load_state_dict(network.state_dict())
    assert torch.equal(eager(x, scale=2.0), expected)


def test_a_copy_is_compiled_with_weights_of_its_own(graphs: Graphs) -> None:
    network, x = Counted(), torch.randn(5, 3)
    compile_networks([network], backend=graphs)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin.layer.weight.zero_()
        twin.layer.bias.zero_()
    assert not twin(x).any()
    assert network(x).any()
    assert compiled_forward(twin) is not None
    assert len(graphs) == 1


def test_networks_of_one_purpose_share_what_is_compiled(graphs: Graphs) -> None:
    """And another's does not depend on them: a new shape would be compiled for all shapes."""
    first, second, third = Counted(), Counted(), Counted()
    compile_networks([first], "draw", backend=graphs)
    first(torch.randn(5, 3))
    compile_networks([second], "draw", backend=graphs)
    second(torch.randn(5, 3))
    assert len(graphs) == 1
    compile_networks([third], "another", backend=graphs)
    third(torch.randn(6, 3))
    assert len(graphs) == 2
    sizes = [node.meta["example_value"].shape for node in graphs[1].graph.nodes if node.users]
    assert any(list(size) == [6, 3] and type(size[0]) is int for size in sizes)


def test_what_is_no_graph_is_an_error(graphs: Graphs) -> None:
    """It never runs eagerly in silence."""

    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum().item() > 0 else -x

    network = Branching()
    compile_networks([network], backend=graphs)
    with pytest.raises(Exception, match=r"(?i)data.dependent"):
        network(torch.ones(3))


def test_the_code_is_kept_in_the_cache_of_genbench(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    name, shared = "TORCHINDUCTOR_CACHE_DIR", default_cache_dir()
    for given in (None, shared, str(tmp_path / "mine")):
        if given is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, given)
        compile_networks([Counted()], backend=graphs)
        expected = tmp_path / ("inductor" if given in (None, shared) else "mine")
        assert os.environ[name] == str(expected)


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler("cpu")
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(UsageError, match=r"^compile: torch.compile needs a C\+\+ compiler, and"):
        require_compiler("cpu")


def test_without_dynamo_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._dynamo.eval_frame.is_dynamo_supported", lambda: False)
    with pytest.raises(UsageError, match="does not support this Python"):
        require_compiler("cpu")


def test_a_model_says_why_not() -> None:
    class Twice(nn.Module):
        eager_only = "its loss is differentiated twice"

    require_compilable("model 'plain'", nn.Module())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^entry 'A' cannot be compiled: its loss is diff"):
        require_compilable("entry 'A'", Twice())  # type: ignore[arg-type]
