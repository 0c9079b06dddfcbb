"""What MLflow's migrations since 2.9 drop or rename. Other objects that are not in the schema belong to somebody else.

An upgrade keeps columns, indexes and constraints that MLflow never made.
"""

RENAMED_COLUMNS = (("jobs", "function_fullname", "job_name"),)
"""Table, name before, name now."""

DROPPED_COLUMNS = frozenset({("spans", "dimension_attributes")})

DROPPED_INDEXES = frozenset(
    {
        "index_jobs_function_status_creation_time",
        "index_spans_experiment_id",
        "unique_endpoint_model_mapping",
        "unique_endpoint_name",
        "unique_model_definition_name",
        "unique_secret_name",
    }
)

DROPPED_CONSTRAINTS = frozenset(
    {
        ("experiments", "unique", ("name",)),
        ("model_versions", "foreign key", ("name",)),
        ("registered_model_tags", "foreign key", ("name",)),
        ("registered_model_aliases", "foreign key", ("name",)),
        ("model_version_tags", "foreign key", ("name", "version")),
    }
)
"""By table, kind and columns: their names are the engine's, and differ between databases."""
