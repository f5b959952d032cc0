"""Records → documents for any renderer: comparisons, verdicts, standings."""
