"""The server itself: its features, health checks and metrics."""
