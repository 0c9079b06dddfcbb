"""Runs: their lifecycle, logging to them, and their search."""
