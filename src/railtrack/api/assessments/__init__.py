"""Assessments of traces: feedback, expectations, and references to issues."""
