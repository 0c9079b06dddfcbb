"""Experiments: their lifecycle, tags and search."""
