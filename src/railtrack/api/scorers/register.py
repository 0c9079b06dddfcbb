"""scorers/register and delete."""

from typing import Any
from uuid import uuid4

import msgspec

from railtrack.api.experiments.queries import lock_active
from railtrack.api.scorers.queries import no_such_scorer
from railtrack.auth import SCORER_DELETE, SCORER_REGISTER
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db.sql import bind
from railtrack.errors import invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.validation import check_length
from railtrack.wire.json_limits import load_limited_json
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 256
SERIALIZED_LIMIT = 1_000_000
"""Characters of a serialized scorer: a list shows all of them whole."""
GATEWAY = "gateway:/"
WITH_MODEL = ("instructions_judge_pydantic_data", "builtin_scorer_pydantic_data")
CUSTOM_SCORER = (
    "Custom scorer registration (using @scorer decorator) is disabled by default "
    "outside of Databricks tracking environments due to security concerns. "
    "Custom scorers require arbitrary code execution during deserialization.\n\n"
    "To use custom scorers:\n"
    "1. Configure MLflow to use a Databricks tracking URI, or\n"
    "2. Manage your custom scorer code in a source code repository (e.g., GitHub) and import it directly, or\n"
    "3. On a self-managed MLflow server (or local environment) that you trust to run the scorer's code, set the "
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS environment variable to true, or\n"
    "4. Use built-in scorers or make_judge() scorers instead."
)


class RegisterScorer(Request):
    experiment_id: RequiredStr
    name: RequiredStr
    serialized_scorer: RequiredStr


class RegisterScorerResponse(msgspec.Struct):
    version: int
    scorer_id: str
    experiment_id: str
    name: str
    serialized_scorer: str
    creation_time: int


@endpoint("POST", "scorers/register", access=SCORER_REGISTER, api="3.0")
async def register_scorer(ctx: Context, req: RegisterScorer) -> RegisterScorerResponse:
    """Add a version of a scorer, and create the scorer with the first one.

    As in MLflow, scorers with code are rejected, because clients run it when they load them.
    """
    check_length("serialized_scorer", req.serialized_scorer, SERIALIZED_LIMIT)
    _check_serialized(req.serialized_scorer)
    if not req.name.strip():
        raise invalid("Scorer name cannot be empty or contain only whitespace.")
    check_length("name", req.name, NAME_LIMIT)
    number, now = experiment_number(req.experiment_id), now_ms()
    async with ctx.db.write() as tx:
        await lock_active(tx, number)  # and so one request at a time counts versions
        scorer_id: str | None = await tx.fetch_value(
            "SELECT scorer_id FROM scorers WHERE experiment_id = $1 AND scorer_name = $2", number, req.name
        )
        if scorer_id is None:
            scorer_id = str(uuid4())
            await tx.execute(
                "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) VALUES ($1, $2, $3)",
                number,
                req.name,
                scorer_id,
            )
        version = await tx.fetch_value(
            *bind(
                """
                INSERT INTO scorer_versions (scorer_id, scorer_version, serialized_scorer, creation_time)
                SELECT CAST(:scorer_id AS TEXT), COALESCE(MAX(scorer_version), 0) + 1, CAST(:serialized AS TEXT),
                    CAST(:now AS BIGINT)
                FROM scorer_versions WHERE scorer_id = CAST(:scorer_id AS TEXT)
                RETURNING scorer_version
                """,
                scorer_id=scorer_id,
                serialized=req.serialized_scorer,
                now=now,
            )
        )
    return RegisterScorerResponse(version, scorer_id, str(number), req.name, req.serialized_scorer, now)


def _check_serialized(text: str) -> None:
    try:
        scorer = load_limited_json(text)
    except ValueError:
        raise invalid("serialized_scorer must be valid JSON") from None
    if not isinstance(scorer, dict):
        raise invalid("serialized_scorer must be a JSON object")
    if _has_code(scorer):
        raise invalid(CUSTOM_SCORER)
    model = _model_of(scorer)
    if model is None:
        return
    if not isinstance(model, str):
        raise invalid(f"Scorer model must be a string, got {type(model).__name__}.")
    if not model.strip():
        raise invalid("Scorer model cannot be empty or contain only whitespace.")
    if model.startswith(GATEWAY):  # this server has no gateway, and so none of its endpoints
        raise not_found(f"GatewayEndpoint not found (name='{model.removeprefix(GATEWAY)[:250]}')")


def _has_code(value: Any) -> bool:
    """Return whether a serialized scorer, or one inside of it, is a function with its source code."""
    if isinstance(value, dict):
        return ("call_source" in value and value["call_source"] is not None) or any(map(_has_code, value.values()))
    return isinstance(value, list) and any(map(_has_code, value))


def _model_of(scorer: dict[str, Any]) -> Any:
    """Return the model of a judge, None for other scorers."""
    for member in WITH_MODEL:
        if isinstance(data := scorer.get(member), dict) and data:
            return data.get("model")
    if isinstance(memory := scorer.get("memory_augmented_judge_data"), dict):
        base = memory.get("base_judge")
        return _model_of(base) if isinstance(base, dict) else None
    third_party = scorer.get("third_party_scorer_data")
    return third_party.get("model") if isinstance(third_party, dict) else None


class DeleteScorer(Request):
    experiment_id: RequiredStr
    name: RequiredStr
    version: Int32 | None = None


@endpoint("DELETE", "scorers/delete", access=SCORER_DELETE, api="3.0")
async def delete_scorer(ctx: Context, req: DeleteScorer) -> EmptyResponse:
    """Delete a version of a scorer, or without one the scorer with all its versions."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.write() as tx:
        await lock_active(tx, number)
        scorer_id = await tx.fetch_value(
            "SELECT scorer_id FROM scorers WHERE experiment_id = $1 AND scorer_name = $2", number, req.name
        )
        if scorer_id is None:
            raise no_such_scorer(number, req.name)
        deleted = await tx.execute(
            "DELETE FROM scorer_versions WHERE scorer_id = $1 "
            "AND scorer_version = COALESCE(CAST($2 AS INTEGER), scorer_version)",
            scorer_id,
            req.version,
        )
        if not deleted:
            raise no_such_scorer(number, req.name, req.version)
        if req.version is None:
            await tx.execute("DELETE FROM scorers WHERE scorer_id = $1", scorer_id)
        await ctx.audit(tx, "scorer", f"{number}/{req.name}")
        tx.set_commit_check(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM scorer_versions WHERE scorer_id = $1 "
            "AND scorer_version = COALESCE(CAST($2 AS INTEGER), scorer_version))",
            scorer_id,
            req.version,
        )
    return EMPTY_RESPONSE
