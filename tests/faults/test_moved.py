"""An output folder that is moved while a run is under way."""

from __future__ import annotations

from pathlib import Path

import pytest
from corridor import SUITE, call, comparable, in_this_process

MOVER = """
import pathlib
from genbench import registry

def mover(spec, *, out="", to=""):
    model = registry.models.get("toy")(spec)
    losses = model.losses

    def moving(batch, progress):
        if pathlib.Path(out).exists() and not pathlib.Path(to).exists():
            pathlib.Path(out).rename(to)
        yield from losses(batch, progress)

    model.losses = moving
    return model

registry.models.add("mover", mover)
"""


@pytest.mark.parametrize("back", [False, True])
def test_a_run_goes_on_from_either_place(back: bool, tmp_path: Path) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    plugin, suite = tmp_path / f"mover{back}.py", tmp_path / "toys.toml"
    plugin.write_text(MOVER.replace('"mover"', f'"mover-{back}"'), encoding="utf-8")
    options = f'model = "mover-{back}"\noptions = {{ out = "{out}", to = "{moved}" }}'
    suite.write_text(SUITE.replace('model = "toy"', options, 1), encoding="utf-8")
    command = ["run", suite, "--plugin", plugin, "--out"]
    with in_this_process():
        stopped = call(*command, out)
        assert stopped.exit_code != 0
        assert stopped.stderr.count("was moved or removed while genbench wrote into it") == 1
        assert not out.exists()
        if back:
            moved.rename(out)
            moved.mkdir()  # so that it is not moved again
        gone_on = call(*command, out if back else moved)
        assert gone_on.exit_code == 0, gone_on.output
        whole = call(*command, tmp_path / "whole")
    assert whole.exit_code == 0
    assert comparable(out if back else moved) == comparable(tmp_path / "whole")
