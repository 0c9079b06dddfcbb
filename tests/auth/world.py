"""What the access tests request: an experiment, a run, a logged model, a model and a prompt of an administrator.

`examples` has a valid request for each endpoint.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.client import Client

from railtrack.db import Db


class World(NamedTuple):
    """Ids of things that an administrator created."""

    experiment_id: str
    other_experiment_id: str
    run_id: str
    model_id: str
    webhook_id: str
    file: str
    """The path of an artifact of the run, below the artifact proxy."""
    trace_id: str
    assessment_id: str
    dataset_id: str
    issue_id: str
    schema_id: str
    queue_id: str
    """Of a queue, whose users include `rea`."""


MODEL = "detector"
PROMPT = "greeting"
JSON = {"content-type": "application/json"}


async def create_world(server: Client, db: Db, headers: Mapping[str, str]) -> World:
    async def post(path: str, json: Any) -> Any:
        response = await server.post(path, json, headers=headers)
        assert response.status == 200, response.text
        return response.json

    experiment_id = (await post("experiments/create", {"name": "theirs"}))["experiment_id"]
    other = (await post("experiments/create", {"name": "others"}))["experiment_id"]
    run_id = (await post("runs/create", {"experiment_id": experiment_id}))["run"]["info"]["run_id"]
    await post("runs/log-metric", {"run_id": run_id, "key": "loss", "value": 1, "timestamp": 1})
    model = await post("logged-models", {"experiment_id": experiment_id, "name": "net", "source_run_id": run_id})
    await post("registered-models/create", {"name": MODEL})
    source = f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts/model"
    await post("model-versions/create", {"name": MODEL, "source": source, "run_id": run_id})
    await post("registered-models/alias", {"name": MODEL, "alias": "champion", "version": "1"})
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    await post("registered-models/create", {"name": PROMPT, "tags": [tag]})
    await post("model-versions/create", {"name": PROMPT, "source": "dummy-source", "tags": [tag]})
    event = {"entity": "PROMPT_ALIAS", "action": "CREATED"}
    webhook = await post("webhooks", {"name": "hook", "url": "https://1.1.1.1/", "events": [event]})
    file = f"{experiment_id}/{run_id}/artifacts/model/weights.bin"
    response = await server.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{file}", body=b"w", headers=headers)
    assert response.status == 200, response.text
    await db.execute(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation) "
        "VALUES ('tr-1', $1, 1, 'OK', 0)",
        int(experiment_id),
    )
    feedback = {"assessment": {"assessment_name": "good", "feedback": {"value": True}}}
    assessment = await post("/api/3.0/mlflow/traces/tr-1/assessments", feedback)
    dataset = await post("/api/3.0/mlflow/datasets/create", {"name": "golden", "experiment_ids": [experiment_id]})
    scorer = {"experiment_id": experiment_id, "name": "good", "serialized_scorer": '{"name": "good"}'}
    await post("/api/3.0/mlflow/scorers/register", scorer)
    issue = {"experiment_id": experiment_id, "name": "wrong", "description": "answers are wrong"}
    found = await post("/api/3.0/mlflow/issues", issue)
    schema = {"experiment_id": experiment_id, "name": "good", "type": "FEEDBACK", "input": {"text": {}}}
    question = await post("/api/3.0/mlflow/label-schemas/create", schema)
    queue = {"experiment_id": experiment_id, "name": "nightly", "queue_type": "CUSTOM", "users": ["rea", "ada"]}
    reviews = await post("/api/3.0/mlflow/review-queues/create", queue)
    return World(
        experiment_id,
        other,
        run_id,
        model["model"]["info"]["model_id"],
        webhook["webhook"]["webhook_id"],
        file,
        "tr-1",
        assessment["assessment"]["assessment_id"],
        dataset["dataset"]["dataset_id"],
        found["issue"]["issue_id"],
        question["label_schema"]["schema_id"],
        reviews["review_queue"]["queue_id"],
    )


class Example(NamedTuple):
    """A request for an endpoint: values of the parameters in its path, and its query or JSON body."""

    fields: Mapping[str, Any] = {}
    path: Mapping[str, str] = {}
    body: bytes = b""
    headers: Mapping[str, str] = {}


def examples(world: World) -> dict[str, Example]:
    """Return a valid request for each endpoint that needs more than a login, by method and path without prefix."""
    on_experiment = Example({"experiment_id": world.experiment_id})
    on_experiments = Example({"experiment_ids": [world.experiment_id]})
    on_run = Example({"run_id": world.run_id})
    on_model = Example({"name": MODEL})
    on_version = Example({"name": MODEL, "version": "1"})
    on_logged_model = Example(path={"model_id": world.model_id})
    on_webhook = Example(path={"webhook_id": world.webhook_id})
    on_file = Example(path={"path": world.file})
    folder, _, name = world.file.rpartition("/")
    upload = Example({"path": name, "num_parts": 1, "parts": [{"part_number": 1, "etag": "e"}], "upload_id": "u"})
    on_upload = upload._replace(path={"folder": folder})
    on_trace = Example(path={"trace_id": world.trace_id})
    on_assessment = Example(path={"trace_id": world.trace_id, "assessment_id": world.assessment_id})
    on_schema = Example({"schema_id": world.schema_id})
    on_queue = Example({"queue_id": world.queue_id})
    on_issue = Example(path={"issue_id": world.issue_id})
    on_dataset = Example(path={"dataset_id": world.dataset_id})
    feedback = {"assessment_name": "good", "feedback": {"value": True}}
    point = {"key": "loss", "value": 1.0, "timestamp": 2}

    def of(example: Example, **fields: Any) -> Example:
        return example._replace(fields={**example.fields, **fields})

    on_scorer = of(on_experiment, name="good")

    mlflow = {
        "POST experiments/create": Example({"name": "mine"}),
        "GET experiments/get": on_experiment,
        "GET experiments/get-by-name": Example({"experiment_name": "theirs"}),
        "POST experiments/update": of(on_experiment, new_name="theirs"),
        "POST experiments/delete": on_experiment,
        "POST experiments/restore": on_experiment,
        "POST experiments/set-experiment-tag": of(on_experiment, key="k", value="v"),
        "POST experiments/delete-experiment-tag": of(on_experiment, key="k"),
        "POST experiments/search-datasets": on_experiments,
        "POST experiments/search": Example({"max_results": 10}),
        "GET experiments/search": Example({"max_results": 10}),
        "POST runs/create": on_experiment,
        "GET runs/get": on_run,
        "POST runs/update": on_run,
        "POST runs/delete": on_run,
        "POST runs/restore": on_run,
        "POST runs/search": on_experiments,
        "POST runs/log-metric": of(on_run, **point),
        "POST runs/log-parameter": of(on_run, key="p", value="1"),
        "POST runs/set-tag": of(on_run, key="t", value="1"),
        "POST runs/delete-tag": of(on_run, key="t"),
        "POST runs/log-batch": of(on_run, metrics=[point]),
        "POST runs/log-inputs": of(on_run, models=[{"model_id": world.model_id}]),
        "POST runs/outputs": of(on_run, models=[{"model_id": world.model_id, "step": 0}]),
        "POST runs/log-model": of(
            on_run, model_json='{"artifact_path":"a","flavors":{},"run_id":"r","utc_time_created":"t"}'
        ),
        "GET metrics/get-history": of(on_run, metric_key="loss"),
        "GET metrics/get-history-bulk": of(on_run, metric_key="loss"),
        "GET metrics/get-history-bulk-interval": Example({"run_ids": [world.run_id], "metric_key": "loss"}),
        "GET artifacts/list": on_run,
        "POST artifacts/presigned-upload-url": of(on_run, path="a"),
        "POST artifacts/presigned-download-url": of(on_run, path="a"),
        "POST upload-artifact": Example({"run_uuid": world.run_id, "path": "note.txt"}, body=b"n"),
        "POST logged-models": of(on_experiment, name="mine", source_run_id=world.run_id),
        "POST logged-models/search": on_experiments,
        "GET logged-models/{model_id}": on_logged_model,
        "PATCH logged-models/{model_id}": of(on_logged_model, status="LOGGED_MODEL_READY"),
        "DELETE logged-models/{model_id}": on_logged_model,
        "POST logged-models/{model_id}/params": of(on_logged_model, params=[{"key": "a", "value": "1"}]),
        "PATCH logged-models/{model_id}/tags": of(on_logged_model, tags=[{"key": "a", "value": "1"}]),
        "DELETE logged-models/{model_id}/tags/{tag_key...}": on_logged_model._replace(
            path={"model_id": world.model_id, "tag_key": "a"}
        ),
        "GET logged-models/{model_id}/artifacts/directories": on_logged_model,
        "GET logged-models/{model_id}/artifacts/files": of(on_logged_model, artifact_file_path="a"),
        "POST registered-models/create": Example({"name": "mine"}),
        "GET registered-models/get": on_model,
        "POST registered-models/rename": of(on_model, new_name=MODEL),
        "PATCH registered-models/update": of(on_model, description="d"),
        "DELETE registered-models/delete": on_model,
        "POST registered-models/set-tag": of(on_model, key="k", value="v"),
        "DELETE registered-models/delete-tag": of(on_model, key="k"),
        "POST registered-models/alias": of(on_version, alias="a"),
        "GET registered-models/alias": of(on_model, alias="champion"),
        "DELETE registered-models/alias": of(on_model, alias="a"),
        "GET registered-models/search": Example(),
        "POST registered-models/get-latest-versions": on_model,
        "GET registered-models/get-latest-versions": on_model,
        "POST model-versions/create": of(
            on_model,
            source=f"mlflow-artifacts:/{world.experiment_id}/{world.run_id}/artifacts/model",
            run_id=world.run_id,
        ),
        "GET model-versions/get": on_version,
        "GET model-versions/get-download-uri": on_version,
        "GET model-versions/search": Example(),
        "PATCH model-versions/update": of(on_version, description="d"),
        "POST model-versions/transition-stage": of(on_version, stage="Staging"),
        "DELETE model-versions/delete": on_version,
        "POST model-versions/set-tag": of(on_version, key="k", value="v"),
        "DELETE model-versions/delete-tag": of(on_version, key="k"),
        "POST webhooks": Example(
            {"name": "w", "url": "https://1.1.1.1/", "events": [{"entity": "PROMPT", "action": "CREATED"}]}
        ),
        "GET webhooks": Example(),
        "GET webhooks/{webhook_id}": on_webhook,
        "PATCH webhooks/{webhook_id}": of(on_webhook, name="w2"),
        "POST webhooks/{webhook_id}/test": on_webhook,
        "DELETE webhooks/{webhook_id}": on_webhook,
        "GET audit-log/search": Example(),
        "POST traces/search": Example({"locations": [{"mlflow_experiment": {"experiment_id": world.experiment_id}}]}),
        "GET traces": on_experiments,
        "POST traces": of(
            on_experiment,
            timestamp_ms=1,
            trace={"trace_info": {"trace_id": "tr-2", "trace_location": {"mlflow_experiment": on_experiment.fields}}},
        ),
        "GET traces/{trace_id}": on_trace,
        "PATCH traces/{trace_id}": of(on_trace, timestamp_ms=2, status="OK"),
        "GET traces/{trace_id}/info": on_trace,
        "GET traces/get": Example({"trace_id": world.trace_id, "allow_partial": True}),
        "GET traces/batchGet": Example({"trace_ids": [world.trace_id]}),
        "POST traces/batchGetInfos": Example({"trace_ids": [world.trace_id]}),
        "PATCH traces/{trace_id}/tags": of(on_trace, key="k", value="v"),
        "DELETE traces/{trace_id}/tags": of(on_trace, key="k"),
        "POST traces/delete-traces": of(on_experiment, request_ids=["tr-none"]),
        "POST traces/link-to-run": of(on_run, trace_ids=[world.trace_id]),
        "POST traces/link-prompts": of(
            Example({"trace_id": world.trace_id}), prompt_versions=[{"name": "greeting", "version": "1"}]
        ),
        "GET get-trace-artifact": Example({"request_id": world.trace_id}),
        "POST traces/metrics": of(on_experiments, metric_name="trace_count"),
        "POST traces/{trace_id}/assessments": of(on_trace, assessment=feedback),
        "GET traces/{trace_id}/assessments/{assessment_id}": on_assessment,
        "PATCH traces/{trace_id}/assessments/{assessment_id}": of(
            on_assessment, assessment={"rationale": "r"}, update_mask="rationale"
        ),
        "DELETE traces/{trace_id}/assessments/{assessment_id}": on_assessment,
        "GET scorers/list": on_experiment,
        "POST scorers/register": of(on_scorer, name="mine", serialized_scorer='{"name": "mine"}'),
        "GET scorers/get": on_scorer,
        "GET scorers/versions": on_scorer,
        "DELETE scorers/delete": on_scorer,
        "POST label-schemas/create": of(on_experiment, name="mine", type="FEEDBACK", input={"text": {}}),
        "GET label-schemas/get": on_schema,
        "GET label-schemas/get-by-name": of(on_experiment, name="good"),
        "GET label-schemas/list": on_experiment,
        "PATCH label-schemas/update": of(on_schema, enable_comment=True),
        "DELETE label-schemas/delete": on_schema,
        "POST review-queues/create": of(on_experiment, name="mine", queue_type="CUSTOM"),
        "POST review-queues/get-or-create-user": of(on_experiment, user="rea"),
        "GET review-queues/get": on_queue,
        "GET review-queues/get-by-name": of(on_experiment, name="nightly"),
        "GET review-queues/list": on_experiment,
        "POST review-queues/update": of(on_queue, name="daily"),
        "POST review-queues/items/add": of(on_queue, item_ids=["tr-1"]),
        "GET review-queues/items/list": on_queue,
        "POST review-queues/items/set-status": of(on_queue, item_id="tr-1", status="PENDING"),
        "POST review-queues/items/remove": of(on_queue, item_ids=["tr-1"]),
        "POST review-queues/delete": on_queue,
        "POST issues": of(on_experiment, name="wrong", description="d"),
        "GET issues/{issue_id}": on_issue,
        "PATCH issues/{issue_id}": of(on_issue, status="resolved"),
        "POST issues/search": on_experiment,
        "GET workspaces": Example(),
        "POST datasets/create": of(on_experiments, name="golden"),
        "GET datasets/{dataset_id}": on_dataset,
        "DELETE datasets/{dataset_id}": on_dataset,
        "GET datasets/{dataset_id}/experiment-ids": on_dataset,
        "POST datasets/{dataset_id}/add-experiments": of(on_dataset, experiment_ids=[world.experiment_id]),
        "POST datasets/{dataset_id}/remove-experiments": on_dataset,
        "PATCH datasets/{dataset_id}/tags": of(on_dataset, tags='{"a": "b"}'),
        "DELETE datasets/{dataset_id}/tags/{key...}": on_dataset._replace(
            path={"dataset_id": world.dataset_id, "key": "a"}
        ),
        "POST datasets/{dataset_id}/records": of(on_dataset, records='[{"inputs": {"a": 1}}]'),
        "GET datasets/{dataset_id}/records": on_dataset,
        "DELETE datasets/{dataset_id}/records": on_dataset,
    }
    proxy = {
        "GET artifacts/{path...}": on_file,
        "PUT artifacts/{path...}": on_file._replace(body=b"w"),
        "DELETE artifacts/{path...}": on_file,
        "GET artifacts": Example({"path": folder}),
        "GET presigned/{path...}": on_file,
        "POST mpu/create/{folder...}": on_upload,
        "POST mpu/complete/{folder...}": on_upload,
        "POST mpu/abort/{folder...}": on_upload,
    }
    absolute = {
        "POST /v1/traces": Example(body=b"{}", headers={"x-mlflow-experiment-id": world.experiment_id} | JSON),
        "GET /account/audit": Example(),
        "GET /get-artifact": of(on_run, path="model/weights.bin"),
        "GET /model-versions/get-artifact": of(on_version, path="weights.bin"),
    }
    return mlflow | proxy | absolute
