"""Runs: their life cycle, what is logged to them, and the search for them."""
