"""Server information, health checks and metrics."""
