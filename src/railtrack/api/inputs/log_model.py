"""runs/log-model: the models of a run as clients before MLflow 3 log them, in a tag of the run."""

import json
from datetime import UTC, datetime
from typing import Any

from railtrack.api.runs.queries import check_active, load_info
from railtrack.auth import RUN_EDIT
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.validation import TAG_VALUE_LIMIT, check_length
from railtrack.wire.json_limits import load_limited_json
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

LOG_MODEL_HISTORY = "mlflow.log-model.history"
HISTORY_LIMIT = {"postgresql": TAG_VALUE_LIMIT, "sqlite": 100_000}
"""Characters. PostgreSQL's column has no room for more; MLflow on SQLite has no limit."""
MODEL_FIELDS = ("artifact_path", "flavors", "run_id", "utc_time_created")


class LogModel(Request):
    run_id: RequiredStr
    model_json: RequiredStr


@endpoint("POST", "runs/log-model", access=RUN_EDIT)
async def log_model(ctx: Context, req: LogModel) -> EmptyResponse:
    """Append a model to the list in a tag of the run: how clients before MLflow 3 record which models a run made."""
    entry = _history_entry(_model(req.model_json))
    async with ctx.db.write() as tx:
        # Each request rewrites the whole list, so two requests for one run need the lock.
        await tx.execute("SELECT 1 FROM runs WHERE run_uuid = $1 FOR NO KEY UPDATE", req.run_id)
        check_active(await load_info(tx, req.run_id))
        history = await tx.fetch_value(
            "SELECT value FROM tags WHERE run_uuid = $1 AND key = $2", req.run_id, LOG_MODEL_HISTORY
        )
        value = json.dumps([*_history(history), entry])
        check_length(LOG_MODEL_HISTORY, value, HISTORY_LIMIT[tx.engine])
        await tx.execute(
            """
            INSERT INTO tags (run_uuid, key, value) VALUES ($1, $2, $3)
            ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
            """,
            req.run_id,
            LOG_MODEL_HISTORY,
            value,
        )
        tx.set_commit_check(
            "SELECT 1 FROM tags WHERE run_uuid = $1 AND key = $2 AND strpos(value, $3) > 0",
            req.run_id,
            LOG_MODEL_HISTORY,
            json.dumps(entry),
        )
    return EMPTY_RESPONSE


def _model(text: str) -> dict[str, Any]:
    try:
        model = load_limited_json(text)
    except ValueError:
        raise invalid(f"Malformed model info. \n {text[:1000]} \n is not a valid JSON.") from None
    if not isinstance(model, dict):
        raise invalid(f"Malformed model info. \n {text[:1000]} \n is not a JSON object.")
    if missing := [repr(field) for field in MODEL_FIELDS if field not in model]:
        raise invalid(f"Model json is missing mandatory fields: {{{', '.join(missing)}}}")
    return model


def _history_entry(model: dict[str, Any]) -> dict[str, Any]:
    """Return what MLflow keeps of a model: no signature, and flavors without their configuration."""
    flavors = {} if model["flavors"] is None else model["flavors"]
    if not isinstance(flavors, dict):
        raise invalid("Malformed model info: 'flavors' is not a JSON object.")
    kept = {
        "run_id": model["run_id"],
        "artifact_path": model["artifact_path"],
        "utc_time_created": str(model["utc_time_created"] or datetime.now(UTC).replace(tzinfo=None)),
        "model_uuid": model.get("model_uuid"),
        "flavors": {
            name: {field: value for field, value in flavor.items() if field != "config"}
            if isinstance(flavor, dict)
            else flavor
            for name, flavor in flavors.items()
        },
    }
    return {field: value for field, value in kept.items() if field != "artifact_path" or value is not None}


def _history(value: str | None) -> list[Any]:
    """Return the list in the tag. Raise if a client has set the tag to something else."""
    try:
        history = load_limited_json(value) if value else []
    except ValueError:
        history = None
    if not isinstance(history, list):
        raise invalid(f"The tag {LOG_MODEL_HISTORY} of the run is not a list of models.")
    return history
