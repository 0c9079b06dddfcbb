"""POST /graphql: the two queries of the web UI, and other valid and invalid queries."""

from typing import Any

from tests.compat.play import Script, get, post, raw
from tests.compat.scenarios.given import NOT_A_STRING, NOWHERE, STARTED, experiment, run

GET_EXPERIMENT = """\
query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) {
    apiError {
      code
      message
      __typename
    }
    experiment {
      artifactLocation
      creationTime
      effectiveTraceArchivalRetention
      experimentId
      lastUpdateTime
      lifecycleStage
      name
      tags {
        key
        value
        __typename
      }
      __typename
    }
    __typename
  }
}
"""

GET_RUN = """\
query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError {
      helpUrl
      code
      message
      __typename
    }
    run {
      info {
        runName
        status
        runUuid
        experimentId
        artifactUri
        endTime
        lifecycleStage
        startTime
        userId
        __typename
      }
      experiment {
        experimentId
        name
        tags {
          key
          value
          __typename
        }
        artifactLocation
        lifecycleStage
        lastUpdateTime
        __typename
      }
      modelVersions {
        status
        version
        name
        source
        __typename
      }
      data {
        metrics {
          key
          value
          step
          timestamp
          __typename
        }
        params {
          key
          value
          __typename
        }
        tags {
          key
          value
          __typename
        }
        __typename
      }
      inputs {
        datasetInputs {
          dataset {
            digest
            name
            profile
            schema
            source
            sourceType
            __typename
          }
          tags {
            key
            value
            __typename
          }
          __typename
        }
        modelInputs {
          modelId
          __typename
        }
        __typename
      }
      outputs {
        modelOutputs {
          modelId
          step
          __typename
        }
        __typename
      }
      __typename
    }
    __typename
  }
}
"""


def get_experiment(**variables: Any) -> dict[str, Any]:
    name = "MlflowGetExperimentQuery"
    return {"operationName": name, "variables": {"input": variables}, "query": GET_EXPERIMENT}


def get_run(**variables: Any) -> dict[str, Any]:
    return {"operationName": "GetRun", "variables": {"data": variables}, "query": GET_RUN}


def pages(prefix: str) -> Script:
    tags = [{"key": "team", "value": "vision"}]
    made = yield post("given an experiment", "experiments/create", {"name": prefix + "graphql", "tags": tags})
    experiment_id = made.at("experiment_id")
    path = "/graphql"
    yield post("the experiment", path, get_experiment(experimentId=experiment_id))
    yield post("an experiment that is not there", path, get_experiment(experimentId="999999999"))
    yield post("an experiment whose id is no number", path, get_experiment(experimentId="abc"))
    yield post("an experiment with an empty id", path, get_experiment(experimentId=""))
    yield post("an experiment without an id", path, get_experiment())
    yield post("an experiment whose id is null", path, get_experiment(experimentId=None))
    for label, value in NOT_A_STRING.items():
        yield post(f"an experiment whose id is {label}", path, get_experiment(experimentId=value))
    yield post("an experiment and more variables", path, get_experiment(experimentId=experiment_id, colour="red"))

    run_id = yield from run(experiment_id, "graphql")
    yield post("an empty run", path, get_run(runId=run_id))
    metrics = [
        {"key": "loss", "value": 0.5, "timestamp": STARTED, "step": 3},
        {"key": "nan", "value": "NaN", "timestamp": STARTED, "step": 0},
        {"key": "inf", "value": "Infinity", "timestamp": STARTED, "step": -1},
        {"key": "big", "value": 1e300, "timestamp": 2**53 + 1, "step": 2**62},
    ]
    body = {
        "run_id": run_id,
        "metrics": metrics,
        "params": [{"key": "lr", "value": "0.1"}, {"key": "한글", "value": "값 🚀"}],
        "tags": [{"key": "empty", "value": ""}],
    }
    yield post("given its values", "runs/log-batch", body)
    dataset = {"name": "coco", "digest": "abc", "source_type": "s3", "source": "s3://b/x", "schema": "{}"}
    context = {"key": "mlflow.data.context", "value": "training"}
    body = {"run_id": run_id, "datasets": [{"dataset": dataset, "tags": [context]}], "models": [{"model_id": "m-in"}]}
    yield post("given its inputs", "runs/log-inputs", body)
    yield post("given its outputs", "runs/outputs", {"run_id": run_id, "models": [{"model_id": "m-out", "step": 7}]})
    yield post("given its end", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": STARTED + 9})
    yield post("a full run", path, get_run(runId=run_id))
    yield post("a run that is not there", path, get_run(runId=NOWHERE))
    yield post("a run with an empty id", path, get_run(runId=""))
    yield post("a run without an id", path, get_run())
    yield post("a run by the old name", path, get_run(runUuid=run_id))
    for label, value in NOT_A_STRING.items():
        yield post(f"a run whose id is {label}", path, get_run(runId=value))
    yield post("given a deleted run", "runs/delete", {"run_id": run_id})
    yield post("a deleted run", path, get_run(runId=run_id))
    yield post("given a deleted experiment", "experiments/delete", {"experiment_id": experiment_id})
    yield post("a deleted experiment", path, get_experiment(experimentId=experiment_id))


def rejections(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "refusals")
    path = "/graphql"
    asked = get_experiment(experimentId=experiment_id)
    yield post("no variables", path, {**asked, "variables": {}})
    yield post("null variables", path, {**asked, "variables": None})
    yield post("variables that are a list", path, {**asked, "variables": []})
    yield post("variables that are a text", path, {**asked, "variables": "x"})
    yield post("no operation name", path, {k: v for k, v in asked.items() if k != "operationName"})
    yield post("another operation name", path, {**asked, "operationName": "Other"})
    yield post("no query", path, {k: v for k, v in asked.items() if k != "query"})
    yield post("an empty query", path, {**asked, "query": ""})
    yield post("a query that is a number", path, {**asked, "query": 3})
    yield post("a query that is no GraphQL", path, {"query": "nonsense {"})
    yield post("a query of an unknown field", path, {"query": "{ nothing }"})
    yield post("a short query", path, {"query": '{ test(inputString: "x") { output } }'})
    yield post("introspection", path, {"query": "{ __typename }"})
    yield post("a batch", path, [asked, asked])
    yield raw("no JSON", path, b"{")
    yield raw("an empty body", path, b"")
    yield raw("a text", path, b'"x"')
    yield raw("another type", path, b"{ __typename }", "application/graphql")
    yield raw("no type", path, b"{}", None)
    yield get("by GET", path, {"query": "{ __typename }"})
    yield get("by GET without a query", path)
    yield raw("at the pages' path", "/ajax-api/2.0/mlflow/graphql", b"{}")


SEARCH_RUNS = """\
query SearchRuns($data: MlflowSearchRunsInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowSearchRuns(input: $data) {
    apiError { helpUrl code message __typename }
    nextPageToken
    runs {
      info { runName status startTime endTime lifecycleStage __typename }
      experiment { experimentId name __typename }
      modelVersions { status version name source tags { key value } aliases modelId __typename }
      data { metrics { key value step timestamp } params { key value } __typename }
      __typename
    }
    __typename
  }
}
"""
SEARCH_VERSIONS = """\
query Versions($data: MlflowSearchModelVersionsInput) {
  mlflowSearchModelVersions(input: $data) {
    nextPageToken
    modelVersions {
      name version status currentStage source runId description tags { key value } aliases modelId
      modelParams { name } modelMetrics { key } deploymentJobState { jobId currentTaskName }
    }
  }
}
"""
METRICS = """\
query Metrics($data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    apiError { code }
    metrics { timestamp step runId key value __typename }
    __typename
  }
}
"""
DATASETS = """\
mutation Datasets($data: MlflowSearchDatasetsInput!) {
  mlflowSearchDatasets(input: $data) { datasetSummaries { experimentId name digest context } }
}
"""


def searches(prefix: str) -> Script:
    """Send queries of the schema for which the UI uses REST."""
    path = "/graphql"
    experiment_id = yield from experiment(prefix, "searches")
    runs = []
    for number in range(3):
        run_id = yield from run(experiment_id, f"run {number}", start_time=STARTED + number)
        metrics = [
            {"key": "loss", "value": 1 / (1 + number + step), "timestamp": STARTED + step, "step": step}
            for step in range(4)
        ]
        body = {"run_id": run_id, "metrics": metrics, "params": [{"key": "n", "value": str(number)}]}
        yield post(f"given the values of run {number}", "runs/log-batch", body)
        runs.append(run_id)
    name = prefix + "graphql"
    yield post("given a model", "registered-models/create", {"name": name})
    version = {"name": name, "source": "s3://b/c", "run_id": runs[0], "tags": [{"key": "a", "value": "b"}]}
    yield post("given a version", "model-versions/create", version)
    dataset = {"name": "coco", "digest": "abc", "source_type": "s3", "source": "s3://b/x"}
    inputs = {"run_id": runs[0], "datasets": [{"dataset": dataset, "tags": []}]}
    yield post("given a dataset", "runs/log-inputs", inputs)

    def ask(label: str, query: str, **data: Any) -> Any:
        return post(label, path, {"query": query, "variables": {"data": data}})

    ids = [experiment_id]
    yield ask("all runs", SEARCH_RUNS, experimentIds=ids)
    first = yield ask("two runs", SEARCH_RUNS, experimentIds=ids, maxResults=2)
    token = first.at("data", "mlflowSearchRuns", "nextPageToken")
    yield ask("the third", SEARCH_RUNS, experimentIds=ids, maxResults=2, pageToken=token)
    yield ask("by a filter", SEARCH_RUNS, experimentIds=ids, filter="params.n = '1'")
    yield ask("by a metric", SEARCH_RUNS, experimentIds=ids, orderBy=["metrics.loss DESC"])
    yield ask("without experiments", SEARCH_RUNS)
    yield ask("a bad filter", SEARCH_RUNS, experimentIds=ids, filter="nonsense")
    yield ask("no results", SEARCH_RUNS, experimentIds=ids, maxResults=0)
    yield ask("a bad view", SEARCH_RUNS, experimentIds=ids, runViewType="SOME")
    yield ask("deleted runs", SEARCH_RUNS, experimentIds=ids, runViewType="DELETED_ONLY")
    yield ask("as a mutation", SEARCH_RUNS.replace("query", "mutation", 1), experimentIds=ids)

    yield ask("versions", SEARCH_VERSIONS, filter=f"name = '{name}'")
    yield ask("versions, a number in a text", SEARCH_VERSIONS, filter=f"name = '{name}'", maxResults="1")
    yield ask("versions, a bad filter", SEARCH_VERSIONS, filter="nonsense")
    yield ask("versions, no results", SEARCH_VERSIONS, filter=f"name = '{name}'", maxResults=0)
    yield ask("metrics", METRICS, runIds=runs, metricKey="loss")
    yield ask("metrics that are not there", METRICS, runIds=runs, metricKey="nope")
    yield ask("metrics of nobody", METRICS, runIds=[NOWHERE], metricKey="loss")
    yield ask("metrics without a key", METRICS, runIds=runs)
    yield ask("metrics without runs", METRICS, metricKey="loss")
    yield ask("datasets", DATASETS, experimentIds=ids)
    yield ask("datasets of none", DATASETS, experimentIds=[])
    yield ask("datasets of too many", DATASETS, experimentIds=["0"] * 21)


SCENARIOS = {"graphql_pages": pages, "graphql_rejections": rejections, "graphql_searches": searches}
