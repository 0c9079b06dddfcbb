"""POST /graphql: MLflow's schema. Its UI sends two of the queries, for its experiment and run pages.

The searches and the sampled metrics are asked of the REST endpoints, which have the rules. No page of them is long in
here: every value is shown by Python, in which time the worker does nothing else.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec

from railtrack.api.experiments.queries import Experiment, load_experiment
from railtrack.api.registry.queries import NOT_DELETED, VERSION_COLUMNS, load_versions
from railtrack.api.registry.schemas import ModelVersion
from railtrack.api.runs.queries import load_info, load_run
from railtrack.api.runs.schemas import RunData, RunInfo, RunInputs, RunOutputs
from railtrack.artifacts.paths import key_of
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.mlflow.ids import experiment_number
from railtrack.wire.protobuf_json import convert
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Reply, Stream, to_raw
from railtrack.wire.routing import ROUTES, endpoint

if TYPE_CHECKING:
    from railtrack.wire.graphql import Engine

MODEL_VERSIONS_SHOWN = 1000
FILES_LISTED = 1000
ITEMS_SHOWN = 50
"""Runs or versions on a page, whatever was asked for: a run may have thousands of metrics. A token leads on."""
POINTS_SHOWN = 10_000
"""Of all runs that sampled metrics are asked of."""
SAMPLE_LIMIT = 2500
"""Points of one run; the endpoint refuses more."""

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
"""MLflow's schema but for the two fields that only its own tests use. `apiError` is always null, as it is there."""


class GraphQLRequest(Request):
    query: RequiredStr
    variables: dict[str, Any] = {}
    operation: str | None = msgspec.field(name="operationName", default=None)


@endpoint("POST", "/graphql", access=SIGNED_IN)
async def graphql(ctx: Context, req: GraphQLRequest) -> Reply:
    """One operation; a list of them is refused as any body that is no object. Refusals are answered with 200."""
    return await _engine().answer(ctx, req.query, req.variables, req.operation)


@cache
def _engine() -> "Engine":
    """Made with a process's first query: most processes of an API-only server never need it."""
    from railtrack.wire.graphql import Engine

    return Engine(
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
            "MlflowModelVersion.deploymentJobState": no_deployment_job,
        },
    )


Input = Mapping[str, Any] | None


class ExperimentResponse(msgspec.Struct):
    experiment: Experiment


async def get_experiment(ctx: Context, _source: None, input: Input = None) -> ExperimentResponse:
    number = experiment_number((input or {}).get("experimentId") or "")
    return ExperimentResponse(await load_experiment(ctx.db, number))


class RunExtension(msgspec.Struct):
    """A run as the REST API has it; its experiment and its model versions are looked up when they are asked for."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs | None


class RunResponse(msgspec.Struct):
    run: RunExtension


async def get_run(ctx: Context, _source: None, input: Input = None) -> RunResponse:
    run = await load_run(ctx.db, _run_id(input))
    return RunResponse(RunExtension(run.info, run.data, run.inputs, run.outputs))


def _run_id(input: Input) -> str:
    given = input or {}
    return given.get("runId") or given.get("runUuid") or ""


async def experiment_of_run(ctx: Context, run: RunExtension) -> Experiment:
    return await load_experiment(ctx.db, int(run.info.experiment_id))


async def model_versions_of_run(ctx: Context, run: RunExtension) -> list[ModelVersion]:
    """The registered versions that name the run as their origin, the latest first."""
    rows = await ctx.db.fetch(
        f"""
        SELECT {VERSION_COLUMNS} FROM model_versions WHERE run_id = $1 AND {NOT_DELETED}
        ORDER BY last_updated_time DESC, name, version DESC LIMIT $2
        """,  # noqa: S608 (texts of ours)
        run.info.run_id,
        MODEL_VERSIONS_SHOWN,
    )
    return await load_versions(ctx.db, rows)


async def no_deployment_job(ctx: Context, version: Any) -> SimpleNamespace:
    """As protobuf has an unset message: one of unset fields."""
    return SimpleNamespace()


class FileInfo(msgspec.Struct, gc=False):
    path: str
    is_dir: bool
    file_size: int


class ListArtifactsResponse(msgspec.Struct):
    root_uri: str
    files: list[FileInfo]
    next_page_token: str | None


async def list_artifacts(ctx: Context, _source: None, input: Input = None) -> ListArtifactsResponse:
    given = input or {}
    info = await load_info(ctx.db, _run_id(input))
    uri = info.artifact_uri or ""
    inside = key_of(given.get("path") or "")
    store, key = ctx.artifacts.locate(uri, inside)
    page = await store.list(key, given.get("pageToken") or None, FILES_LISTED)
    prefix = f"{inside}/" if inside else ""
    files = [FileInfo(f"{prefix}{name}", is_dir, size) for name, is_dir, size in page.entries]
    return ListArtifactsResponse(uri, files, page.next_token)


async def search_runs(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _by_rest(ctx, "POST", "runs/search", _bounded(input))


async def search_model_versions(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _by_rest(ctx, "GET", "model-versions/search", _bounded(input))


async def get_metric_history_bulk_interval(ctx: Context, _source: None, input: Input = None) -> Any:
    asked = _snake_cased(input)
    if runs := len(asked.get("run_ids") or ()):
        most = min(SAMPLE_LIMIT, max(1, POINTS_SHOWN // runs))
        asked["max_results"] = min(asked.get("max_results", most), most)
    return await _by_rest(ctx, "GET", "metrics/get-history-bulk-interval", asked)


async def search_datasets(ctx: Context, _source: None, input: Input = None) -> Any:
    return await _by_rest(ctx, "POST", "experiments/search-datasets", _snake_cased(input))


def _bounded(input: Input) -> dict[str, Any]:
    """The request with a page of ITEMS_SHOWN at the most; a number that is wrong is left for the endpoint to refuse."""
    asked = _snake_cased(input)
    try:
        wanted = int(asked.get("max_results", ITEMS_SHOWN))
    except ValueError:
        return asked
    return asked | {"max_results": min(wanted, ITEMS_SHOWN)}


def _snake_cased(input: Input) -> dict[str, Any]:
    """The request's fields as REST names them; a field that is null is absent."""
    given = (input or {}).items()
    return {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in given if value is not None}


async def _by_rest(ctx: Context, method: str, path: str, request: Mapping[str, Any]) -> Any:
    """What the endpoint of MLflow's REST API answers, its members as attributes. Raises what that raises."""
    route = ROUTES[method, f"/ajax-api/2.0/mlflow/{path}"]
    assert route.struct is not None, "it takes a request that is decoded for it"
    reply = to_raw(await route.handler(ctx, convert(request, route.struct)))
    body = b"".join([chunk async for chunk in reply.chunks]) if isinstance(reply, Stream) else reply.body
    return json.loads(body, object_hook=lambda members: SimpleNamespace(**members))
