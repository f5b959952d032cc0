"""Features → numbers (``stability``: histories → numbers), one file a score.

Each file holds the mathematics as a function over tensors, beside the ``torchmetrics.Metric`` that
gathers what the function needs. Sums are taken in float64.
"""
