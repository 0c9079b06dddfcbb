"""Logged models: what a run or a script saved as a model, before or without its registration."""
