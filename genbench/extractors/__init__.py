"""Samples → features, by fixed weights, one file an extractor.

Each adds to the protocol the name of its resize rule, ``resize`` (``"none"``: it does not resize).
Networks run in full float32 precision, convolutions and matrix products alike, so that features
agree between devices.
"""
