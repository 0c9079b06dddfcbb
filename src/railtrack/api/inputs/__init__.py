"""Inputs and outputs of runs: datasets and models."""
