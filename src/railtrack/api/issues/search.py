"""issues/search, with its filters, orders and pages."""

from collections.abc import Sequence

import msgspec

from railtrack.api.issues.schemas import (
    SEVERITIES,
    STATUSES,
    TRACE_COUNT,
    Details,
    Issue,
    all_columns,
    category_hash,
    check_choice,
    check_texts,
    details,
    from_row,
)
from railtrack.auth import EXPERIMENTS_READ
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.ids import experiment_number, known_numbers
from railtrack.search.builder import SearchBuilder
from railtrack.search.conditions import Parameters
from railtrack.search.fields import EntityFields, Field, SearchFields, SortKey, ValueType
from railtrack.search.page import rows_within
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import hold_for_response
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 100
MAX_RESULTS = 50_000
ROWS_AT_ONCE = 1000
"""Issues of a page, which then ends early."""
PAGE_BYTES = 1024 * 1024
PAGE_FACTOR = 4
ITEMS_LIMIT = 100


def _rank(column: str, names: Sequence[str], other: int) -> str:
    """Return the SQL of a text's place among `names`."""
    cases = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(names))
    return f"CASE {column} {cases} ELSE {other} END"


SEVERITY_RANK = _rank("issues.severity", SEVERITIES, -1)
STATUS_RANK = _rank("issues.status", STATUSES, len(STATUSES))
SIZE = (
    "500 + LENGTH(issues.description) + LENGTH(COALESCE(issues.root_causes, '')) "
    "+ LENGTH(COALESCE(issues.categories, ''))"
)
NEWEST = (
    SortKey("issues.created_timestamp", ValueType.BIGINT, descending=True),
    SortKey("issues.issue_id", ValueType.TEXT, descending=True),
)
_FIELDS = EntityFields(
    name="attribute",
    fields={"source_run_id": Field("issues.source_run_id"), "status": Field("issues.status")},
    comparators=("!=", "="),
    accepts_unquoted_text=True,
    unknown_key="Invalid filter field '{key}'. Supported fields: {valid}",
    invalid_comparator="Invalid comparator '{comparator}'. Supported comparators: {valid}",
)
ISSUES = SearchFields(
    table="issues",
    entities={"": _FIELDS},
    default_order=NEWEST,
    unknown_entity="Invalid filter field '{entity}'. Supported fields: {{'source_run_id', 'status'}}",
    null_not_supported="Invalid comparator '{comparator}'. Supported comparators: {{'!=', '='}}",
    order_not_supported="Invalid issue order_by: {entity}",
    invalid_clauses="Invalid clause(s) in filter string: {clauses}",
)


class SearchIssues(Request):
    experiment_id: str = ""
    filter_string: str = ""
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""
    include_trace_count: bool = False
    name: str | None = None
    statuses: list[str] = []
    severities: list[str] = []
    categories: list[str] = []
    order_by: list[str] = []
    include_total_count: bool = False
    view: str | None = None


class SearchIssuesResponse(msgspec.Struct, omit_defaults=True):
    issues: list[Issue] = []
    next_page_token: str | None = None
    total_count: int | None = None


@endpoint("POST", "issues/search", access=EXPERIMENTS_READ, api="3.0", is_read=True)
async def search_issues(ctx: Context, req: SearchIssues) -> SearchIssuesResponse:
    """Return a page of the issues that match, by default the most severe first. It ends early after PAGE_BYTES."""
    _check(req)
    of = await details(ctx.db)
    parameters = Parameters()
    search = SearchBuilder(ISSUES, f"issues.issue_id, {SIZE}", parameters)
    if req.experiment_id:
        search.where(f"issues.experiment_id = {parameters.add(experiment_number(req.experiment_id))}")
    readable = await ctx.read_filter("experiment")
    if readable.ids or not readable.everything:
        search.restrict("issues.experiment_id", known_numbers(readable.ids), excluded=readable.everything)
        if not readable.everything and not readable.ids:
            return SearchIssuesResponse(next_page_token="")
    search.where("TRUE").filter(req.filter_string)
    _restrict(search, parameters, req, of)
    search.sort(_order(req, of))
    query = search.build(req.page_token)
    limit = min(req.max_results, ROWS_AT_ONCE)
    statement = query.page(query.start, limit + 1)
    sized = await ctx.db.fetch(statement.sql, *statement.values)
    number, size = rows_within([row[1] for row in sized[:limit]], PAGE_BYTES)
    await hold_for_response(ctx.http, PAGE_FACTOR * size)
    total = None
    if req.include_total_count:
        total = await ctx.db.fetch_value(
            f"SELECT COUNT(*) FROM issues WHERE {' AND '.join(query.where)}",  # noqa: S608 (our own text)
            *query.values,
        )
    columns = all_columns(of, TRACE_COUNT if req.include_trace_count else "NULL")
    rows = {
        row[0]: row
        for row in await ctx.db.fetch(
            f"SELECT {columns} FROM issues WHERE issue_id = ANY($1)",  # noqa: S608 (our own text)
            [row[0] for row in sized[:number]],
        )
    }
    issues = [from_row(rows[row[0]]) for row in sized[:number] if row[0] in rows]
    if req.view == "basic":
        for issue in issues:
            issue.description, issue.root_causes, issue.metadata = "", [], {}
    token = query.token_after(sized[number - 1][2:]) if number < len(sized) else ""
    return SearchIssuesResponse(issues, token, total)


def _check(req: SearchIssues) -> None:
    if req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    if req.max_results > MAX_RESULTS:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be at most {MAX_RESULTS}"
        )
    if req.name is not None and len(req.name) > 250:
        raise invalid("name must be a string of at most 250 characters")
    for field in ("statuses", "severities", "order_by"):
        if len(getattr(req, field)) > ITEMS_LIMIT:
            raise invalid(f"{field} must be a list of at most 100 strings")
    check_texts("categories", req.categories)
    for status in req.statuses:
        check_choice("status", status, STATUSES)
    for severity in req.severities:
        check_choice("severity", severity, SEVERITIES)
    if req.view not in (None, "basic", "full"):
        raise invalid("view must be basic or full")


def _restrict(search: SearchBuilder, parameters: Parameters, req: SearchIssues, of: Details) -> None:
    if req.name is not None:
        escaped = req.name.replace("#", "##").replace("%", "#%").replace("_", "#_")
        search.where(f"lower(issues.name) LIKE lower({parameters.add(f'%{escaped}%')}) ESCAPE '#'")
    if req.statuses:
        search.among("issues.status", sorted(set(req.statuses)))
    if req.severities:
        search.among("issues.severity", sorted(set(req.severities)))
    if req.categories and of.are_stored:
        hashes = parameters.add(sorted(set(map(category_hash, req.categories))))
        search.where(
            "EXISTS (SELECT 1 FROM issue_categories c WHERE c.issue_id = issues.issue_id "  # noqa: S608 (our own text)
            f"AND c.category_hash = ANY({hashes}))"
        )
    elif req.categories:
        raise invalid("The database of this server is of MLflow 3.17, which cannot search for categories of issues.")


def _order(req: SearchIssues, of: Details) -> list[SortKey]:
    sortable: dict[str, tuple[str, ValueType]] = {
        "name": ("lower(issues.name)", ValueType.TEXT),
        "status": (STATUS_RANK, ValueType.BIGINT),
        "severity": (SEVERITY_RANK, ValueType.BIGINT),
        "created_timestamp": ("issues.created_timestamp", ValueType.BIGINT),
        "last_updated_timestamp": ("issues.last_updated_timestamp", ValueType.BIGINT),
        "last_seen_timestamp": (of.last_seen, ValueType.BIGINT),
    }
    keys: list[SortKey] = []
    for order in req.order_by:
        name, *direction = order.split() or [""]
        directions = [one.upper() for one in direction]
        if name not in sortable or directions not in ([], ["ASC"], ["DESC"]):
            raise invalid(f"Invalid issue order_by: {order[:250]!r}")
        expression, kind = sortable[name]
        keys.append(SortKey(expression, kind, descending=directions == ["DESC"]))
    if keys:
        return [*keys, NEWEST[1]]
    keys = [SortKey(SEVERITY_RANK, ValueType.BIGINT, descending=True)]
    if req.include_trace_count:
        keys.append(SortKey(TRACE_COUNT, ValueType.BIGINT, descending=True))
    return [*keys, *NEWEST]
