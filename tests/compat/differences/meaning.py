"""Differences in meaning: requests that Railtrack interprets differently, or rejects for another reason or message."""

from typing import Any

from tests.compat.differences.registry import because
from tests.compat.overrides import SEE, Override, Response, accepted, edited, missing, recoded, rejected

NO_ID = accepted(
    {
        "data": {"mlflowGetExperiment": None},
        "errors": ["Invalid experiment ID ''. Experiment ID must be a valid integer."],
    }
)
UNKNOWN_MODEL = rejected(
    "Logged model with ID 'm-0123456789abcdef0123456789abcdef' not found.", "RESOURCE_DOES_NOT_EXIST", 404
)
TRAVERSAL = rejected("'artifact_location' URL can't include '..' segments.")
LARGEST = 1.7976931348623157e308


def taken(name: str) -> Override:
    return rejected(f"Experiment(name=<prefix>{name}) already exists.", "RESOURCE_ALREADY_EXISTS")


def twice(key: str, owner: str) -> Override:
    return rejected(f"Duplicate tag key '{key}': {owner} has one value for each tag.")


def stray(*clauses: str) -> Override:
    return rejected("Invalid clause(s) in filter string: " + ", ".join(f"'{clause}'" for clause in clauses))


def no_model_info(text: str) -> Override:
    return rejected(f"Malformed model info. \n {text} \n is not a JSON object.")


def host_addressed(scheme: str) -> Override:
    return rejected(
        f"'artifact_location' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the "
        "tracking server's configured artifact storage, so the server would connect to the host named in the URI."
    )


def created(name: str) -> Override:
    """Expect a new run of this name without other tags, where MLflow responds with a database error."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        exchange = "a name and an empty tag" if name == "by field" else "an empty tag"
        run_id, experiment_id = f"<id: {exchange}>", request["body"]["experiment_id"]
        info = {
            "run_uuid": run_id,
            "run_id": run_id,
            "experiment_id": experiment_id,
            "run_name": name,
            "user_id": "",
            "status": "RUNNING",
            "start_time": request["body"]["start_time"],
            "artifact_uri": f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts",
            "lifecycle_stage": "active",
        }
        tags = [{"key": "mlflow.runName", "value": name}]
        return {"status": 200, "json": {"run": {"info": info, "data": {"tags": tags}, "inputs": {}}}}

    return ours


def as_sent(response: Response) -> None:
    """Restore the points as sent. MLflow stored 0.0 at step and time 0."""
    sent = {"literal NaN": "NaN", "literal Infinity": LARGEST, "literal -Infinity": -LARGEST, "literal 1e999": LARGEST}
    for metric in response["json"]["run"]["data"]["metrics"]:
        if metric["key"] in sent:
            metric.update(value=sent[metric["key"]], timestamp=1)
        if metric["key"] == "value nan":
            metric.update(value="NaN", timestamp=1_700_000_000_000, step=1)


because(
    "Bare NaN and infinities, and `nan` in small letters, make MLflow's parser drop the rest of the request; Python's "
    "json module writes the former.",
    {"log_metric": {"the run after the metrics": edited(as_sent)}},
)

because(
    "The same error without the failed SQL, and with one code in all endpoints.",
    {
        "experiments_create": {
            "the same name again": taken("plain"),
            "the same tag twice": twice("k", "an experiment"),
        },
        "experiments_update": {"a name that is taken": taken("second")},
        "experiments_delete_and_restore": {"a new one by the deleted name": taken("gone")},
        "log_metric_rejected": {"a model id": UNKNOWN_MODEL},
        "log_batch_models_and_data": {"a model that is not there": UNKNOWN_MODEL},
        "runs_create": {
            ("no experiment_id", "experiment_id is null", "experiment_id is empty"): missing("experiment_id"),
        },
        "runs_names_and_tags": {
            ("the same tag twice", "the same tag twice with one value"): twice("k", "a run"),
            "the name's tag twice": twice("mlflow.runName", "a run"),
        },
        "datasets_models": {
            "it comes out at another step": rejected(
                'The model "m-0123456789abcdef0123456789abcdef" is an output of the run <id: given the run models> '
                "already, of step 3.",
                "BAD_REQUEST",
            ),
        },
    },
)

because(
    "MLflow fails on its own duplicate of the tag; an empty tag counts as absent, as an empty name does.",
    {
        "runs_names_and_tags": {
            "a name and an empty tag": created("by field"),
            "an empty tag": created("<name: an empty tag>"),
        },
    },
)

because(
    "Requests are idempotent, because clients retry.",
    {"datasets_models": {("it comes out again", "a model out with an empty id"): accepted({})}},
)

because(
    "The fault is in the request, not in the server.",
    {
        "experiments_delete_and_restore": {"rename the deleted one": recoded("INVALID_STATE", 400)},
        "log_model": {
            "a model_json a list": no_model_info("[]"),
            "a model_json a number": no_model_info("3"),
            "a model_json null": no_model_info("null"),
            "a model_json with flavors that are a list": rejected(
                "Malformed model info: 'flavors' is not a JSON object."
            ),
        },
        "search_runs_order": {
            "order by ['attributes.status', 'attributes.run_name DESC']": recoded("INVALID_PARAMETER_VALUE", 400),
            "order by ['metrics.loss', 'metrics.loss DESC']": recoded("INVALID_PARAMETER_VALUE", 400),
        },
    },
)

because(
    "null counts as an absent field in all endpoints.",
    {
        "log_batch_contents": {"null lists": accepted({})},
        "search_runs_pages": {"max_results: null": accepted({"runs": ["100%", "Beta", "alpha", "gamma_1", "델타"]})},
    },
)

because(
    "`run_uuid` is an alias of `run_id` wherever it is accepted; MLflow accepts it here, but then looks for a run "
    "without id.",
    {
        "log_batch_contents": {"by the old name": accepted({})},
        "delete_tag": {
            "by the old name of the run": rejected(
                "No tag with name: never in run with id <id: given the run tags>", "RESOURCE_DOES_NOT_EXIST", 404
            ),
        },
        "runs_delete_and_restore": {
            ("delete by the old name only", "restore by the old name only"): accepted({}),
        },
    },
)

because(
    "log-inputs is newer than `run_uuid`, and has no such field.",
    {"datasets_inputs": {"by the old name": missing("run_id")}},
)

because(
    "A missing parameter is reported as missing, not as the run `None`.",
    {"artifacts_of_runs": {("get of no run", "get of an empty run"): missing("run_id")}},
)

because(
    "A tag without a key cannot be set, searched or deleted.",
    {"runs_names_and_tags": {("a tag without key", "a tag with an empty key"): missing("tags[0].key")}},
)

because(
    "The response has the id of the experiment, where MLflow repeats the blank of the request.",
    {
        "runs_create": {
            "an experiment id with a blank": edited(
                lambda response: response["json"]["run"]["info"].update(
                    experiment_id="<experiment: given the experiment runs>"
                )
            ),
        },
    },
)

because(
    "MLflow treats an empty id as the id of the experiment Default.",
    {
        "graphql_pages": {
            ("an experiment with an empty id", "an experiment without an id", "an experiment whose id is null"): NO_ID,
        },
    },
)

because(
    "MLflow fails to parse the view type, which its REST endpoint accepts.",
    {
        "graphql_searches": {
            "deleted runs": accepted(
                {
                    "data": {
                        "mlflowSearchRuns": {
                            "apiError": None,
                            "nextPageToken": "",
                            "runs": [],
                            "__typename": "MlflowSearchRunsResponse",
                        }
                    },
                    "errors": None,
                }
            ),
        },
    },
)

because(
    "GraphQL rejects the same values as the REST endpoint.",
    {
        "graphql_searches": {
            f"metrics without {what}": accepted(
                {
                    "data": {"mlflowGetMetricHistoryBulkInterval": None},
                    "errors": [f"Missing value for required parameter '{name}'. {SEE}"],
                }
            )
            for what, name in (("a key", "metric_key"), ("runs", "run_ids"))
        },
    },
)

because(
    "The field exists only for MLflow's own tests.",
    {
        "graphql_rejections": {
            "a short query": accepted({"data": None, "errors": ["Cannot query field 'test' on type 'Query'."]}),
        },
    },
)

because(
    "MLflow stores locations with path traversal, and validates only on reads.",
    {"experiments_locations": {"a location that climbs, *": TRAVERSAL}},
)

because(
    "Railtrack has no setting to allow it.",
    {
        "experiments_locations": {
            "a location in the proxied store with two slashes": host_addressed("mlflow-artifacts"),
            "a location over http": host_addressed("https"),
        },
    },
)

because(
    "PostgreSQL rejects a pattern that ends in a backslash, and MLflow shows the statement.",
    {
        "search_runs_texts": {
            (
                r'''filter "tags.path LIKE 'en%\\'"''',
                r'''filter "tags.path ILIKE 'EN%\\'"''',
            ): accepted({"runs": ["run6"]}),
        },
    },
)

because(
    "The same error with another message, because the parser splits the filter into other tokens.",
    {
        "search_runs_texts": {"filter 'metrics .lead > 1'": stray("metrics")},
        "search_experiments_filters": {
            "filter 'nonsense nonsense'": rejected("Invalid clause(s) in filter string: nonsense, nonsense"),
        },
        "search_runs_bad_filters": {
            "filter 'metrics.loss > 0.3 -- comment'": stray("--", "comment"),
            "filter '.loss > 0.3'": rejected("Invalid comparison clause. Expected 'Identifier' found '.loss'"),
            "filter \"🚀 = '🚀'\"": rejected("Invalid comparison clause. Expected 'Identifier' found '🚀'"),
            "filter \"params.lr = 'a', params.opt = 'b'\"": stray(","),
        },
    },
)

because(
    "Railtrack serves neither the gateway nor uploads that bypass the server.",
    {
        "server": {
            "server-info*": edited(
                lambda response: response["json"].update(
                    presigned_upload_run_id_supported=False,
                    presigned_upload_model_id_supported=False,
                    model_artifact_presigned_downloads_supported=False,
                    features_enabled={"gateway": False, "scheduled_issue_detection": False},
                )
            ),
        },
    },
)

because(
    "The pages request it at every step, and each 404 is an error in the browser's console.",
    {"server": {"the signed-in user": accepted({})}},
)
