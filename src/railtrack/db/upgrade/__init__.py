"""Upgrades of databases of MLflow 2.9 and later to the schema that Railtrack creates, without MLflow.

The goal is not a list of changes but a state: the tables of schema/. A plan brings the existing tables to it, and is
computed again after an interruption (postgres_plan.py, sqlite_plan.py). What no comparison of tables can know is
declared: data that moves, by the revision of MLflow that moves it (conversions.py), and objects that MLflow dropped
(dropped.py). run.py carries it out. ADR 21 has the reasons, and how a new revision of MLflow is added.
"""
