"""Traces. This version returns empty results for a database without them, and none for one that has any."""
