"""Differences in assessments of traces: values that MLflow drops, or responds to with 500."""

from tests.compat.differences.registry import because
from tests.compat.overrides import Override, Response, edited, not_json, rejected, wrong_type

SERIALIZED = "The value of 'assessment.expectation.serialized_value.value' is not valid JSON: "

because(
    "MLflow drops a member that it cannot parse and all later ones, and stores the rest, or reports that the "
    "assessment has no type. The caller needs the error.",
    {
        "assessments_fields": {
            (
                "the source type 'AI_JUDGE'",
                "the source type 'human'",
                "the source type 0",
                "the source type 9",
                "the source type ''",
            ): wrong_type("assessment.source.source_type"),
            "source is empty": wrong_type("assessment.source"),
            (
                "create_time is empty",
                "a time that is no time",
                "a time that is a number",
                "a time without a zone",
            ): wrong_type("assessment.create_time"),
            ("metadata of a number", "metadata that is a list"): wrong_type("assessment.metadata"),
            "two kinds": rejected("Exactly one of `expectation`, `feedback`, or `issue` should be specified."),
            "an assessment that is a text": wrong_type("assessment"),
            **{
                f"{field} is a{n} {kind}": wrong_type(f"assessment.{field}")
                for field in ("assessment_name", "rationale", "span_id", "overrides")
                for n, kind in (("", "number"), ("", "fraction"), ("", "boolean"), ("", "list"), ("n", "object"))
            },
            "not JSON": not_json,
        },
        "assessments_updates": {
            ("update by a mask of paths", "update by a mask that is a number"): wrong_type("update_mask"),
            "update to both": rejected("Cannot specify both `expectation` and `feedback` parameters."),
        },
    },
)


def renamed(name: str) -> Override:
    def edit(response: Response) -> None:
        response["json"]["assessment"]["assessment_name"] = name

    return edited(edit)


because(
    "MLflow ignores the only spelling of the name that its documentation has.",
    {"assessments_updates": {"update the name in snake case": renamed("snake")}},
)


def updated(name: str) -> Override:
    reference = {
        "assessment_id": "a-<id: given a reference>",
        "assessment_name": name,
        "trace_id": "tr-<prefix>one",
        "source": {"source_type": "HUMAN", "source_id": "ada@example.com"},
        "create_time": "2023-11-14T22:13:21.250Z",
        "last_update_time": "<time>",
        "valid": True,
        "issue": {"issue_name": "wrong"},
        "rationale": "others",
    }
    return lambda request, theirs: {"status": 200, "json": {"assessment": reference}}


because(
    "MLflow responds with 500.",
    {
        "assessments_values": {
            "serialized expectation of no JSON": rejected(
                SERIALIZED + "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
            ),
            "serialized expectation of nothing": rejected(SERIALIZED + "Expecting value: line 1 column 1 (char 0)"),
        },
        "assessments_updates": {
            "update valid": rejected(
                "The field 'valid' of an assessment cannot be updated: create one that overrides it."
            ),
            "update the reference: the rationale": updated("iss-1"),
            ("update the reference: the name", "the reference after all"): updated("iss-2"),
        },
    },
)
