"""Scorers as stored objects with versions. Clients run them; this server runs none."""
