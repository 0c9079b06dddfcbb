"""The page of the audit log, for administrators in a browser's session."""

from urllib.parse import urlencode

from railtrack.api.account import html
from railtrack.api.account.forms import session_of
from railtrack.auth import ADMINISTRATION
from railtrack.auth.audit_entries import AuditFilter, search_entries
from railtrack.auth.sessions import csrf_token
from railtrack.context import Context
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint

ENTRIES = 100
FILTER_LIMIT = 255
ID_DIGITS = 18


@endpoint("GET", "/account/audit", access=ADMINISTRATION, only_with_login=True)
async def audit_page(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Return a page of the audit log, filtered by the query."""
    form = session_of(ctx, http)
    fields = {name: values[-1].strip()[:FILTER_LIMIT].replace("\0", "") for name, values in http.query.items()}
    before = fields.get("before", "")
    wanted = AuditFilter(
        username=fields.get("user", ""),
        action=fields.get("action", ""),
        is_denied={"denied": True, "allowed": False}.get(fields.get("outcome", "")),
        before_id=int(before) if before.isascii() and before.isdigit() and len(before) <= ID_DIGITS else None,
    )
    entries = await search_entries(ctx.db, wanted, ENTRIES + 1)
    older = ""
    if len(entries) > ENTRIES:
        del entries[ENTRIES:]
        kept = {name: fields[name] for name in ("user", "action", "outcome") if fields.get(name)}
        older = urlencode({**kept, "before": entries[-1].id})
    prefix = ctx.settings.server.static_prefix
    content = [
        html.account_header(prefix, csrf_token(form.session), "Audit log", html.account_link(prefix)),
        html.audit_section(prefix, entries, wanted, older, is_recorded=ctx.audit_log is not None),
    ]
    return html.page("Audit log", f'<main class="wide">{"".join(content)}</main>')
