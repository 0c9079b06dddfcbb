"""MLflow's web interface."""
