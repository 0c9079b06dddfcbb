"""Metric histories and samples."""
