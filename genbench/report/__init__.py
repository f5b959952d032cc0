"""One self-contained HTML page."""

from __future__ import annotations

from genbench.report.page import write_report

__all__ = ["write_report"]
