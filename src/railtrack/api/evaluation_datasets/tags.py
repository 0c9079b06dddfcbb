"""Tags of evaluation datasets: set several, delete one."""

from railtrack.api.evaluation_datasets.queries import lock_dataset
from railtrack.api.evaluation_datasets.schemas import parsed_tags
from railtrack.auth import DATASET_EDIT
from railtrack.context import Context
from railtrack.db.retry import idempotent
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class SetDatasetTags(Request):
    dataset_id: RequiredStr
    tags: RequiredStr


@endpoint("PATCH", "datasets/{dataset_id}/tags", access=DATASET_EDIT, api="3.0")
@idempotent
async def set_dataset_tags(ctx: Context, req: SetDatasetTags) -> EmptyResponse:
    """Set the tags of the request, a JSON object as text; the others stay, and so does one whose value is null."""
    tags = parsed_tags(req.tags)
    async with ctx.db.write() as tx:
        await lock_dataset(tx, req.dataset_id, "Could not find evaluation dataset with ID {}")
        await tx.execute_rows(
            "INSERT INTO evaluation_dataset_tags (dataset_id, key, value) "
            "SELECT r.dataset_id, r.key, r.value FROM {rows} WHERE true "
            "ON CONFLICT (dataset_id, key) DO UPDATE SET value = excluded.value",
            {"dataset_id": "text", "key": "text", "value": "text"},
            [(req.dataset_id, key, value) for key, value in tags.items() if value is not None],
        )
    return EMPTY_RESPONSE


class DeleteDatasetTag(Request):
    dataset_id: RequiredStr
    key: RequiredStr


@endpoint("DELETE", "datasets/{dataset_id}/tags/{key...}", access=DATASET_EDIT, api="3.0")
@idempotent
async def delete_dataset_tag(ctx: Context, req: DeleteDatasetTag) -> EmptyResponse:
    """Delete a tag. To delete it again is no error."""
    async with ctx.db.write() as tx:
        await tx.execute(
            "DELETE FROM evaluation_dataset_tags WHERE dataset_id = $1 AND key = $2", req.dataset_id, req.key
        )
    return EMPTY_RESPONSE
