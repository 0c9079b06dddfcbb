"""Roles: their permissions, and the users who have them. The rules are MLflow's (docs/access.md)."""
