"""The demo of the web interface's home page. What it consists of is in railtrack/demo.py."""

import msgspec

from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.demo import create_demo, delete_demo
from railtrack.wire.request import Request
from railtrack.wire.routing import endpoint


class GenerateDemo(Request):
    pass


class GeneratedDemo(msgspec.Struct):
    status: str
    experiment_id: str
    navigation_url: str
    """Where the web interface goes next."""


@endpoint("POST", "demo/generate", access=SIGNED_IN, api="3.0", ajax_only=True)
async def generate_demo(ctx: Context, req: GenerateDemo) -> GeneratedDemo:
    """Create the demo's experiment, model and prompt as the caller, who needs the permission to create each."""
    experiment_id = await create_demo(ctx.subrequests())
    return GeneratedDemo("created", experiment_id, f"/experiments/{experiment_id}/runs?compareRunsMode=CHART")


class DeleteDemo(Request):
    pass


class DeletedDemo(msgspec.Struct):
    status: str


@endpoint("POST", "demo/delete", access=SIGNED_IN, api="3.0", ajax_only=True)
async def remove_demo(ctx: Context, req: DeleteDemo) -> DeletedDemo:
    """Delete what generate_demo() created."""
    return DeletedDemo("deleted" if await delete_demo(ctx.subrequests()) else "not_found")
