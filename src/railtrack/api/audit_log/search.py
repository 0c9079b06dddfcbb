"""Search the audit log of a server with login."""

import msgspec

from railtrack.auth import ADMINISTRATION
from railtrack.auth.audit_entries import AuditEntry, AuditFilter, search_entries
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.wire.request import Int32, Int64, Request
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 100
PAGE_LIMIT = 1000
ID_DIGITS = 18


class SearchAuditLog(Request):
    """`since` and `until` are in milliseconds."""

    username: str = ""
    action: str = ""
    resource_type: str = ""
    resource_id: str = ""
    is_denied: bool | None = None
    since: Int64 = 0
    until: Int64 | None = None
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""


class SearchAuditLogResponse(msgspec.Struct, omit_defaults=True):
    entries: list[AuditEntry] = []
    next_page_token: str = ""


@endpoint("GET", "audit-log/search", api="3.0", access=ADMINISTRATION, only_with_login=True)
async def search_audit_log(ctx: Context, req: SearchAuditLog) -> SearchAuditLogResponse:
    """Return a page of the entries that match all given fields, the newest first. `action` may be a part of one."""
    if not 1 <= req.max_results <= PAGE_LIMIT:
        raise invalid(f"Invalid max_results: {req.max_results}. Use 1 to {PAGE_LIMIT}.")
    before_id = None
    if token := req.page_token:
        if not token.isascii() or not token.isdigit() or len(token) > ID_DIGITS:
            raise invalid("Invalid page_token. Use the next_page_token of a response.")
        before_id = int(token)
    wanted = AuditFilter(
        username=req.username,
        action=req.action,
        resource_type=req.resource_type,
        resource_id=req.resource_id,
        is_denied=req.is_denied,
        since_ms=req.since,
        until_ms=req.until,
        before_id=before_id,
    )
    entries = await search_entries(ctx.db, wanted, req.max_results + 1)
    more = len(entries) > req.max_results
    del entries[req.max_results :]
    return SearchAuditLogResponse(entries, str(entries[-1].id) if more else "")
