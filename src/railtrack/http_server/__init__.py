"""What serves the application: gunicorn's processes (processes.py) and our own HTTP/1.1 (connection.py and below)."""
