"""MLflow's conventions that several resources share: ids, names, validation. No endpoint, no SQL."""
