"""Differences for values that are too long or too large, which MLflow leaves to the database to reject."""

from typing import Any

from tests.compat.differences.registry import because
from tests.compat.overrides import Override, Response, accepted, edited, rejected

NO_SUCH_EXPERIMENT = rejected(
    "No Experiment with id=999999999999999999999999999999 exists", "RESOURCE_DOES_NOT_EXIST", 404
)


def too_long(name: str, limit: int) -> Override:
    return rejected(f"'{name}' exceeds the maximum length of {limit} characters")


def where_rejected(ours: Override) -> Override:
    """Apply `ours` on the engine on which MLflow returns an error. Expect MLflow's response on the other."""

    def response(request: dict[str, Any], theirs: Response) -> Response:
        return ours(request, theirs) if theirs["status"] >= 400 else theirs

    return response


def truncated(request: dict[str, Any], theirs: Response) -> Response:
    """Expect the new run with its tag truncated to 8,000 characters as by set-tag, the size of PostgreSQL's column."""
    run_id, name = "<id: a new run's tag value of 8001 characters>", request["body"]["run_name"]
    experiment_id = request["body"]["experiment_id"]
    info = {
        "run_uuid": run_id,
        "run_id": run_id,
        "experiment_id": experiment_id,
        "run_name": name,
        "user_id": "",
        "status": "RUNNING",
        "start_time": 0,
        "artifact_uri": f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts",
        "lifecycle_stage": "active",
    }
    tags = [{"key": "k", "value": "<'w' * 8000>"}, {"key": "mlflow.runName", "value": name}]
    return {"status": 200, "json": {"run": {"info": info, "data": {"tags": tags}, "inputs": {}}}}


def nothing_kept(response: Response) -> None:
    run = response["json"]["run"]
    run["info"]["run_name"] = run["data"]["tags"][0]["value"] = "long"
    run["inputs"] = run["outputs"] = {}


because(
    "PostgreSQL enforces column lengths and SQLite does not; MLflow's error shows the failed SQL.",
    {
        "columns_too_long": {
            (
                "an experiment name of 257 characters",
                "a location of 257 characters",
                "a new experiment name of 257 characters",
            ): where_rejected(
                rejected(
                    "The database does not accept a value of this request: value too long for type "
                    "character varying(256)"
                )
            ),
            (
                "a run name of 251 characters",
                "a new run name of 251 characters",
                "a run name of 251 characters by its tag",
            ): too_long("run_name", 250),
            ("a new run's tag key of 251 characters", "a new run's tag key of 256 characters"): too_long("key", 250),
            "a user of 257 characters": too_long("user_id", 256),
            "a source_type of 37 characters": too_long("source_type", 36),
            "a new run's tag value of 8001 characters": truncated,
            ("a model in of 502 characters", "a model out of 502 characters"): too_long("model_id", 36),
            "the run after all": edited(nothing_kept),
        },
    },
)

because(
    "PostgreSQL's column of a tag holds 8,000 characters; MLflow's error shows the failed SQL.",
    {"log_model_many": {("model 34", "model 35"): where_rejected(too_long("mlflow.log-model.history", 8000))}},
)

because(
    "MLflow responds with 500 to numbers over 64 bits on SQLite; no experiment has such an id.",
    {
        "experiments_read": {"an id over 64 bits": NO_SUCH_EXPERIMENT},
        "runs_create": {"an experiment id over 64 bits": NO_SUCH_EXPERIMENT},
        "search_runs_pages": {"experiment ids: over 64 bits": accepted({})},
    },
)

because(
    "Railtrack stops reading a filter at its limits. MLflow reads all of it before it is rejected.",
    {"search_runs_bad_filters": {"a giant filter": rejected("Invalid filter: it has more than 1000 brackets.")}},
)

because(
    "A negative limit means no limit on SQLite; on PostgreSQL, MLflow's error shows the failed SQL.",
    {
        "metrics_bulk": {
            "with a negative limit": rejected(
                "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer."
            ),
        },
    },
)
