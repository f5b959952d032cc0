"""Contestants whose weights are given: sampled, never trained.

They are a package of their own, since the packages that they need, and their versions, are part of
the identity of what they draw, and shall not be part of that of ``baselines``.
"""
