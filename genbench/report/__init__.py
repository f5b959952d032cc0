"""One self-contained HTML page; its charts as figures; strips and animations as files."""

from __future__ import annotations

from genbench.report.page import write_report
from genbench.report.plots import charts, write_plots
from genbench.report.trajectories import animation_gif, frames_writer, strip_png

__all__ = [
    "animation_gif",
    "charts",
    "frames_writer",
    "strip_png",
    "write_plots",
    "write_report",
]
