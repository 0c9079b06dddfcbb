"""POST /graphql: the queries that MLflow's UI sends for its experiment and run pages, and the listing of artifacts.

MLflow's schema has more (searches, sampled metrics), which its UI and clients ask for by REST only; not in here.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from railtrack.api.experiment_rows import Experiment, load_experiment
from railtrack.api.ids import experiment_number
from railtrack.api.runs.rows import load_info, load_runs
from railtrack.api.runs.shapes import RunData, RunInfo, RunInputs, RunOutputs
from railtrack.artifacts.paths import key_of
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

if TYPE_CHECKING:
    from railtrack.wire.graphql import Engine

MODEL_VERSIONS_SHOWN = 1000
FILES_LISTED = 1000

SCHEMA = """
directive @component(name: String!) on QUERY | MUTATION
scalar LongString

type Query {
    mlflowGetExperiment(input: MlflowGetExperimentInput): MlflowGetExperimentResponse
    mlflowGetRun(input: MlflowGetRunInput): MlflowGetRunResponse
    mlflowListArtifacts(input: MlflowListArtifactsInput): MlflowListArtifactsResponse
}

type ApiError { code: String message: String helpUrl: String traceId: String }

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
    statusMessage: String runLink: String
}
enum MlflowModelVersionStatus { PENDING_REGISTRATION FAILED_REGISTRATION READY }

input MlflowListArtifactsInput { runId: String runUuid: String path: String pageToken: String }
type MlflowListArtifactsResponse {
    rootUri: String files: [MlflowFileInfo!] nextPageToken: String apiError: ApiError
}
type MlflowFileInfo { path: String isDir: Boolean fileSize: LongString }
"""
"""The part of MLflow's schema that is served, under MLflow's names. `apiError` is always null, as it is there."""


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
            "MlflowRunExtension.experiment": experiment_of_run,
            "MlflowRunExtension.modelVersions": model_versions_of_run,
        },
    )


Input = dict[str, str | None] | None


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
    async with ctx.db.read() as tx:
        (run,) = await load_runs(tx, [await load_info(tx, _run_id(input))])
    return RunResponse(RunExtension(run.info, run.data, run.inputs, run.outputs))


def _run_id(input: Input) -> str:
    given = input or {}
    return given.get("runId") or given.get("runUuid") or ""


async def experiment_of_run(ctx: Context, run: RunExtension) -> Experiment:
    return await load_experiment(ctx.db, int(run.info.experiment_id))


class ModelVersion(msgspec.Struct):
    name: str
    version: int
    creation_timestamp: int | None
    last_updated_timestamp: int | None
    user_id: str | None
    current_stage: str | None
    description: str | None
    source: str | None
    run_id: str | None
    status: str | None
    status_message: str | None
    run_link: str | None


async def model_versions_of_run(ctx: Context, run: RunExtension) -> list[ModelVersion]:
    """The registered versions that name the run as their origin, the latest first."""
    rows = await ctx.db.fetch(
        """
        SELECT name, version, creation_time, last_updated_time, user_id, current_stage, description, source, run_id,
            status, status_message, run_link
        FROM model_versions
        WHERE run_id = $1 AND (current_stage IS NULL OR current_stage <> 'Deleted_Internal')
        ORDER BY last_updated_time DESC, name, version DESC LIMIT $2
        """,
        run.info.run_id,
        MODEL_VERSIONS_SHOWN,
    )
    return [ModelVersion(*row) for row in rows]


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
