"""Label schemas: the questions that reviewers answer about the traces of an experiment."""
