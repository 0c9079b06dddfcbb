"""Logged models: models that a run or a script has saved, whether they are registered or not."""
