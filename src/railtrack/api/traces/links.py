"""Links of traces: to runs, and to the versions of prompts that they used."""

import msgspec

from railtrack.api.traces.schemas import no_such_trace
from railtrack.api.traces.writes import link_traces
from railtrack.auth import TRACE_EDIT, TRACES_LINK
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.errors import invalid, invalid_value
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

LINKS_LIMIT = 100


class LinkTracesToRun(Request):
    trace_ids: list[str]
    run_id: RequiredStr


@endpoint("POST", "traces/link-to-run", access=TRACES_LINK)
@idempotent
async def link_traces_to_run(ctx: Context, req: LinkTracesToRun) -> EmptyResponse:
    """Link traces to a run. As in MLflow, neither has to exist; linking again changes nothing."""
    if len(req.trace_ids) > LINKS_LIMIT:
        raise invalid(
            f"Cannot link more than {LINKS_LIMIT} traces to a run in a single request. "
            f"Provided {len(req.trace_ids)} traces."
        )
    await link_traces(ctx.db, "run", ((trace_id, req.run_id) for trace_id in req.trace_ids), now_ms())
    return EMPTY_RESPONSE


class PromptVersionRef(msgspec.Struct):
    name: str = ""
    version: str = ""


class LinkPromptsToTrace(Request):
    trace_id: RequiredStr
    prompt_versions: list[PromptVersionRef]


@endpoint("POST", "traces/link-prompts", access=TRACE_EDIT)
@idempotent
async def link_prompts(ctx: Context, req: LinkPromptsToTrace) -> EmptyResponse:
    """Link versions of prompts to a trace. They need not exist; linking again changes nothing."""
    if len(req.prompt_versions) > LINKS_LIMIT:
        raise invalid(f"A request can link at most {LINKS_LIMIT} prompts. Got {len(req.prompt_versions)}.")
    for at, prompt in enumerate(req.prompt_versions):
        if not prompt.version.isascii() or not prompt.version.isdigit() or len(prompt.version) > 10:
            raise invalid_value(f"prompt_versions[{at}].version", prompt.version)
    if not await ctx.db.fetch_value("SELECT 1 FROM trace_info WHERE request_id = $1", req.trace_id):
        raise no_such_trace(req.trace_id)
    pairs = [(req.trace_id, f"{prompt.name}/{int(prompt.version)}") for prompt in req.prompt_versions]
    await link_traces(ctx.db, "prompt_version", pairs, now_ms())
    return EMPTY_RESPONSE
