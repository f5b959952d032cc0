"""Samples → features, by fixed weights, one file an extractor.

Each has the name of its resize rule, ``resize``, which is part of the protocol (``"none"``: it does
not resize).
Networks run in full float32 precision, convolutions and matrix products alike, so that features
agree between devices.
"""
