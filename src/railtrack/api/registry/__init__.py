"""The model registry: registered models, their versions, tags, aliases and stages; prompts, which are kept as such."""
