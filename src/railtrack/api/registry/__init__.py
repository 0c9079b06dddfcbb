"""The model registry: registered models with versions, tags, aliases and stages, and prompts in the same tables."""
