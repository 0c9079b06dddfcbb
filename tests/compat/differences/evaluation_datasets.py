"""Differences in evaluation datasets, scorers and issues: values that MLflow drops, or responds to with 500."""

import json

from tests.compat.differences.registry import because
from tests.compat.overrides import Override, accepted, not_json, rejected, wrong_type

because(
    "MLflow drops a member of the wrong type, and acts as if it were absent, or responds with 500.",
    {
        "evaluation_datasets_life": {
            f"{verb}: experiment_ids is a list {what}": wrong_type("experiment_ids")
            for verb in ("add", "remove")
            for what in ("of numbers", "with null")
        },
        "evaluation_datasets_records": {
            (
                "delete: dataset_record_ids is a list of numbers",
                "delete: dataset_record_ids is a list with null",
            ): wrong_type("dataset_record_ids"),
        },
        "evaluation_datasets_tags": {
            ("create: experiment_ids is a list of numbers", "create: experiment_ids is a list with null"): wrong_type(
                "experiment_ids"
            ),
            "create by no JSON": not_json,
        },
        "scorers_rejected": {
            f"delete: version is a{n} {kind}": wrong_type("version")
            for n, kind in (
                ("", "fraction"),
                ("", "boolean"),
                ("", "list"),
                ("n", "object"),
                ("", "number over 64 bits"),
            )
        },
        "evaluation_datasets_rejected_records": {"max_results: a word": wrong_type("max_results")},
        "evaluation_datasets_search": {
            (
                "max_results: a fraction",
                "max_results: a boolean",
                "max_results: a list",
                "max_results: an object",
                "max_results: a number over 64 bits",
            ): wrong_type("max_results"),
        },
    },
)

NO_JSON = "is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
SOURCE = "The source of a record must have 'source_type', a text, may have 'source_data', an object."
because(
    "MLflow responds with 500, or ignores what is not an object.",
    {
        "evaluation_datasets_tags": {
            ("tags of no JSON", "create with tags of no JSON"): rejected(f"The value of 'tags' {NO_JSON}"),
            "create with tags of a text": rejected("The value of 'tags' must be a JSON object."),
            "tags of a list": accepted({}),
        },
        "evaluation_datasets_rejected_records": {
            ("from a member too many", "from no type"): rejected(SOURCE),
            "from a text": rejected("records[0].source must be a JSON object."),
            (
                "a record with inputs of null",
                "a record with inputs of a text",
                "a record with inputs of a list",
            ): rejected("records[0].inputs must be a JSON object."),
            "a record with expectations of a text": rejected("records[0].expectations must be a JSON object."),
            ("a record with tags of a text", "a record with tags of a list"): rejected(
                "records[0].tags must be a JSON object."
            ),
            ("a record with a text", "a record with a number", "a record with null"): rejected(
                "records[0] must be a JSON object."
            ),
            "records of no JSON": rejected(f"The value of 'records' {NO_JSON}"),
            ("records of an object", "records of a text", "records of null"): rejected(
                "The value of 'records' must be a JSON array."
            ),
            "max_results: fewer than none": rejected(
                "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"
            ),
        },
    },
)

NOBODY = "d-0123456789abcdef0123456789abcdef"
because(
    "MLflow shows an error of the database, or ignores that there is no such dataset.",
    {
        "evaluation_datasets_rejected_records": {
            ("a record of nobody", "no record of nobody"): rejected(
                f"Evaluation dataset with id '{NOBODY}' not found", "RESOURCE_DOES_NOT_EXIST", 404
            ),
        },
    },
)


def found(*datasets: tuple[str, dict[str, str], dict[str, str]]) -> Override:
    """Expect these datasets: name, tags and further fields."""
    times = {"created_time": "<time>", "last_update_time": "<time>", "digest": "<digest>"}
    return accepted(
        {
            "datasets": [
                {
                    "dataset_id": f"d-<id: given the dataset {name}>",
                    "name": f"<prefix>{name}",
                    "tags": json.dumps(tags),
                    **times,
                    **more,
                }
                for name, tags, more in datasets
            ]
        }
    )


USERS = {"created_by": "ada", "last_updated_by": "ada"}
because(
    "MLflow has no NOT IN here, and no key in backticks, but a RLIKE that its documentation lacks.",
    {
        "evaluation_datasets_search": {
            "filter name NOT IN ('alpha')": found(
                ("Gamma", {"mlflow.user": "ada"}, USERS), ("beta", {"kind": "e2e"}, {})
            ),
            "filter tags.`kind` = 'unit'": found(("alpha", {"kind": "unit", "mlflow_user": "ada"}, {})),
            "filter name RLIKE 'a'": rejected("Invalid comparator for string attribute: RLIKE"),
            "a token that is none": rejected("Invalid page token, it is not one that this server made: 'abc'"),
        },
    },
)

because(
    "Page tokens are Railtrack's own.",
    {
        "issues_search": {
            "search a bad token": rejected("Invalid page token, it is not one that this server made: 'abc'"),
        },
    },
)
