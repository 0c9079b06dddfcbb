"""Railtrack: an experiment-tracking server that speaks MLflow's protocol."""

MLFLOW_VERSION = "3.18.0"
"""The version of MLflow whose protocol, database schema and web UI this server follows."""
