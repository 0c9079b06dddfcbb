"""POST /graphql: MLflow's schema. Its UI sends two of the queries, for its experiment and run pages.

Resolvers call the REST endpoints, which hold the rules and check access. Pages are shorter than over REST: the library
completes every value in Python.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from railtrack.api.artifacts.queries import run_artifact_uri
from railtrack.api.artifacts.schemas import FileInfo
from railtrack.api.registry.schemas import ModelVersion
from railtrack.api.runs.queries import no_such_run
from railtrack.api.runs.schemas import RunInfo
from railtrack.artifacts.paths import key_of
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.mlflow.ids import experiment_number
from railtrack.wire.call import call
from railtrack.wire.openapi import response_struct
from railtrack.wire.protobuf_json import camel_to_snake, convert
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import BytesResponse, Response, StreamResponse
from railtrack.wire.routing import ROUTES, Route, endpoint
from railtrack.wire.turns import in_turn

if TYPE_CHECKING:
    from railtrack.wire.graphql import GraphQLExecutor

MODEL_VERSIONS_LIMIT = 1000
"""Model versions of one run."""
FILES_LIMIT = 1000
PAGE_LIMIT = 50
"""Runs or versions on a page, even if more are asked for: a run may have thousands of metrics."""
POINTS_LIMIT = 10_000
"""Sampled points over all runs of a query."""
COUNTED_POINTS = 200
"""Points in the cost of a query: a point takes less time and memory than a run."""
RUN_POINTS_LIMIT = 2500
"""Sampled points of one run; the REST endpoint rejects more."""

SCHEMA = """
directive @component(name: String!) on QUERY | MUTATION
scalar LongString

type Query {
    mlflowGetExperiment(input: MlflowGetExperimentInput): MlflowGetExperimentResponse
    mlflowGetRun(input: MlflowGetRunInput): MlflowGetRunResponse
    mlflowListArtifacts(input: MlflowListArtifactsInput): MlflowListArtifactsResponse
    mlflowSearchRuns(input: MlflowSearchRunsInput): MlflowSearchRunsResponse
    mlflowSearchModelVersions(input: MlflowSearchModelVersionsInput): MlflowSearchModelVersionsResponse
    mlflowGetMetricHistoryBulkInterval(
        input: MlflowGetMetricHistoryBulkIntervalInput
    ): MlflowGetMetricHistoryBulkIntervalResponse
}
type Mutation {
    mlflowSearchDatasets(input: MlflowSearchDatasetsInput): MlflowSearchDatasetsResponse
    mlflowSearchRuns(input: MlflowSearchRunsInput): MlflowSearchRunsResponse
}

type ApiError {
    code: String message: String helpUrl: String traceId: String errorDetails: [ErrorDetail]
}
type ErrorDetail { field: String message: String }

input MlflowGetExperimentInput { experimentId: String }
type MlflowGetExperimentResponse { experiment: MlflowExperiment apiError: ApiError }
type MlflowExperiment {
    experimentId: String name: String artifactLocation: String lifecycleStage: String
    lastUpdateTime: LongString creationTime: LongString tags: [MlflowExperimentTag!]
    effectiveTraceArchivalRetention: String workspace: String
}
type MlflowExperimentTag { key: String value: String }

input MlflowGetRunInput { runId: String runUuid: String }
type MlflowGetRunResponse { run: MlflowRunExtension apiError: ApiError }
type MlflowRunExtension {
    info: MlflowRunInfo data: MlflowRunData inputs: MlflowRunInputs outputs: MlflowRunOutputs
    experiment: MlflowExperiment modelVersions: [MlflowModelVersion!]
}
type MlflowRunInfo {
    runId: String runUuid: String runName: String experimentId: String userId: String status: MlflowRunStatus
    startTime: LongString endTime: LongString artifactUri: String lifecycleStage: String
}
enum MlflowRunStatus { RUNNING SCHEDULED FINISHED FAILED KILLED }
type MlflowRunData { metrics: [MlflowMetricExtension!] params: [MlflowParam!] tags: [MlflowRunTag!] }
type MlflowMetricExtension {
    key: String value: Float timestamp: LongString step: LongString
    datasetName: String datasetDigest: String modelId: String runId: String
}
type MlflowParam { key: String value: String }
type MlflowRunTag { key: String value: String }
type MlflowRunInputs { datasetInputs: [MlflowDatasetInput!] modelInputs: [MlflowModelInput!] }
type MlflowDatasetInput { tags: [MlflowInputTag!] dataset: MlflowDataset }
type MlflowInputTag { key: String value: String }
type MlflowDataset {
    name: String digest: String sourceType: String source: String schema: String profile: String
}
type MlflowModelInput { modelId: String }
type MlflowRunOutputs { modelOutputs: [MlflowModelOutput!] }
type MlflowModelOutput { modelId: String step: LongString }
type MlflowModelVersion {
    name: String version: String creationTimestamp: LongString lastUpdatedTimestamp: LongString userId: String
    currentStage: String description: String source: String runId: String status: MlflowModelVersionStatus
    statusMessage: String runLink: String tags: [MlflowModelVersionTag!] aliases: [String] modelId: String
    modelParams: [MlflowModelParam!] modelMetrics: [MlflowModelMetric!]
    deploymentJobState: MlflowModelVersionDeploymentJobState
}
enum MlflowModelVersionStatus { PENDING_REGISTRATION FAILED_REGISTRATION READY }
type MlflowModelVersionTag { key: String value: String }
type MlflowModelParam { name: String value: String }
type MlflowModelMetric {
    key: String value: Float timestamp: LongString step: LongString
    datasetName: String datasetDigest: String modelId: String runId: String
}
type MlflowModelVersionDeploymentJobState {
    jobId: String runId: String jobState: MlflowDeploymentJobConnectionState
    runState: MlflowModelVersionDeploymentJobStateDeploymentJobRunState currentTaskName: String
}
enum MlflowDeploymentJobConnectionState {
    DEPLOYMENT_JOB_CONNECTION_STATE_UNSPECIFIED NOT_SET_UP CONNECTED NOT_FOUND REQUIRED_PARAMETERS_CHANGED
}
enum MlflowModelVersionDeploymentJobStateDeploymentJobRunState {
    DEPLOYMENT_JOB_RUN_STATE_UNSPECIFIED NO_VALID_DEPLOYMENT_JOB_FOUND RUNNING SUCCEEDED FAILED PENDING APPROVAL
}

input MlflowSearchRunsInput {
    experimentIds: [String] filter: String runViewType: MlflowViewType maxResults: Int orderBy: [String]
    pageToken: String
}
enum MlflowViewType { ACTIVE_ONLY DELETED_ONLY ALL }
type MlflowSearchRunsResponse { runs: [MlflowRunExtension!] nextPageToken: String apiError: ApiError }

input MlflowSearchModelVersionsInput {
    filter: String maxResults: LongString orderBy: [String] pageToken: String
}
type MlflowSearchModelVersionsResponse {
    modelVersions: [MlflowModelVersion!] nextPageToken: String apiError: ApiError
}

input MlflowGetMetricHistoryBulkIntervalInput {
    runIds: [String] metricKey: String startStep: Int endStep: Int maxResults: Int
}
type MlflowGetMetricHistoryBulkIntervalResponse { metrics: [MlflowMetricWithRunId!] apiError: ApiError }
type MlflowMetricWithRunId {
    key: String value: Float timestamp: LongString step: LongString runId: String
}

input MlflowSearchDatasetsInput { experimentIds: [String] }
type MlflowSearchDatasetsResponse { datasetSummaries: [MlflowDatasetSummary!] apiError: ApiError }
type MlflowDatasetSummary { experimentId: String name: String digest: String context: String }

input MlflowListArtifactsInput { runId: String runUuid: String path: String pageToken: String }
type MlflowListArtifactsResponse {
    rootUri: String files: [MlflowFileInfo!] nextPageToken: String apiError: ApiError
}
type MlflowFileInfo { path: String isDir: Boolean fileSize: LongString }
"""
"""MLflow's schema without the two fields that only its own tests use. `apiError` is always null, as in MLflow."""


class GraphQLRequest(Request):
    query: RequiredStr
    variables: dict[str, Any] = {}
    operation: str | None = msgspec.field(name="operationName", default=None)


@endpoint("POST", "/graphql", access=SIGNED_IN, is_read=True)
async def graphql(ctx: Context, req: GraphQLRequest) -> Response:
    """Execute one operation. An invalid query is answered with status 200 and `errors`."""
    limits = ctx.settings.graphql
    executor = _executor(limits.max_root_fields, limits.max_aliases)
    return await executor.execute(ctx, req.query, req.variables, req.operation)


@cache
def _executor(max_root_fields: int, max_aliases: int) -> "GraphQLExecutor":
    """Create the executor with a process's first query: a process that only serves REST never imports the library."""
    from railtrack.wire.graphql import GraphQLExecutor
    from railtrack.wire.graphql_limits import ConfiguredLimits

    return GraphQLExecutor(
        SCHEMA,
        {
            "Query.mlflowGetExperiment": get_experiment,
            "Query.mlflowGetRun": get_run,
            "Query.mlflowListArtifacts": list_artifacts,
            "Query.mlflowSearchRuns": search_runs,
            "Query.mlflowSearchModelVersions": search_model_versions,
            "Query.mlflowGetMetricHistoryBulkInterval": get_metric_history_bulk_interval,
            "Mutation.mlflowSearchDatasets": search_datasets,
            "Mutation.mlflowSearchRuns": search_runs,
            "MlflowRunExtension.experiment": experiment_of_run,
            "MlflowRunExtension.modelVersions": model_versions_of_run,
            "MlflowModelVersion.deploymentJobState": deployment_job_state,
        },
        {
            "MlflowSearchRunsResponse.runs": PAGE_LIMIT,
            "MlflowSearchModelVersionsResponse.modelVersions": PAGE_LIMIT,
            "MlflowGetMetricHistoryBulkIntervalResponse.metrics": COUNTED_POINTS,
        },
        ConfiguredLimits(max_root_fields, max_aliases),
    )


Input = Mapping[str, Any] | None


class RunExtension(Protocol):
    """A run as runs/get and runs/search return it."""

    @property
    def info(self) -> RunInfo: ...


async def get_experiment(ctx: Context, _source: None, input: Input = None) -> Any:
    number = experiment_number((input or {}).get("experimentId") or "")
    return await _call(ctx, _route("GET", "experiments/get"), {"experiment_id": str(number)})


async def get_run(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _call(ctx, _route("GET", "runs/get"), {"run_id": _run_id(input)})


async def experiment_of_run(ctx: Context, run: RunExtension) -> Any:
    response = await _call(ctx, _route("GET", "experiments/get"), {"experiment_id": run.info.experiment_id})
    return response.experiment


async def model_versions_of_run(ctx: Context, run: RunExtension) -> list[ModelVersion]:
    """Return the model versions that were registered from the run, the last updated first."""
    request = {"filter": f"run_id = '{run.info.run_id}'", "max_results": MODEL_VERSIONS_LIMIT}
    response = await _call(ctx, _route("GET", "model-versions/search"), request)
    versions: list[ModelVersion] = response.model_versions
    return versions


async def deployment_job_state(ctx: Context, version: Any) -> SimpleNamespace:
    """Return a message with unset fields, as protobuf does for a message that is not set."""
    return SimpleNamespace()


class ArtifactPage(msgspec.Struct):
    root_uri: str
    files: list[FileInfo]
    next_page_token: str | None


async def list_artifacts(ctx: Context, _source: None, input: Input = None) -> Any:
    """Return a page of a folder, by the access rules of the REST endpoint, which has no pages."""

    async def list_page(ctx: Context, _request: Request) -> ArtifactPage:
        given = input or {}
        uri = await run_artifact_uri(ctx.db, run_id)
        inside = key_of(given.get("path") or "")
        location = ctx.artifacts.locate(uri, inside)
        page = await location.store.list(location.key, given.get("pageToken") or None, FILES_LIMIT)
        prefix = f"{inside}/" if inside else ""
        files = [FileInfo(f"{prefix}{name}", is_dir, size) for name, is_dir, size in page.entries]
        return ArtifactPage(uri, files, page.next_token)

    run_id = _run_id(input)
    return await _call(ctx, replace(_route("GET", "artifacts/list"), handler=list_page), {"run_id": run_id})


async def search_runs(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _call(ctx, _route("POST", "runs/search"), _page_request(input))


async def search_model_versions(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _call(ctx, _route("GET", "model-versions/search"), _page_request(input))


async def get_metric_history_bulk_interval(ctx: Context, _source: None, input: Input = None) -> Any:
    request = _rest_request(input)
    if runs := len(request.get("run_ids") or ()):
        limit = min(RUN_POINTS_LIMIT, max(1, POINTS_LIMIT // runs))
        request["max_results"] = min(request.get("max_results", limit), limit)
    return await _call(ctx, _route("GET", "metrics/get-history-bulk-interval"), request)


async def search_datasets(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _call(ctx, _route("POST", "experiments/search-datasets"), _rest_request(input))


def _run_id(input: Input) -> str:
    run_id: str = (input or {}).get("runId") or (input or {}).get("runUuid") or ""
    if not run_id:
        raise no_such_run(run_id)
    return run_id


def _page_request(input: Input) -> dict[str, Any]:
    """Return the request with at most PAGE_LIMIT results. An invalid number stays: the endpoint reports it."""
    request = _rest_request(input)
    try:
        max_results = int(request.get("max_results", PAGE_LIMIT))
    except (TypeError, ValueError, OverflowError):
        return request
    return request | {"max_results": min(max_results, PAGE_LIMIT)}


def _rest_request(input: Input) -> dict[str, Any]:
    """Return the input with REST's field names and without fields that are null."""
    fields = (input or {}).items()
    return {camel_to_snake(name): value for name, value in fields if value is not None}


def _route(method: str, path: str) -> Route:
    return ROUTES[method, f"/ajax-api/2.0/mlflow/{path}"]


async def _call(ctx: Context, route: Route, request: Mapping[str, Any]) -> Any:
    """Call the endpoint and return its response, whose fields are attributes. Raise the endpoint's errors."""
    assert route.struct is not None
    reply = await call(route, ctx, convert(request, route.struct))
    match reply:
        case BytesResponse():
            body = reply.body
        case StreamResponse():
            body = b"".join([chunk async for chunk in reply.chunks])
        case _:
            return reply
    return await in_turn(_decoder(route), body)


@cache
def _decoder(route: Route) -> Callable[[bytes], msgspec.Struct]:
    """Return the function that decodes a response of the route which its handler has encoded."""
    struct = response_struct(route)
    assert struct is not None, f"{route.path} declares no response"
    return msgspec.json.Decoder(struct).decode
