"""Railtrack: an experiment-tracking server that speaks MLflow's protocol."""

MLFLOW_VERSION = "3.17.2"
"""The version of MLflow whose protocol, database schema and web UI this server follows."""
