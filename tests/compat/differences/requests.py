"""Requests that are refused before or beside their meaning: bodies, paths, methods, origins, page tokens, NULs."""

from tests.compat.differences.listed import because
from tests.compat.ours import (
    SEE,
    Ours,
    accepted,
    edited,
    in_the_common_form,
    missing,
    no_endpoint,
    not_allowed,
    not_json,
    refused,
    wrong_type,
)

MADE_ELSEWHERE = refused("Invalid page token, it was made for a search with other parameters")
NESTED = refused("The request body is nested deeper than 100 levels.")
NUL = refused("A value of the request contains a NUL character (\\u0000), which cannot be stored.")
OF_LIST = refused(f"The request body must be a JSON object, not a list. {SEE}")


def not_ours(token: str) -> Ours:
    return refused(f"Invalid page token, it is not one that this server made: '{token}'")


because(
    "MLflow takes a body that is no JSON for an empty one and complains about the first field, or answers 500.",
    {
        "log_metric_refused": {"the literal *": not_json},
        "webhooks_refused": {"not JSON": not_json},
        "graphql_refusals": {("no JSON", "a text"): not_json, "a batch": OF_LIST},
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
            "a body of bytes that are no UTF-8": refused(
                "The request body is not valid JSON: 'utf-8' codec can't decode byte 0xff in position 10: "
                "invalid start byte"
            ),
            ("a body of a list", "a body of a list of objects"): OF_LIST,
            "a body of a number": refused(f"The request body must be a JSON object, not a int. {SEE}"),
            "a body of true": refused(f"The request body must be a JSON object, not a bool. {SEE}"),
            ("a body of nested lists", "a body of nested objects"): NESTED,
        },
    },
)

because(
    "MLflow answers 500 to GraphQL requests without a query, with one that is none, or with odd variables.",
    {
        "graphql_refusals": {
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
    "MLflow answers 404 and 405 with a page of HTML; ours say the same in the form of its other errors.",
    {
        "artifacts_of_runs": {"get by POST": not_allowed("GET")},
        "artifacts_proxied": {
            ("put without a path", "delete without a path"): not_allowed("GET"),
            "post to a file": not_allowed("DELETE, GET, PUT"),
            "the start of a multipart upload, by GET": not_allowed("POST"),
        },
        "datasets_search": {"at the clients' path": no_endpoint, "by GET": not_allowed("POST")},
        "graphql_refusals": {"at the pages' path": no_endpoint},
        "metrics_bulk": {"at the clients' path": no_endpoint},
        "server": {("version by POST", "server-info by POST"): not_allowed("GET")},
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
            ): not_allowed("POST"),
            (
                "POST on experiments/get",
                "PUT on experiments/get",
                "PATCH on experiments/get",
                "DELETE on experiments/get",
            ): not_allowed("GET"),
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
                "get /api/2.0/mlflow//experiments/get",
                "get /api/2.0/mlflow/experiments/get/",
                "get /api/2.0/mlflow/experiments/../experiments/get",
                "get /%00",
                "get /api/2.0/mlflow/experiments/get%00",
                "post to nothing",
            ): no_endpoint,
            "get /static-files/nothing.js": refused(
                "The web interface has no file 'nothing.js'.", "RESOURCE_DOES_NOT_EXIST", 404
            ),
            "a search without a query": not_allowed("POST"),
        },
    },
)

because(
    "MLflow answers 500 to GraphQL by GET, which it doesn't serve.",
    {"graphql_refusals": {("by GET", "by GET without a query"): not_allowed("POST")}},
)

because(
    "No page of another origin may call us, so that there is nothing to allow a browser that asks beforehand.",
    {
        "wire_methods": {
            "OPTIONS on experiments/create": not_allowed("POST"),
            "OPTIONS on experiments/get": not_allowed("GET"),
        },
        "wire_origins": {
            "post with the origin this machine's": refused("Cross-origin request blocked.", "PERMISSION_DENIED", 403),
        },
    },
)

because(
    "MLflow's HEAD doesn't see the query; ours answers what a GET would.",
    {"wire_methods": {"HEAD on experiments/get": edited(lambda response: response.update(status=404))}},
)

because(
    "The same refusal, in the form of the other errors.",
    {
        "wire_origins": {
            "post with the origin a foreign one": in_the_common_form("PERMISSION_DENIED"),
            "post with the origin null": in_the_common_form("PERMISSION_DENIED"),
            "a foreign host": refused(
                "Invalid Host header: this server listens on a loopback address only, "
                "and MLFLOW_SERVER_ALLOWED_HOSTS doesn't name this host.",
                "PERMISSION_DENIED",
                403,
            ),
        },
    },
)

because(
    "The platforms that we run on read the health as JSON.",
    {"wire_origins": {"a foreign host asks for the health": accepted({"status": "ok"})}},
)

because(
    "The type of a body is compared without regard to case, as HTTP has it.",
    {
        "wire_content_types": {
            "post as JSON in capitals": accepted({"experiment_id": "<experiment: post as JSON in capitals>"}),
        }
    },
)

because(
    "A GET is told by its query alone, and an empty body needs no type.",
    {
        "wire_content_types": {
            "get with a body": missing("experiment_id"),
            "an empty post without a type": missing("name"),
        }
    },
)

because(
    "MLflow takes the camel case that protocol buffers know, in the endpoints that don't check their fields first; "
    "no client sends it, and ours are unknown fields.",
    {
        "wire_scalars": {
            "a run in camel case": missing("experiment_id"),
            "a search in camel case": accepted({"runs": ["scalars"]}),
        }
    },
)

because(
    "Our page tokens hold the place where the page ended, not a number of rows, and belong to one question.",
    {
        "metrics_history": {
            ("a token of another metric", "a token without max_results"): MADE_ELSEWHERE,
            "a bad token": not_ours("nonsense"),
        },
        "search_experiments_pages": {
            "its token with another order": MADE_ELSEWHERE,
            ("a token: nonsense", "by GET with a bad token"): not_ours("nonsense"),
            "a token: a number as text": not_ours("12"),
        },
        "search_runs_pages": {
            (
                "its token with another order",
                "its token with another filter",
                "its token with another experiment",
            ): MADE_ELSEWHERE,
            "its token, altered": not_ours("x<token>"),
            "a token: nonsense": not_ours("nonsense"),
            "a token: a number as text": not_ours("12"),
            "a token: base64 of nothing": not_ours("e30="),
            "a token: with an emoji": refused("Invalid page token, could not base64-decode"),
        },
    },
)

because(
    "PostgreSQL cannot store a NUL, for which MLflow answers 500; SQLite would. We refuse it on both.",
    {
        "columns_nul": {
            ("experiments/*", "runs/*", "metrics/*", "artifacts/*", "/ajax-api/*", "/get-artifact *"): NUL,
        },
        "artifacts_climbing": {("list a%00b", "artifacts/list a%00b", "get-artifact a%00b"): NUL},
    },
)
