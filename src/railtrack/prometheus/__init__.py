"""Counters in memory that workers share, and their exposition in the Prometheus text format."""
