"""Differences for logged models and the registry."""

from typing import Any

from tests.compat.differences.registry import because
from tests.compat.overrides import (
    Override,
    Response,
    accepted,
    edited,
    missing,
    no_endpoint,
    not_allowed,
    recoded,
    rejected,
    wrong_type,
)

DOUBLE_QUOTED = "filter 'name = \"alpha\"'"
OTHER_SEARCH = "Invalid page token, it was made for a search with"
NONSENSE = "Invalid page token, it is not one that this server made: 'nonsense'"
VARIABLE_HINT = (
    " Set the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to allow it."
)
ATTRIBUTES = (
    "artifact_location",
    "artifact_uri",
    "creation_time",
    "creation_timestamp",
    "creation_timestamp_ms",
    "experiment_id",
    "last_updated_timestamp",
    "last_updated_timestamp_ms",
    "lifecycle_stage",
    "model_id",
    "model_type",
    "name",
    "source_run_id",
    "status",
    "status_message",
)


def too_long(field_path: str, limit: int) -> Override:
    return rejected(f"'{field_path}' exceeds the maximum length of {limit} characters")


def twice(field_path: str) -> Override:
    return rejected(f"Duplicate key 'k' in '{field_path}': a model has one value for each.")


def found(*names: str) -> Override:
    return accepted({"models": list(names)})


def unknown_attribute(key: str) -> Override:
    valid = ", ".join(f"'{name}'" for name in ATTRIBUTES)
    return rejected(f"Invalid attribute key '{key}' specified. Valid keys are '{{{valid}}}'")


def not_by(key: str) -> Override:
    valid = "{'last_updated_timestamp', 'name', 'timestamp'}"
    return rejected(f"Invalid order by key '{key}' specified. Valid keys are '{valid}'")


def relative_source(source: str) -> Override:
    return rejected(
        f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, "
        "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references "
        "present. Please provide an absolute path."
    )


def not_local(source: str) -> Override:
    return rejected(
        f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id request "
        "parameter has to be specified and the local path has to be contained within the artifact directory of the run "
        "specified by the run_id."
    )


def without_the_variable(response: Response) -> None:
    response["json"]["message"] = response["json"]["message"].removesuffix(VARIABLE_HINT)


def without_the_database(response: Response) -> None:
    response["json"]["message"] = response["json"]["message"].partition(" Error: ")[0]


def finalized(request: dict[str, Any], theirs: Response) -> Response:
    """Expect the other model of the scenario with the status READY."""
    model_id, experiment_id = "<model: given the logged model other>", "<experiment: given the experiment life>"
    info = {
        "model_id": model_id,
        "experiment_id": experiment_id,
        "name": "other",
        "creation_timestamp_ms": "<time>",
        "last_updated_timestamp_ms": "<time>",
        "artifact_uri": f"mlflow-artifacts:/{experiment_id}/models/{model_id}/artifacts",
        "status": "LOGGED_MODEL_READY",
        "model_type": "",
        "source_run_id": "",
    }
    return {"status": 200, "json": {"model": {"info": info, "data": {}}}}


because(
    "PostgreSQL's columns in MLflow's schema hold no more, and MLflow passes the database error on; on SQLite it "
    "stores them. Values of logged models have no limit in MLflow; Railtrack's is 100,000 characters.",
    {
        "logged_models_create": {
            "a name over 500": too_long("name", 500),
            "a type over 500": too_long("model_type", 500),
            "a source run over 32": too_long("source_run_id", 32),
            **{
                f"{field}: {label}": too_long(f"{field}.{member}", limit)
                for field in ("params", "tags")
                for label, member, limit in (("a key of 256", "key", 255), ("a value over 100000", "value", 100_000))
            },
        },
        "logged_models_life": {"a tag key over 255": too_long("tags.key", 255)},
        "registry_models": {
            "a name over 256": too_long("name", 256),
            "a description over 5000": too_long("description", 5000),
            "a tag, 6": too_long("value", 5000),
        },
        "registry_versions": {
            "a run id over 32": too_long("run_id", 32),
            "a link over 500": too_long("run_link", 500),
            "a description over 5000": too_long("description", 5000),
            "a source over 500": too_long("source", 500),
        },
    },
)
because(
    "Railtrack reports the cause where MLflow passes a database error on. A repeated param is accepted, as for runs: "
    "a client that retries must not fail.",
    {
        "logged_models_create": {"params: a key twice": twice("params"), "tags: a key twice": twice("tags")},
        "logged_models_life": {
            "a param again": accepted({}),
            "a changed param": rejected(
                "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for "
                "model ID='<model: given the logged model one>'."
            ),
            "a param twice": twice("params"),
        },
        "registry_models": {"rename to a name taken": edited(without_the_database)},
    },
)
because(
    "MLflow drops a member of the wrong type, or converts it: an unknown status becomes unspecified. The caller needs "
    "the error.",
    {
        "logged_models_create": {"params is a list *": wrong_type("params"), "tags is a list *": wrong_type("tags")},
        "logged_models_life": {
            "the status 'READY'": wrong_type("status"),
            "the status 0": wrong_type("status"),
            "the status 7": wrong_type("status"),
            "the status '7'": wrong_type("status"),
            "the status True": wrong_type("status"),
            "the status 1.5": wrong_type("status"),
            "the status ['x']": wrong_type("status"),
            "the status 'LOGGED_MODEL_STATUS_UNSPECIFIED'": wrong_type("status"),
            "params is a list *": wrong_type("params"),
            "tags is a list *": wrong_type("tags"),
        },
        "logged_models_orders_and_pages": {
            "order by ['name']": wrong_type("order_by"),
            "order by [3]": wrong_type("order_by"),
            "ascending *": wrong_type("order_by[0].ascending"),
            "max_results -1": rejected(
                "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"
            ),
            "max_results 1.5": wrong_type("max_results"),
            "max_results True": wrong_type("max_results"),
            "max_results [1]": wrong_type("max_results"),
            "max_results 2147483648": wrong_type("max_results"),
        },
        "registry_models": {"tags is a list *": wrong_type("tags")},
        "registry_versions": {"tags is a list *": wrong_type("tags")},
    },
)
because(
    "The path identifies the model; the body need not repeat its id.",
    {
        "logged_models_life": {
            "a status without a model id": finalized,
            "params without a model id": accepted({}),
        },
    },
)
because(
    "MLflow includes the double quotes in the value, and looks for datasets without a digest; none of these searches "
    "has results.",
    {
        "logged_models_filters": {
            DOUBLE_QUOTED: found("alpha"),
            "filter \"artifact_uri LIKE '%'\"": found("delta", "gamma", "Beta", "alpha"),
            "on test of any digest: filter 'metrics.acc < 0.9'": found("Beta", "alpha"),
            "on test of any digest: filter ''": found("Beta", "alpha"),
        },
        "registry_search_pages": {
            "models by 'attribute.name'": accepted(
                {"registered_models": ["<prefix>Beta", "<prefix>alpha", "<prefix>gamma"]}
            ),
        },
    },
)
because(
    "All resources share one search language and its error messages; MLflow has several messages for the same error, "
    "or fails.",
    {
        "logged_models_filters": {
            "filter 'metrics.acc > NaN'": rejected("Expected a number for metrics.acc. Found NaN"),
            "filter \"metrics.acc > '0.8'\"": rejected("Expected a number for metrics.acc. Found '0.8'"),
            "filter \"creation_timestamp > '1'\"": rejected(
                "Expected a number for attributes.creation_timestamp. Found '1'"
            ),
            "filter '  '": rejected("Invalid filter '  '. Could not be parsed."),
            "filter \"name = 'a'; DROP TABLE logged_models\"": rejected(
                "Search filter contained multiple expression \"name = 'a'; DROP TABLE logged_models\". "
                "Provide AND-ed expression list."
            ),
            "filter 'name IS NULL'": rejected("Invalid comparison: name IS NULL. Expected a comparison with 3 tokens."),
            "filter 'params.lr IS NOT NULL'": rejected(
                "Invalid comparison: lr IS NOT NULL. Expected a comparison with 3 tokens."
            ),
            "filter \"colour = 'red'\"": unknown_attribute("colour"),
            "filter \"Name = 'alpha'\"": unknown_attribute("Name"),
            "filter \"'alpha' = name\"": rejected("Invalid comparison clause. Expected 'Identifier' found ''alpha''"),
            "filter 'name IN ()'": rejected(
                "While parsing a list in the query, expected a non-empty list of string values, but got empty list"
            ),
            "filter 'name IN (1)'": rejected(
                "While parsing a list in the query, expected string value, punctuation, or whitespace, but got "
                "different type in list: (1,)"
            ),
        },
        "logged_models_orders_and_pages": {
            "its token with another order": rejected(f"{OTHER_SEARCH} another order_by"),
            "its token with another filter": rejected(f"{OTHER_SEARCH} another filter"),
            "its token with other ids": rejected(f"{OTHER_SEARCH} other parameters"),
            "a token that is nonsense": rejected(NONSENSE),
        },
        "registry_search_filters": {
            ("models: only 'nonsense nonsense'", "versions: only 'nonsense nonsense'"): rejected(
                "Invalid clause(s) in filter string: nonsense, nonsense"
            ),
            "versions: 'version_number = 1.5'": rejected("Invalid value for numeric attribute 'version_number': '1.5'"),
            "versions: \"version_number LIKE '1'\"": rejected("Invalid comparator for attribute: LIKE"),
        },
        "registry_search_pages": {
            ("models by ['name', 'name']", "versions by ['name', 'name']"): recoded("INVALID_PARAMETER_VALUE", 400),
            "models by 'creation_timestamp'": not_by("creation_timestamp"),
            "models by 'description'": not_by("description"),
            "models by 'NAME'": not_by("NAME"),
            ("models by 'tags.team'", "versions by 'tags.k'"): rejected(
                "Registered models and their versions cannot be ordered by a tag"
            ),
            "models by 'attributes.name'": rejected(
                "Invalid entity type 'attributes'. Valid entity types are ('attribute', 'tag', 'tags')"
            ),
            ("models: a token that is nonsense", "versions: a token that is nonsense"): rejected(NONSENSE),
        },
    },
)
because(
    "A source must not contain traversal in its query or after a backslash, nor name files of another host; no "
    "variable allows a host.",
    {
        "registry_sources": {
            "the source 's3://b/x?y=..'": relative_source("s3://b/x?y=.."),
            r"the source 's3://b/\\..\\x'": relative_source(r"s3://b/\..\x"),
            "the source 'file://host/etc'": not_local("file://host/etc"),
            "beside the local run's /a/%2e%2e/%2e%2e/x": not_local(
                "/srv/compat-of-railtrack/<id: given a local run>/artifacts/a/%2e%2e/%2e%2e/x"
            ),
            (
                "the source 'http://x/y'",
                "the source 'https://x/../y'",
                "the source 'http:x'",
                "the source 'ftp://h/x'",
                "the source 'hdfs://h/x'",
                "the source 'abfss://x'",
                "the source 'r2://b/x'",
                "the source 'mlflow-artifacts://host/x'",
                "a host with the run",
                "a bad name and a host",
            ): edited(without_the_variable),
        },
    },
)
because(
    "The UI shows it as a link, which must not run a script.",
    {
        "registry_versions": {
            "a script for a link": rejected("Invalid run_link 'javascript:alert(1)'. It must be an http or https URL."),
        },
    },
)
because(
    "MLflow responds with 500, HTML or an inconsistent message to an invalid request.",
    {
        "logged_models_life": {"create by PUT": not_allowed("OPTIONS, POST")},
        "logged_models_artifacts": {"get at the clients' path": no_endpoint},
        "registry_models": {"create by PUT": not_allowed("OPTIONS, POST")},
        "registry_versions": {
            ("get '99999999999999999999'", "download uri of '99999999999999999999'"): rejected(
                "Model Version (name=<prefix>model, version=99999999999999999999) not found",
                "RESOURCE_DOES_NOT_EXIST",
                404,
            ),
            "download uri of ''": missing("version"),
        },
        "registry_stages": {
            "move 6: 4 to None, archiving": recoded("INVALID_PARAMETER_VALUE", 400),
            "move 7: 4 to Archived, archiving": recoded("INVALID_PARAMETER_VALUE", 400),
        },
        "registry_copies": {"of /Staging": recoded("INVALID_PARAMETER_VALUE", 400)},
        "registry_artifacts": {
            ("the path ''", "no path"): missing("path"),
            "no name": missing("name"),
            "no version": missing("version"),
            "at the clients' path": no_endpoint,
        },
    },
)
