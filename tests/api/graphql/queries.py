"""The queries of MLflow's web interface, as it sends them, and how tests send any query."""

from typing import Any

from tests.client import Client

GET_EXPERIMENT = """
query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) {
    apiError { code message __typename }
    experiment {
      artifactLocation creationTime effectiveTraceArchivalRetention experimentId lastUpdateTime lifecycleStage name
      tags { key value __typename }
      __typename
    }
    __typename
  }
}
"""
GET_RUN = """
query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message __typename }
    run {
      info {
        runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename
      }
      experiment {
        experimentId name tags { key value __typename } artifactLocation lifecycleStage lastUpdateTime __typename
      }
      modelVersions { status version name source __typename }
      data {
        metrics { key value step timestamp __typename }
        params { key value __typename }
        tags { key value __typename }
        __typename
      }
      inputs {
        datasetInputs {
          dataset { digest name profile schema source sourceType __typename }
          tags { key value __typename }
          __typename
        }
        modelInputs { modelId __typename }
        __typename
      }
      outputs { modelOutputs { modelId step __typename } __typename }
      __typename
    }
    __typename
  }
}
"""

SEARCH_RUNS = """
query SearchRuns($data: MlflowSearchRunsInput!) {
  mlflowSearchRuns(input: $data) {
    apiError { helpUrl code message __typename }
    runs {
      info {
        runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename
      }
      experiment {
        experimentId name tags { key value __typename } artifactLocation lifecycleStage lastUpdateTime __typename
      }
      data {
        metrics { key value step timestamp __typename }
        params { key value __typename }
        tags { key value __typename }
        __typename
      }
      inputs {
        datasetInputs {
          dataset { digest name profile schema source sourceType __typename }
          tags { key value __typename }
          __typename
        }
        modelInputs { modelId __typename }
        __typename
      }
      outputs { modelOutputs { modelId step __typename } __typename }
      modelVersions { version name creationTimestamp status source __typename }
      __typename
    }
    __typename
  }
}
"""
GET_SAMPLES = """
query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!)
@component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    __typename
    metrics { timestamp step runId key value __typename }
    apiError { code message __typename }
  }
}
"""


async def ask(
    client: Client, query: str, variables: Any = None, operation: str | None = None
) -> tuple[Any, list[str] | None]:
    answer = await client.post("/graphql", {"operationName": operation, "variables": variables or {}, "query": query})
    assert answer.status == 200, answer.text
    assert set(answer.json) == {"data", "errors"}
    return answer.json["data"], answer.json["errors"]


async def errors(client: Client, query: str, variables: Any = None, operation: str | None = None) -> list[str]:
    data, found = await ask(client, query, variables, operation)
    assert data is None or set(data.values()) == {None}
    assert found
    return found
