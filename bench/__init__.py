"""Speed and memory, measured on real servers and never in tests: what a run printed is a fact of its machine."""
