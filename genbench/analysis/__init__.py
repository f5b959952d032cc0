"""Records → what they say: comparisons, verdicts, standings, as documents for any renderer."""
