"""Datasets and models that runs read and write."""
