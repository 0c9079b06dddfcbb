"""HTTP and MLflow's JSON rules: routes, requests, responses. No module here names a resource."""
