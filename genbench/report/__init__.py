"""One self-contained HTML page; and strips and animations as files."""

from __future__ import annotations

from genbench.report.page import write_report
from genbench.report.trajectories import animation_gif, frames_writer, strip_png

__all__ = ["animation_gif", "frames_writer", "strip_png", "write_report"]
