"""Values that are too long or too great, about which MLflow leaves the word to the database."""

from typing import Any

from tests.compat.differences.listed import because
from tests.compat.ours import Ours, Response, accepted, edited, refused

NO_SUCH_EXPERIMENT = refused(
    "No Experiment with id=999999999999999999999999999999 exists", "RESOURCE_DOES_NOT_EXIST", 404
)


def too_long(name: str, limit: int) -> Ours:
    return refused(f"'{name}' exceeds the maximum length of {limit} characters")


def where_refused(ours: Ours) -> Ours:
    """Ours on the engine on which MLflow refuses; on the other what MLflow answers."""

    def response(request: dict[str, Any], theirs: Response) -> Response:
        return ours(request, theirs) if theirs["status"] >= 400 else theirs

    return response


def truncated(request: dict[str, Any], theirs: Response) -> Response:
    """The new run with its tag cut to 8,000 characters, as set-tag does it; PostgreSQL's column holds no more."""
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
    "PostgreSQL's columns have lengths that SQLite's don't keep to; MLflow shows the SQL that failed.",
    {
        "columns_too_long": {
            (
                "an experiment name of 257 characters",
                "a location of 257 characters",
                "a new experiment name of 257 characters",
            ): where_refused(
                refused(
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
    "SQLite's driver refuses numbers over 64 bits, with a 500; they are ids that no experiment has.",
    {
        "experiments_read": {"an id over 64 bits": NO_SUCH_EXPERIMENT},
        "runs_create": {"an experiment id over 64 bits": NO_SUCH_EXPERIMENT},
        "search_runs_pages": {"experiment ids: over 64 bits": accepted({})},
    },
)

because(
    "SQLite takes a negative limit for none, PostgreSQL refuses it and MLflow shows the SQL.",
    {
        "metrics_bulk": {
            "with a negative limit": refused(
                "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer."
            ),
        },
    },
)
