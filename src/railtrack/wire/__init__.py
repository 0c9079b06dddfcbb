"""HTTP and MLflow's JSON rules: routes, requests, answers. No resource is named in here."""
