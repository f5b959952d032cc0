"""Readers and writers of arrays and pictures: strict, and without pickle."""
