"""Scorers. As with traces, this version serves none."""
