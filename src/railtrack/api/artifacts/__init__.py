"""Artifacts of runs, the artifact proxy, and direct transfers between clients and the store."""
