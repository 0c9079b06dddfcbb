"""Measure speed and memory on real servers. No test runs this: results depend on the machine."""
