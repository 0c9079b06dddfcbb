"""Differences for requests rejected for their form: bodies, paths, methods, origins, page tokens, NULs."""

from tests.compat.differences.registry import because
from tests.compat.overrides import (
    SEE,
    Override,
    accepted,
    edited,
    missing,
    no_endpoint,
    not_allowed,
    not_json,
    redirected,
    rejected,
    wrong_type,
)

MADE_ELSEWHERE = rejected("Invalid page token, it was made for a search with other parameters")
OTHER_FILTER = rejected("Invalid page token, it was made for a search with another filter")
OTHER_FILTER_AND_ORDER = rejected(
    "Invalid page token, it was made for a search with another filter and another order_by"
)
OTHER_ORDER = rejected("Invalid page token, it was made for a search with another order_by")
NESTED = rejected("The JSON is nested 100 levels deep or deeper.")
NUL = rejected("A value of the request contains a NUL character (\\u0000), which cannot be stored.")
OF_LIST = rejected(f"The request body must be a JSON object, not a list. {SEE}")


def foreign_token(token: str) -> Override:
    return rejected(f"Invalid page token, it is not one that this server made: '{token}'")


because(
    "MLflow treats a body that is not JSON as empty and reports the first field as missing, or responds with 500.",
    {
        "log_metric_rejected": {"the literal *": not_json},
        "webhooks_rejected": {"not JSON": not_json},
        "graphql_rejections": {("no JSON", "a text"): not_json, "a batch": OF_LIST},
        "wire_bodies": {
            (
                "a body of a space",
                "a body of a text",
                "a body of half an object",
                "a body of an object and more",
                "a body of single quotes",
                "a body of a comma at the end",
                "a body of a form",
                "a body of XML",
                "a body of a control character",
                "a body as a base64 text",
            ): not_json,
            "a body of bytes that are no UTF-8": rejected(
                "The request body is not valid JSON: 'utf-8' codec can't decode byte 0xff in position 10: "
                "invalid start byte"
            ),
            ("a body of a list", "a body of a list of objects"): OF_LIST,
            "a body of a number": rejected(f"The request body must be a JSON object, not a int. {SEE}"),
            "a body of true": rejected(f"The request body must be a JSON object, not a bool. {SEE}"),
            ("a body of nested lists", "a body of nested objects"): NESTED,
        },
        "wire_bodies_of_gets": {("half an object", "a form"): not_json, "a list": OF_LIST},
    },
)

because(
    "MLflow responds with 500 to GraphQL requests with a missing or invalid query, or with invalid variables.",
    {
        "graphql_rejections": {
            ("no query", "an empty query", "an empty body"): missing("query"),
            "a query that is a number": wrong_type("query"),
            ("variables that are a list", "variables that are a text"): wrong_type("variables"),
            "a query that is no GraphQL": accepted(
                {"data": None, "errors": ["Syntax Error: Unexpected Name 'nonsense'."]}
            ),
        },
    },
)

because(
    "MLflow responds with HTML for 404 and 405; Railtrack uses the JSON form of all other errors.",
    {
        "artifacts_of_runs": {"get by POST": not_allowed("GET, HEAD, OPTIONS")},
        "artifacts_proxied": {
            ("put without a path", "delete without a path"): not_allowed("GET, HEAD, OPTIONS"),
            "post to a file": not_allowed("DELETE, GET, HEAD, OPTIONS, PUT"),
            "the start of a multipart upload, by GET": not_allowed("OPTIONS, POST"),
        },
        "datasets_search": {"at the clients' path": no_endpoint, "by GET": not_allowed("OPTIONS, POST")},
        "graphql_rejections": {"at the pages' path": no_endpoint},
        "metrics_bulk": {"at the clients' path": no_endpoint},
        "server": {("version by POST", "server-info by POST"): not_allowed("GET, HEAD, OPTIONS")},
        "wire_methods": {
            (
                "GET on experiments/create",
                "PUT on experiments/create",
                "PATCH on experiments/create",
                "DELETE on experiments/create",
                "TRACE on experiments/create",
                "FOO on experiments/create",
                "PATCH on runs/update",
                "DELETE on runs/delete",
            ): not_allowed("OPTIONS, POST"),
            (
                "POST on experiments/get",
                "PUT on experiments/get",
                "PATCH on experiments/get",
                "DELETE on experiments/get",
            ): not_allowed("GET, HEAD, OPTIONS"),
        },
        "wire_paths": {
            (
                "get nothing",
                "get experiments",
                "get experiments/",
                "get experiments/nothing",
                "get runs/nothing/at/all",
                "get /api/2.0/mlflow",
                "get /api/2.0/mlflow/",
                "get /api/2.0/",
                "get /api",
                "get /api/1.0/mlflow/experiments/get",
                "get /api/2.0/preview/mlflow/experiments/get",
                "get /api/3.0/mlflow/experiments/get",
                "get /api/4.0/mlflow/experiments/get",
                "get /ajax-api/2.0/preview/mlflow/experiments/get",
                "get /ajax-api/2.0/mlflow/nothing",
                "get /nothing",
                "get /api/2.0/mlflow/Experiments/Get",
                "get /api/2.0/mlflow/experiments/get/",
                "get /api/2.0/mlflow/experiments/../experiments/get",
                "get /%00",
                "get /api/2.0/mlflow/experiments/get%00",
                "post to nothing",
            ): no_endpoint,
            "get /static-files/nothing.js": rejected(
                "The web interface has no file 'nothing.js'.", "RESOURCE_DOES_NOT_EXIST", 404
            ),
            "a search without a query": not_allowed("OPTIONS, POST"),
        },
    },
)

because(
    "A redirect to a path is valid behind every proxy; MLflow's contains the Host that its server receives.",
    {
        "wire_slashes": {
            (
                "get /api/2.0/mlflow//experiments/get*",
                "get /api//2.0///mlflow//experiments/get*",
                "get //api/2.0//mlflow/experiments/get*",
                "get /api/2.0/mlflow%2F%2Fexperiments/get*",
                "get /api/2.0/mlflow/logged-models//m-0",
                "get /api/2.0/mlflow-artifacts//artifacts*",
                "create with two inner slashes",
            ): redirected,
        },
    },
)

because(
    "MLflow responds with HTML for 404 and 405, and with `{}` after it stored a file by a path with two slashes.",
    {
        "wire_slashes": {
            (
                "get //evil.example",
                "get //evil.example/version",
                "get //evil.example//version",
                "get /api/2.0/mlflow//nothing",
                "get /version//",
            ): no_endpoint,
            "update by GET with two inner slashes": not_allowed("OPTIONS, POST"),
            "put a file": accepted(),
        },
    },
)

because(
    "MLflow responds with 500 to GraphQL by GET, which it does not serve.",
    {"graphql_rejections": {("by GET", "by GET without a query"): not_allowed("OPTIONS, POST")}},
)


def cross_origin(origin: str) -> Override:
    return rejected(
        f"Cross-origin request blocked. If {origin} is the address of this server, which got the Host 'localhost', "
        "have the proxy forward the browser's Host with its port (nginx: proxy_set_header Host $http_host). If the "
        f"page is yours, add {origin} to MLFLOW_SERVER_CORS_ALLOWED_ORIGINS (--cors-allowed-origins).",
        "PERMISSION_DENIED",
        403,
    )


because(
    "MLflow ignores the query of HEAD requests; Railtrack responds as to a GET.",
    {"wire_methods": {"HEAD on experiments/get": edited(lambda response: response.update(status=404))}},
)

because(
    "The same error with its remedy, in the common JSON form. tests/compat/security has all cases.",
    {
        "wire_origins": {
            "post with the origin a foreign one": cross_origin("http://evil.example"),
            "post with the origin null": cross_origin("null"),
            "a foreign host": rejected(
                "Invalid Host header - possible DNS rebinding attack detected. If 'evil.example' is a name of this "
                "server, add it to MLFLOW_SERVER_ALLOWED_HOSTS (--allowed-hosts).",
                "PERMISSION_DENIED",
                403,
            ),
        },
    },
)

because(
    "The supported platforms expect JSON from the health check.",
    {"wire_origins": {"a foreign host asks for the health": accepted({"status": "ok"})}},
)

because(
    "Content types are compared case-insensitively, as HTTP requires.",
    {
        "wire_content_types": {
            "post as JSON in capitals": accepted({"experiment_id": "<experiment: post as JSON in capitals>"}),
        }
    },
)

because(
    "An empty body needs no content type.",
    {"wire_content_types": {"an empty post without a type": missing("name")}},
)

because(
    "Protobuf's names in camel case are accepted in all bodies; MLflow rejects them where it validates fields first.",
    {"wire_scalars": {"the name of a field in camel case": accepted({})}},
)

because(
    "Of a field in both spellings, the one in snake case counts. No client sends both.",
    {"wire_scalars": {"a field in both spellings": accepted({})}},
)

because(
    "Railtrack's page tokens hold the sort key of the last row instead of an offset, and belong to one search.",
    {
        "metrics_history": {
            ("a token of another metric", "a token without max_results"): MADE_ELSEWHERE,
            "a bad token": foreign_token("nonsense"),
        },
        "search_experiments_pages": {
            "its token with another order": OTHER_ORDER,
            ("a token: nonsense", "by GET with a bad token"): foreign_token("nonsense"),
            "a token: a number as text": foreign_token("12"),
        },
        "search_runs_pages": {
            "its token with another filter": OTHER_FILTER,
            ("its token with another order", "its token with another experiment"): OTHER_FILTER_AND_ORDER,
            "its token, altered": rejected("Invalid page token, could not base64-decode"),
            "a token: nonsense": foreign_token("nonsense"),
            "a token: a number as text": foreign_token("12"),
            "a token: base64 of nothing": foreign_token("e30="),
            "a token: with an emoji": rejected("Invalid page token, could not base64-decode"),
        },
    },
)

because(
    "PostgreSQL cannot store a NUL, and MLflow responds with 500; SQLite can. Railtrack rejects it on both.",
    {
        "columns_nul": {
            ("experiments/*", "runs/*", "metrics/*", "artifacts/*", "/ajax-api/*", "/get-artifact *"): NUL,
        },
        "artifacts_traversal": {("list a%00b", "artifacts/list a%00b", "get-artifact a%00b"): NUL},
    },
)
