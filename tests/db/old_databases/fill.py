"""Run by an old MLflow's interpreter: fill a database with data of every kind that this version stores.

    python fill.py URL    creates MLflow's tables in an empty database, and fills all of them

What MLflow has a call for is stored by that call, the rest by rows of constant values. Nothing here may import
Railtrack.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import mlflow
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from packaging.version import Version

VERSION = Version(mlflow.__version__)
START_MS = 1_700_000_000_000
NAN, INFINITY = float("nan"), float("inf")

TOKENS = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, "cache_read_input_tokens": 3}
COSTS = {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}

ODD_METADATA = {
    # What MLflow's backfill of figures of traces makes of values that its own client never writes.
    "mlflow.trace.tokenUsage": ['{"input_tokens": "5"}', '{"input_tokens": 1.5, "total_tokens": null}', "[1]", "{", ""],
    "mlflow.trace.cost": ['{"input_cost": "0.5"}', '{"total_cost": 2}', "null", "{", ""],
    "mlflow.trace.session": ["s" * 300, "", "세션"],
}
"""Values of trace_request_metadata, each in another trace."""

ODD_ASSESSMENTS = ["1", "0.5", "-2e3", "true", "false", '"yes"', '"no"', '"3.5"', "null", "[1]", "{", '"YES"', "NaN"]
"""Values of assessments."""


def tracking(client: MlflowClient) -> str:
    """Log one of everything that a training run logs. Return the id of the experiment."""
    experiment = client.create_experiment("größe: 비전", "mlflow-artifacts:/1", {"team": "비전", "long": "x" * 5000})
    run_id = client.create_run(experiment, START_MS, {"mlflow.user": "kim"}, "first").info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric("loss", 0.1 + step / 7, START_MS + step, step) for step in range(20)],
        params=[Param("lr", "0.001"), Param("layers", "[64, 32]"), Param("empty", "")],
        tags=[RunTag("stage", "☃"), RunTag("long", "y" * 5000)],
    )
    for step, value in enumerate((NAN, INFINITY, -INFINITY)):
        client.log_metric(run_id, "odd", value, START_MS, step)
    client.log_metric(run_id, "nan at last", NAN, START_MS, 0)
    dataset = Dataset("images", "d1g35t", "local", json.dumps({"uri": "file:///images"}), "{}", "{}")
    client._tracking_client.store.log_inputs(run_id, [DatasetInput(dataset, [InputTag("context", "train")])])
    client.set_terminated(run_id, "FINISHED", START_MS + 99_000)
    client.delete_run(client.create_run(experiment, START_MS, {}, "deleted").info.run_id)
    client.create_run(experiment, START_MS, {}, "running")
    client.delete_experiment(client.create_experiment("deleted", "mlflow-artifacts:/2"))
    return experiment


def registry(client: MlflowClient, experiment: str) -> None:
    """Register models with all that can be attached to them."""
    (run, *_) = client.search_runs([experiment], "attributes.run_name = 'first'")
    client.create_registered_model("검출기", {"team": "비전"}, "detects")
    for number in (1, 2):
        client.create_model_version(
            "검출기", f"mlflow-artifacts:/1/m{number}", run.info.run_id, {"v": str(number)}, description="good"
        )
    client.transition_model_version_stage("검출기", "1", "Staging")
    client.set_registered_model_alias("검출기", "champion", "2")
    client.create_registered_model("empty")


def logged_models(client: MlflowClient, experiment: str) -> None:
    """Create logged models with parameters, tags and metrics, as outputs and inputs of runs."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    (run, *_) = client.search_runs([experiment], "attributes.run_name = 'first'")
    model = client.create_logged_model(
        experiment, "net", run.info.run_id, {"stage": "train"}, {"lr": "0.001"}, "pytorch"
    )
    client.log_metric(run.info.run_id, "accuracy", 0.5, START_MS, 3, model_id=model.model_id)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 3)])
    client.log_inputs(run.info.run_id, models=[LoggedModelInput(model.model_id)])
    client.finalize_logged_model(model.model_id, "READY")
    client.create_logged_model(experiment, "pending")


def traces(experiment: str) -> None:
    """Trace calls of a model, with what MLflow later derives figures from."""
    mlflow.set_experiment(experiment_id=experiment)
    client = MlflowClient()
    for number in range(3):
        with mlflow.start_span("answer") as span:
            span.set_inputs({"question": f"what is {number}?"})
            span.set_attribute("mlflow.chat.tokenUsage", TOKENS)
            if Version("3.0") <= VERSION:
                mlflow.update_current_trace(
                    tags={"asked by": "kim"}, metadata={"mlflow.trace.session": f"session {number % 2}"}
                )
            with mlflow.start_span("model", "LLM") as inner:
                inner.set_attribute("mlflow.llm.model", "gpt-x")
                inner.set_attribute("mlflow.llm.provider", "openai")
                inner.set_attribute("mlflow.llm.cost", COSTS)
                inner.set_attribute("mlflow.chat.tokenUsage", TOKENS)
                inner.set_outputs({"answer": number})
        if Version("3.0") > VERSION:
            client.set_trace_tag(span.request_id, "asked by", "kim")
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()


def assessments(experiment: str) -> None:
    """Give feedback on traces and state what was expected."""
    from mlflow.entities import AssessmentSource

    source = AssessmentSource("HUMAN", "kim")
    (trace, *_) = mlflow.search_traces(experiment_ids=[experiment], return_type="list", max_results=10)
    trace_id = trace.info.trace_id
    for name, value in {"good": True, "score": 3, "rate": 0.5, "verdict": "yes", "why": "no idea", "list": [1]}.items():
        mlflow.log_feedback(trace_id=trace_id, name=name, value=value, source=source, rationale="seen")
    mlflow.log_expectation(trace_id=trace_id, name="expected", value={"answer": 0}, source=source)


def derived_figures(connection: sa.Connection) -> None:
    """Store values in the tables of traces from which later migrations compute columns, also odd ones."""
    tables = reflected(connection)
    experiment = connection.scalar(sa.text("SELECT max(experiment_id) FROM trace_info"))
    odd = [(key, value) for key, values in ODD_METADATA.items() for value in values]
    for number, (key, value) in enumerate(odd):
        trace = {"request_id": f"tr-odd-{number:02d}", "experiment_id": experiment, "timestamp_ms": START_MS + number}
        connection.execute(tables["trace_info"].insert().values(**trace, execution_time_ms=5, status="OK"))
        metadata = tables["trace_request_metadata"].insert()
        connection.execute(metadata.values(request_id=trace["request_id"], key=key, value=value))
        tag = {
            "request_id": trace["request_id"],
            "key": "mlflow.traceName",
            "value": "t" * 5000 if number == 1 else f"name {number}",
        }
        connection.execute(tables["trace_tags"].insert().values(**tag))
    if "assessments" not in tables:
        return
    for number, value in enumerate(ODD_ASSESSMENTS):
        row = {
            "assessment_id": f"a-odd-{number:02d}",
            "trace_id": f"tr-odd-{number % len(odd):02d}",
            "name": "odd",
            "assessment_type": "feedback" if number % 3 else "expectation",
            "value": value,
            "created_timestamp": START_MS,
            "last_updated_timestamp": START_MS,
            "source_type": "HUMAN",
            "valid": True,
        }
        known = tables["assessments"].columns.keys()
        connection.execute(tables["assessments"].insert().values({k: v for k, v in row.items() if k in known}))


CONSTANTS: dict[str, list[Any]] = {
    "categories": ['["safety", "구분", "safety"]', "[]", None, '[" Tone ", "tone"]', '["한국어"]'],
    "dimension_attributes": [{"mlflow.llm.model": "gpt-x"}, None, [], {"mlflow.llm.provider": 5}],
    "lifecycle_stage": ["active", "deleted"],
    "function_fullname": ["mlflow.server.jobs.example.run", "other"],
    "job_name": ["run", "other"],
}
"""Values of columns of tables that nothing of the above fills; others get a value of their type."""


def other_tables(connection: sa.Connection) -> None:
    """Add rows to the tables that are still empty, those that others refer to first."""
    tables = reflected(connection)
    for table in sorted_tables(tables):
        count = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        if table.name == "alembic_version" or count > (1 if table.name == "workspaces" else 0):
            continue
        for number in range(5):
            connection.execute(table.insert().values(dict(row(connection, tables, table, number))))


def row(
    connection: sa.Connection, tables: dict[str, sa.Table], table: sa.Table, number: int
) -> Iterator[tuple[str, Any]]:
    """Yield a value for each column of the row of this number."""
    referred: dict[str, Any] = {}
    for key in table.foreign_key_constraints:
        target = tables[key.referred_table.name]
        columns = [element.column.name for element in key.elements]
        found = connection.execute(sa.select(*(target.c[name] for name in columns)).distinct().order_by(*columns)).all()
        values = found[number % len(found)]
        referred |= dict(zip(key.column_keys, values, strict=True))
    for column in table.columns:
        if column.computed is not None or (column.identity is not None or column.autoincrement is True):
            continue
        if column.name in referred:
            yield column.name, referred[column.name]
        elif column.name in CONSTANTS:
            values = CONSTANTS[column.name]
            yield column.name, values[number % len(values)]
        else:
            yield column.name, constant(column, number)


def constant(column: sa.Column[Any], number: int) -> Any:
    """Return a value of the column's type that differs between rows."""
    import datetime

    kind = column.type
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.Integer):
        return START_MS + number if isinstance(kind, sa.BigInteger) else number
    if isinstance(kind, (sa.Float, sa.Numeric)):
        return number / 8
    if isinstance(kind, sa.JSON):
        return {"number": number, "이름": column.name}
    if isinstance(kind, sa.Date):
        return datetime.date(2026, 1, 1 + number)
    if isinstance(kind, sa.LargeBinary):
        return bytes([number, 255])
    text = f"{column.name} {number} é"
    return text[-kind.length :] if getattr(kind, "length", None) else text


def reflected(connection: sa.Connection) -> dict[str, sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return dict(metadata.tables)


def sorted_tables(tables: dict[str, sa.Table]) -> list[sa.Table]:
    return next(iter(tables.values())).metadata.sorted_tables


def main(url: str) -> None:
    mlflow.set_tracking_uri(url)
    client = MlflowClient(url)
    experiment = tracking(client)
    registry(client, experiment)
    if Version("3.0") <= VERSION:
        logged_models(client, experiment)
    if Version("2.14") <= VERSION:
        traces(experiment)
    if Version("3.2") <= VERSION:
        assessments(experiment)
    with sa.create_engine(url).begin() as connection:
        if Version("2.14") <= VERSION:
            derived_figures(connection)
        other_tables(connection)


if __name__ == "__main__":
    main(sys.argv[1])
