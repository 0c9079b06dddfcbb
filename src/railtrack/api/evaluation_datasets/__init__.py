"""Evaluation datasets. As with traces, this version serves none."""
