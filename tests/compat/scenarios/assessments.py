"""Assessments of traces: feedback, expectations, references to issues, overrides, updates and rejected requests."""

from typing import Any

from tests.compat.play import Response, Script, get, raw
from tests.compat.scenarios.given import NOT_A_STRING, experiment, run, with_each, without_each
from tests.compat.scenarios.given_traces import AJAX_V3, delete3, get3, patch3, post3, trace

CREATED = "2023-11-14T22:13:21.250Z"
UPDATED = "2023-11-14T22:13:22Z"
HUMAN = {"source_type": "HUMAN", "source_id": "ada@example.com"}
NOBODY = "a-0123456789abcdef0123456789abcdef"


def feedback(value: Any, **fields: Any) -> dict[str, Any]:
    one = {"assessment_name": "good", "source": HUMAN, "create_time": CREATED, "last_update_time": UPDATED}
    return {"assessment": {**one, "feedback": {"value": value}, **fields}}


def expectation(fields: dict[str, Any], **others: Any) -> dict[str, Any]:
    one = {"assessment_name": "answer", "source": HUMAN, "create_time": CREATED, "last_update_time": UPDATED}
    return {"assessment": {**one, "expectation": fields, **others}}


def serialized(text: str, form: str = "JSON_FORMAT") -> dict[str, Any]:
    return {"serialized_value": {"serialization_format": form, "value": text}}


def issue(**fields: Any) -> dict[str, Any]:
    one = {"assessment_name": "iss-1", "source": HUMAN, "create_time": CREATED, "last_update_time": UPDATED}
    return {"assessment": {**one, "issue": {"issue_name": "wrong"}, **fields}}


def made(response: Response) -> str:
    found: str = response.at("assessment", "assessment_id")
    return found


def given(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "assessed")
    trace_id = yield from trace(prefix, experiment_id, "one")
    return f"traces/{trace_id}/assessments"


VALUES: dict[str, Any] = {
    "true": True,
    "false": False,
    "a whole number": 3,
    "a fraction": 0.25,
    "a negative number": -1,
    "a large number": 12345678901234567890,
    "a number beyond a million": 1234567.0,
    "a text": "yes",
    "a text with other letters": 'é 한글 "quoted" \\ \n',
    "an empty text": "",
    "a list": ["a", 1, True, None],
    "an empty list": [],
    "an object": {"a": {"c": [1.5, 2]}},
    "an empty object": {},
    "null": None,
}


def values(prefix: str) -> Script:
    path = yield from given(prefix)
    for label, value in VALUES.items():
        one = made((yield post3(f"feedback of {label}", path, feedback(value))))
        yield get3(f"feedback of {label}: get", f"{path}/{one}")
        yield post3(f"expectation of {label}", path, expectation({"value": value}))
    for label, text in {
        "a list": "[1, 2]",
        "an object": '{"a": {"b": null}}',
        "a text": '"x"',
        "a number": "1.5",
        "true": "true",
        "null": "null",
        "no JSON": "{",
        "nothing": "",
    }.items():
        yield post3(f"serialized expectation of {label}", path, expectation(serialized(text)))
    yield post3("serialized in another form", path, expectation(serialized("{}", "PICKLE")))
    yield post3("an expectation of nothing", path, expectation({}))
    yield post3("a feedback of nothing", path, {"assessment": {**feedback(1)["assessment"], "feedback": {}}})
    error = {"error_code": "RATE_LIMIT", "error_message": "too many", "stack_trace": "at line 1"}
    one = made((yield post3("feedback with an error", path, feedback(None, feedback={"error": error}))))
    yield get3("feedback with an error: get", f"{path}/{one}")
    yield post3("an error without a message", path, feedback(1, feedback={"value": 1, "error": {"error_code": "E"}}))
    yield post3("an empty error", path, feedback(1, feedback={"value": 1, "error": {}}))
    long = {"error_code": "E", "stack_trace": "x" * 12_000}
    yield post3("a long stack trace", path, feedback(1, feedback={"value": 1, "error": long}))
    yield post3("an error beside the feedback", path, feedback(1, error=error))


def fields(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "assessed")
    trace_id = yield from trace(prefix, experiment_id, "one")
    run_id = yield from run(experiment_id, "judge")
    path = f"traces/{trace_id}/assessments"
    whole = {
        "rationale": "because",
        "span_id": "0123456789abcdef",
        "metadata": {"model": "a", "mlflow.assessment.sourceRunId": run_id},
    }
    one = made((yield post3("feedback with everything", path, feedback(True, **whole))))
    yield get3("feedback with everything: get", f"{path}/{one}")
    yield get("through the pages' path", f"{AJAX_V3}{path}/{one}")
    yield post3("an expectation with everything", path, expectation({"value": "x"}, **whole))
    yield post3("an issue with everything", path, issue(**whole))
    yield post3("an issue without a name", path, issue(issue={}))
    for source in ("HUMAN", "LLM_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED", "AI_JUDGE", "human", 1, 2, 3, 0, 9, ""):
        yield post3(f"the source type {source!r}", path, feedback(1, source={"source_type": source, "source_id": "x"}))
    yield post3("a source without an id", path, feedback(1, source={"source_type": "CODE"}))
    yield post3("an empty source", path, feedback(1, source={}))
    for label, body in without_each(feedback(1)["assessment"], "assessment_name", "source", "create_time"):
        yield post3(label, path, {"assessment": body})
    yield post3("no times", path, {"assessment": {"assessment_name": "n", "source": HUMAN, "feedback": {"value": 1}}})
    for label, time in {
        "with an offset": "2023-11-14T23:13:20+01:00",
        "with nanoseconds": "2023-11-14T22:13:20.123456789Z",
        "that is no time": "soon",
        "that is a number": 1_700_000_000,
        "before 1970": "1969-12-31T23:59:59Z",
        "without a zone": "2023-11-14T22:13:20",
    }.items():
        yield post3(f"a time {label}", path, feedback(1, create_time=time))
    yield post3("camel case", path, {"assessment": {"assessmentName": "c", "source": HUMAN, "feedback": {"value": 1}}})
    yield post3("another trace in the body", path, feedback(1, trace_id="tr-other"))
    yield post3("an id of its own", path, feedback(1, assessment_id=f"a-{prefix}mine"))
    yield get3("an id of its own: get", f"{path}/a-{prefix}mine")
    yield post3("not valid", path, feedback(1, valid=False))
    yield post3("a field too many", path, feedback(1, nope=1))
    yield post3("metadata of a number", path, feedback(1, metadata={"a": 1}))
    yield post3("metadata that is a list", path, feedback(1, metadata=["a"]))
    yield post3("empty metadata", path, feedback(1, metadata={}))
    yield post3("a session", path, feedback(1, metadata={"mlflow.trace.session": "s"}))
    for label, assessment in {
        "two kinds": {**feedback(1)["assessment"], "expectation": {"value": 1}},
        "no kind": {"assessment_name": "n", "source": HUMAN},
        "nothing": {},
    }.items():
        yield post3(label, path, {"assessment": assessment})
    yield post3("no assessment", path, {})
    yield post3("an assessment that is null", path, {"assessment": None})
    yield post3("an assessment that is a text", path, {"assessment": "x"})
    for field in ("assessment_name", "rationale", "span_id", "overrides"):
        for label, body in with_each(feedback(1)["assessment"], field, NOT_A_STRING):
            yield post3(label, path, {"assessment": body})
    yield raw("no body", f"/api/3.0/mlflow/{path}")
    yield raw("not JSON", f"/api/3.0/mlflow/{path}", b"{")
    yield raw("not as JSON", f"/api/3.0/mlflow/{path}", b"{}", "text/plain")
    yield post3("a name of 250", path, feedback(1, assessment_name="n" * 250))
    yield post3("a trace that does not exist", "traces/tr-0/assessments", feedback(1))
    yield get3("a trace that does not exist: get", f"traces/tr-0/assessments/{one}")
    yield patch3("a trace that does not exist: update", f"traces/tr-0/assessments/{one}", updating(rationale="r"))
    yield delete3("a trace that does not exist: delete", f"traces/tr-0/assessments/{one}")
    yield get3("nobody", f"{path}/{NOBODY}")
    yield patch3("nobody: update", f"{path}/{NOBODY}", updating(rationale="r"))
    yield delete3("nobody: delete", f"{path}/{NOBODY}")


def updating(*paths: str, **fields: Any) -> dict[str, Any]:
    """Return an update of these fields, with a mask of their names or of other paths."""
    return {"assessment": fields, "update_mask": ",".join(paths or fields)}


def updates(prefix: str) -> Script:
    path = yield from given(prefix)
    metadata = {"a": "1", "b": "2"}
    whole = feedback(True, rationale="because", metadata=metadata, span_id="0123456789abcdef")
    one = f"{path}/{made((yield post3('given feedback', path, whole)))}"
    answer = (
        f"{path}/{made((yield post3('given an expectation', path, expectation({'value': 'x'}, metadata=metadata))))}"
    )
    reference = f"{path}/{made((yield post3('given a reference', path, issue())))}"
    for label, body in {
        "the name": updating("assessmentName", assessment_name="better"),
        "the value": updating(feedback={"value": "no"}),
        "the value to null": updating(feedback={"value": None}),
        "the value to nothing": updating(feedback={}),
        "to an error": updating(feedback={"error": {"error_code": "E", "error_message": "m"}}),
        "to a value without the error": updating(feedback={"value": 0.5}),
        "the rationale": updating(rationale="others"),
        "the rationale to nothing": updating(rationale=""),
        "the metadata": updating(metadata={"b": "3", "c": "4"}),
        "the metadata to nothing": updating(metadata={}),
        "valid": updating(valid=False),
        "several": updating("rationale", "assessmentName", rationale="again", assessment_name="best"),
        "the name in snake case": updating("assessment_name", assessment_name="snake"),
        "in camel case": {"assessment": {"assessmentName": "camel"}, "update_mask": "assessmentName"},
        "what the mask lacks": {
            "assessment": {"rationale": "kept", "assessment_name": "no"},
            "update_mask": "rationale",
        },
        "what the body lacks": {"assessment": {"rationale": "r"}, "update_mask": "assessmentName"},
        "an unknown field": {"assessment": {"rationale": "r"}, "update_mask": "nope"},
        "the source": updating(source={"source_type": "CODE", "source_id": "c"}),
        "the span": updating(span_id="f"),
        "by a mask of paths": {"assessment": {"rationale": "p"}, "update_mask": {"paths": ["rationale"]}},
        "by an empty mask": {"assessment": {"rationale": "e"}, "update_mask": ""},
        "without a mask": {"assessment": {"rationale": "w"}},
        "without an assessment": {"update_mask": "rationale"},
        "by a mask that is null": {"assessment": {"rationale": "n"}, "update_mask": None},
        "by a mask that is a number": {"assessment": {"rationale": "n"}, "update_mask": 1},
        "to an expectation": updating(expectation={"value": 1}),
        "to both": updating(feedback={"value": 1}, expectation={"value": 1}),
        "nothing at all": {},
    }.items():
        yield patch3(f"update {label}", one, body)
    yield get3("the feedback after all", one)
    for label, body in {
        "the name": updating("assessmentName", assessment_name="best answer"),
        "the value": updating(expectation={"value": "y"}),
        "the value to a list": updating(expectation=serialized("[1]")),
        "the value to null": updating(expectation={"value": None}),
        "the metadata": updating(metadata={"c": "3"}),
        "the rationale": updating(rationale="others"),
        "to feedback": updating(feedback={"value": 1}),
    }.items():
        yield patch3(f"update the expectation: {label}", answer, body)
    yield get3("the expectation after all", answer)
    for label, body in {
        "the rationale": updating(rationale="others"),
        "the name": updating("assessmentName", assessment_name="iss-2"),
        "the value": updating(feedback={"value": 1}),
    }.items():
        yield patch3(f"update the reference: {label}", reference, body)
    yield get3("the reference after all", reference)
    yield delete3("delete", one)
    yield get3("get the deleted", one)
    yield patch3("update the deleted", one, updating(rationale="r"))
    yield delete3("delete the deleted", one)


def overrides(prefix: str) -> Script:
    path = yield from given(prefix)
    first = made((yield post3("given feedback", path, feedback(True))))
    second = made((yield post3("override", path, feedback(False, overrides=first))))
    yield get3("the overridden", f"{path}/{first}")
    third = made((yield post3("override the override", path, feedback("no", overrides=second))))
    yield get3("the overridden override", f"{path}/{second}")
    yield post3("override again", path, feedback("maybe", overrides=first))
    yield post3("an expectation that overrides", path, expectation({"value": "x"}, overrides=third))
    yield post3("override nobody", path, feedback(True, overrides=NOBODY))
    yield post3("override nothing", path, feedback(True, overrides=""))
    yield delete3("delete the last", f"{path}/{third}")
    yield get3("the second after it", f"{path}/{second}")
    yield get3("the first after it", f"{path}/{first}")
    yield patch3("update an overridden one", f"{path}/{first}", updating(rationale="late"))
    yield delete3("delete the second", f"{path}/{second}")
    yield get3("the first after both", f"{path}/{first}")


SCENARIOS = {
    "assessments_values": values,
    "assessments_fields": fields,
    "assessments_updates": updates,
    "assessments_overrides": overrides,
}
