"""Serve the application: gunicorn's processes (processes.py), uvicorn's HTTP/1.1 connections (governed_protocol.py)."""
